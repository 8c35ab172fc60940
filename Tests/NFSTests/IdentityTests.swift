import ClusterModel
import ONCRPC
import Testing
import Wire

@testable import NFS

private func sipKey() -> (UInt64, UInt64) { (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908) }

@Suite struct SipHashTests {
    @Test("The 64-bit results are those of the reference vectors")
    func vectors64() {
        func hash(_ count: Int) -> UInt64 {
            var h = SipHash(key: sipKey(), width: .bits64)
            h.combine([UInt8](0..<UInt8(count)))
            return h.finish().byteSwapped
        }
        #expect(hash(0) == 0x310e_0edd_47db_6f72)
        #expect(hash(1) == 0xfd67_dc93_c539_f874)
        #expect(hash(2) == 0x5a4f_a9d9_0980_6c0d)
        #expect(hash(15) == 0xe545_be49_61ca_29a1)
    }

    @Test("The 128-bit results are those of the reference vectors")
    func vectors128() {
        func hash(_ count: Int) -> UInt128 {
            var h = SipHash(key: sipKey(), width: .bits128)
            h.combine([UInt8](0..<UInt8(count)))
            return h.finish128().byteSwapped
        }
        #expect(hash(0) == 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293)
        #expect(hash(1) == 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45)
    }

    @Test("Pieces give what the whole gives")
    func pieces() {
        let bytes = [UInt8](0..<100)
        for cut in 0...100 {
            var whole = SipHash(key: sipKey(), width: .bits64)
            whole.combine(bytes)
            var parts = SipHash(key: sipKey(), width: .bits64)
            parts.combine(Array(bytes[..<cut]))
            parts.combine(Array(bytes[cut...]))
            #expect(whole.finish() == parts.finish())
        }
    }
}

@Suite struct HandleCodecTests {
    private let codec = HandleCodec(key: TestGateway.key)
    private let content = HandleContent(
        export: ExportID(7), file: FileID(fileset: FilesetID(3), inode: InodeNumber(1 << 40)), generation: 99)

    @Test("A handle is read back, at this gateway and at any other with the key")
    func roundTrip() {
        let handle = codec.handle(content)
        #expect(handle.count == 44)
        #expect(HandleCodec(key: TestGateway.key).content(handle) == content)
    }

    @Test("A handle with any one bit changed is nobody's")
    func eachBit() {
        let bytes = codec.handle(content).withBytes { [UInt8]($0) }
        for bit in 0..<bytes.count * 8 {
            var forged = bytes
            forged[bit / 8] ^= 1 << (bit % 8)
            #expect(codec.content(NFS3.FileHandle(forged)) == nil, "bit \(bit)")
        }
    }

    @Test("A handle of another length or of another key is nobody's")
    func others() throws {
        let bytes = codec.handle(content).withBytes { [UInt8]($0) }
        for count in [0, 1, 43] { #expect(codec.content(NFS3.FileHandle(Array(bytes.prefix(count)))) == nil) }
        #expect(codec.content(NFS3.FileHandle(bytes + [0])) == nil)
        let other = HandleCodec(key: try #require(HandleKey([UInt8](repeating: 9, count: 16))))
        #expect(other.content(codec.handle(content)) == nil)
    }

    @Test("A key has 16 bytes")
    func keyLength() {
        #expect(HandleKey([1, 2, 3]) == nil)
        #expect(HandleKey([UInt8](repeating: 0, count: 16)) != nil)
    }
}

@Suite struct ExportTableTests {
    private func export(_ id: UInt32, _ path: String, _ clients: [String] = ["0.0.0.0/0"]) -> Export {
        Export(
            id: ExportID(id), path: path, root: FileID(fileset: .root, inode: InodeNumber(UInt64(id))),
            clients: clients,
            squash: .root)
    }

    private func located(_ table: ExportTable, _ path: String) -> UInt32? {
        table.locate(Array(path.utf8))?.entry.export.id.rawValue
    }

    @Test("A path belongs to the innermost export whose names it begins with, and /images2 is not in /images")
    func prefixes() {
        let table = ExportTable([export(1, "/images"), export(2, "/images/gold"), export(3, "/")])
        #expect(located(table, "/images") == 1)
        #expect(located(table, "/images/") == 1)
        #expect(located(table, "//images/./a") == 1)
        #expect(located(table, "/images/gold/x") == 2)
        #expect(located(table, "/images/golden") == 1)
        #expect(located(table, "/images2") == 3)
        let narrow = ExportTable([export(1, "/images")])
        #expect(located(narrow, "/images2") == nil)
        #expect(located(narrow, "/") == nil)
        #expect(located(narrow, "images") == nil)
        #expect(narrow.locate(Array("/images/a/b".utf8))?.below == [Array("a".utf8), Array("b".utf8)])
    }

    @Test("A path that climbs is in no export")
    func climbing() {
        let table = ExportTable([export(1, "/images"), export(3, "/")])
        #expect(located(table, "/images/../secret") == nil)
        #expect(located(table, "/..") == nil)
    }

    @Test("A client is admitted by any of the blocks, and by none that cannot be read")
    func clients() throws {
        let table = ExportTable([
            export(1, "/a", ["10.1.0.0/16", "192.168.1.7", "fd00::/8", "10.0.0.0/33", "nonsense"])
        ])
        let entry = try #require(table[ExportID(1)])
        #expect(table.unreadable == ["/a: 10.0.0.0/33", "/a: nonsense"])
        for (address, expected) in [
            ("10.1.255.3", true), ("10.2.0.0", false), ("192.168.1.7", true), ("192.168.1.8", false), ("fd00::1", true),
            ("fe80::1", false), ("0.0.0.0", false),
        ] {
            let client = try #require(ClientAddress(address))
            #expect(entry.admits(client) == expected, "\(address)")
        }
    }

    @Test("A block with bits beyond its prefix is a mistake and no block")
    func looseBits() {
        #expect(ClientNetwork("10.1.0.1/16") == nil)
        #expect(ClientNetwork("10.1.0.0/16") != nil)
        #expect(ClientNetwork("0.0.0.0/0") != nil)
        #expect(ClientNetwork("10.1.0.0/") == nil)
        #expect(ClientNetwork("10.1.0.0/+8") == nil)
        #expect(ClientNetwork("10.0.0.0/8/8") == nil)
    }

    @Test("An IPv4 block of all addresses admits no IPv6 client")
    func families() throws {
        let all = try #require(ClientNetwork("0.0.0.0/0"))
        #expect(!all.contains(try #require(ClientAddress("fd00::1"))))
        #expect(all.contains(try #require(ClientAddress("203.0.113.9"))))
    }
}

@Suite struct CallerTests {
    private func caller(_ uid: UInt32, _ gid: UInt32, _ groups: [UInt32], name: String = "host", stamp: UInt32 = 0)
        -> Caller
    {
        Caller(
            address: ClientAddress(v4: 0x0a00_0001),
            credential: .sys(AuthSys(stamp: stamp, machineName: Array(name.utf8), uid: uid, gid: gid, groups: groups)))
    }
    private func export(_ squash: Squash) -> Export {
        Export(
            id: ExportID(1), path: "/a", root: FileID(fileset: .root, inode: .root), clients: [], squash: squash,
            anonymousUID: 65534, anonymousGID: 65533)
    }
    private let anonymous = Credentials(uid: 65534, gid: 65533)

    @Test("Without squashing a caller is who he says")
    func noSquash() {
        #expect(caller(0, 0, [0, 5]).credentials(in: export(.none)) == Credentials(uid: 0, gid: 0, groups: [0, 5]))
    }

    @Test("Root is squashed with all his groups, and group 0 of others too")
    func rootSquash() {
        #expect(caller(0, 0, [0, 5]).credentials(in: export(.root)) == anonymous)
        #expect(
            caller(7, 0, [0, 5]).credentials(in: export(.root)) == Credentials(uid: 7, gid: 65533, groups: [65533, 5]))
        #expect(caller(7, 8, [5]).credentials(in: export(.root)) == Credentials(uid: 7, gid: 8, groups: [5]))
    }

    @Test("All are squashed where all shall be, and AUTH_NONE always")
    func allSquash() {
        #expect(caller(7, 8, [5]).credentials(in: export(.all)) == anonymous)
        let nobody = Caller(address: ClientAddress(v4: 1), credential: .none)
        #expect(nobody.credentials(in: export(.none)) == anonymous)
    }

    @Test("The identity of a call depends on everything that rule 20 names and on nothing else")
    func identity() {
        let arguments: [UInt8] = [1, 2, 3]
        func identity(_ caller: Caller, xid: UInt32 = 1, procedure: UInt32 = 8, _ bytes: [UInt8]) -> CallIdentity {
            bytes.withUnsafeBytes { caller.identity(xid: TransactionID(xid), procedure: procedure, arguments: $0) }
        }
        let first = identity(caller(1, 2, [3]), arguments)
        #expect(identity(caller(1, 2, [3], stamp: 77), arguments) == first)
        #expect(identity(caller(9, 2, [3]), arguments).origin != first.origin)
        #expect(identity(caller(1, 9, [3]), arguments).origin != first.origin)
        #expect(identity(caller(1, 2, [9]), arguments).origin != first.origin)
        #expect(identity(caller(1, 2, [3], name: "other"), arguments).origin != first.origin)
        #expect(identity(caller(1, 2, [3]), xid: 2, arguments).request != first.request)
        #expect(identity(caller(1, 2, [3]), procedure: 9, arguments).request != first.request)
        #expect(identity(caller(1, 2, [3]), [1, 2, 4]).request != first.request)
    }

    @Test("libnfs is known by its machine name alone")
    func libnfs() {
        #expect(caller(1, 1, [], name: "libnfs").isLibnfs)
        #expect(!caller(1, 1, [], name: "libnfs2").isLibnfs)
        #expect(!Caller(address: ClientAddress(v4: 1), credential: .none).isLibnfs)
    }
}
