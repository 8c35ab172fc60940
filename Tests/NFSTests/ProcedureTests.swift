import ClusterModel
import Filesystem
import ONCRPC
import Testing
import Wire

@testable import NFS

/// Every procedure of RFC 1813 over loopback.
@Suite(.serialized) struct ProcedureTests {
    /// A gateway, a client and the root of /images, for one test.
    private func place(_ directory: NFS3.FileHandle, _ name: String) -> NFS3.NameArguments {
        NFS3.NameArguments(directory: directory, name: Array(name.utf8))
    }

    @Test("NULL of NFS and of both versions of MOUNT answers nothing")
    func null() throws {
        try session { (_, client, _) throws in
            for program in [RPCProgram.nfs3, .mount1, .mount3] {
                try client.call(program, 0, { _ in }) { #expect($0.remaining == 0) }
            }
        }
    }

    @Test("GETATTR tells fileset and inode as fsid and fileid")
    func getattr() throws {
        try session { (gateway, client, root) throws in
            let attributes = try #require(try client.getattr(root).success)
            #expect(attributes.type == .directory && attributes.mode == 0o777)
            #expect(attributes.fileSystemID == 1)
            #expect(attributes.fileID == gateway.images.inode.rawValue)
        }
    }

    @Test("SETATTR sets what is asked, tells the attributes before and after, and heeds its guard")
    func setattr() throws {
        try session { (_, client, root) throws in
            let file = try client.made(root, "a")
            let before = try #require(try client.getattr(file).success)
            let set = NFS3.SetAttributes(
                mode: 0o600, size: 12345, modifyTime: .to(NFS3.Time(seconds: 5, nanoseconds: 6)))
            let wrong = NFS3.SetattrArguments(
                file: file, attributes: set, guardTime: NFS3.Time(seconds: 1, nanoseconds: 1))
            #expect(try client.nfs(.setattr, wrong, as: NFS3.CacheResult.self).status == .notSync)
            let right = NFS3.SetattrArguments(file: file, attributes: set, guardTime: before.changeTime)
            let result = try #require(try client.nfs(.setattr, right, as: NFS3.CacheResult.self).success)
            #expect(result.before?.size == 0 && result.after?.size == 12345 && result.after?.mode == 0o600)
            #expect(result.after?.modifyTime == NFS3.Time(seconds: 5, nanoseconds: 6))
            let bad = NFS3.SetattrArguments(
                file: file,
                attributes: NFS3.SetAttributes(modifyTime: .to(NFS3.Time(seconds: 5, nanoseconds: 1_000_000_000))))
            #expect(try client.nfs(.setattr, bad, as: NFS3.CacheResult.self).status == .invalid)
            let big = NFS3.SetattrArguments(file: file, attributes: NFS3.SetAttributes(size: 1 << 63))
            #expect(try client.nfs(.setattr, big, as: NFS3.CacheResult.self).status == .tooBig)
        }
    }

    @Test("LOOKUP finds names, itself and its parent, and refuses what is no name")
    func lookup() throws {
        try session { (_, client, root) throws in
            let file = try client.made(root, "a")
            #expect(try client.lookup(root, "a").success?.file == file)
            #expect(try client.lookup(root, "b").status == .noEntry)
            #expect(try client.lookup(root, ".").success?.file == root)
            #expect(try client.lookup(root, "a/b").status == .invalid)
            #expect(try client.lookup(root, "").status == .invalid)
            #expect(try client.lookup(root, String(repeating: "n", count: 256)).status == .nameTooLong)
            #expect(try client.lookup(file, "a").status == .notDirectory)
        }
    }

    @Test("The parent of an export's root is itself, below it is the directory above, and moved out there is none")
    func parents() throws {
        try session { (gateway, client, root) throws in
            let made = try client.nfs(
                .mkdir, NFS3.MkdirArguments(place: place(root, "d"), attributes: NFS3.SetAttributes()),
                as: NFS3.CreateResult.self)
            let directory = try #require(made.success?.file)
            #expect(try client.lookup(directory, "..").success?.file == root)
            #expect(try client.lookup(root, "..").success?.file == root)
            try gateway.on { parts in
                guard let d = FileName("d"), let e = FileName("e") else { return }
                let images = try #require(parts.files.nodes.values.first { $0.entries.contains { $0.name == d } })
                parts.files.rename(
                    CallContext(credentials: .superuser), from: images.attributes.file, name: d,
                    to: MemoryFilesystem.root, newName: e
                ) { _ in }
            }
            #expect(try client.lookup(directory, "..").status == .access)
        }
    }

    @Test("ACCESS grants what the file system does, and nothing that writes on a read-only export")
    func access() throws {
        try session { (gateway, client, root) throws in
            let all = NFS3.AccessArguments(file: root, access: NFS3.AccessBits(rawValue: 0x3f))
            #expect(try client.nfs(.access, all, as: NFS3.AccessResult.self).success?.access.rawValue == 0x3f)
            try gateway.setExports([TestGateway.export(gateway.images, access: .readOnly)])
            let granted = try client.nfs(.access, all, as: NFS3.AccessResult.self).success?.access
            #expect(granted == [.read, .lookup, .execute])
        }
    }

    @Test("SYMLINK and READLINK carry any bytes, and refuse none and NUL")
    func symlink() throws {
        try session { (_, client, root) throws in
            func link(_ name: String, _ target: [UInt8]) throws -> NFS3.CreateResult {
                try client.nfs(
                    .symlink,
                    NFS3.SymlinkArguments(place: place(root, name), attributes: NFS3.SetAttributes(), target: target),
                    as: NFS3.CreateResult.self)
            }
            let target: [UInt8] = [0x2e, 0xff, 0x2f, 0x01]
            let file = try #require(try link("l", target).success?.file)
            #expect(try client.nfs(.readlink, file, as: NFS3.ReadlinkResult.self).success?.target == target)
            #expect(try client.nfs(.readlink, root, as: NFS3.ReadlinkResult.self).status == .invalid)
            #expect(try link("m", []).status == .invalid)
            #expect(try link("m", [1, 0]).status == .invalid)
            #expect(try link("m", [UInt8](repeating: 1, count: 4097)).status == .nameTooLong)
        }
    }

    @Test("READ gives back what WRITE took, of every size up to 1 MiB, with the right end of file")
    func readAndWrite() throws {
        try session { (_, client, root) throws in
            let file = try client.made(root, "a")
            for count in [1, 2, 3, 5, 4096, 70_001, 1 << 20] {
                let data = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ count) }
                let written = try #require(try client.write(file, data, at: 10).success)
                #expect(written.count == UInt32(count) && written.committed == .unstable)
                #expect(written.verifier == NFS3.Verifier(1))
                let (result, back) = try client.read(file, at: 10, count: UInt32(count))
                #expect(back == data, "\(count) bytes")
                #expect(result.success?.endOfFile == true)
            }
            let (first, _) = try client.read(file, count: 100)
            #expect(first.success?.endOfFile == false)
            let (beyond, nothing) = try client.read(file, at: 1 << 40, count: 100)
            #expect(beyond.success?.endOfFile == true && nothing.isEmpty)
            for offset in [UInt64(Int64.max), 1 << 63, .max] {
                let (none, bytes) = try client.read(file, at: offset, count: 100)
                #expect(none.success?.endOfFile == true && bytes.isEmpty, "at \(offset)")
            }
            let (capped, most) = try client.read(file, count: .max)
            #expect(capped.success?.dataCount == 1 << 20 && most.count == 1 << 20)
        }
    }

    @Test("WRITE answers carry no attributes, DATA_SYNC is FILE_SYNC, and the verifier is the stamp")
    func writeAnswers() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.writeStamp = LossNumber(77) }
            for stability in NFS3.Stability.allCases {
                let written = try #require(try client.write(file, [1], stability).success)
                #expect(written.cache == NFS3.CacheData())
                #expect(written.committed == (stability == .unstable ? .unstable : .fileSync))
                #expect(written.verifier == NFS3.Verifier(77))
                #expect(try gateway.on { $0.files.lastDurability } == (stability == .unstable ? .unstable : .stable))
            }
        }
    }

    @Test("WRITE beyond the greatest file and of less data than it says is refused")
    func badWrites() throws {
        try session { (_, client, root) throws in
            let file = try client.made(root, "a")
            #expect(try client.write(file, [1], at: UInt64(Int64.max)).status == .tooBig)
            #expect(try client.write(file, [1], at: .max).status == .tooBig)
            let short = client.message(.nfs3, 7) {
                file.encode(into: &$0)
                $0.uint64(0)
                $0.uint32(9)
                $0.uint32(0)
                $0.opaque([1, 2, 3] as [UInt8])
            }
            try client.sendRaw(short)
            #expect(try client.writeStatus() == .invalid)
        }
    }

    @Test("CREATE: unchecked takes what is there, guarded does not, exclusive knows its own")
    func create() throws {
        try session { (_, client, root) throws in
            let file = try client.made(root, "a")
            #expect(try client.create(root, "a").success?.file == file)
            #expect(try client.create(root, "a", .guarded(NFS3.SetAttributes())).status == .exists)
            #expect(try client.create(root, "a", .exclusive(NFS3.Verifier(1))).status == .exists)
            let own = try #require(try client.create(root, "x", .exclusive(NFS3.Verifier(9))).success?.file)
            #expect(try client.create(root, "x", .exclusive(NFS3.Verifier(9))).success?.file == own)
            #expect(try client.create(root, "x", .exclusive(NFS3.Verifier(8))).status == .exists)
            #expect(try client.create(root, "..").status == .exists)
            #expect(try client.create(root, String(repeating: "n", count: 256)).status == .nameTooLong)
            let created = try #require(try client.create(root, "b").success)
            #expect(
                created.directory.before != nil && created.directory.after != nil && created.attributes?.mode == 0o644)
        }
    }

    @Test("MKNOD makes devices, sockets and pipes, and nothing else")
    func mknod() throws {
        try session { (_, client, root) throws in
            func make(_ name: String, _ kind: NFS3.NodeKind) throws -> NFS3.CreateResult {
                try client.nfs(
                    .mknod, NFS3.MknodArguments(place: place(root, name), kind: kind), as: NFS3.CreateResult.self)
            }
            let set = NFS3.SetAttributes(mode: 0o600)
            let device = NFS3.DeviceNumber(major: 8, minor: 1)
            #expect(try make("c", .characterDevice(set, device)).success?.attributes?.type == .characterDevice)
            #expect(try make("b", .blockDevice(set, device)).success?.attributes?.device == device)
            #expect(try make("s", .socket(set)).success?.attributes?.type == .socket)
            #expect(try make("f", .fifo(set)).success?.attributes?.type == .fifo)
            #expect(try make("d", .other(.directory)).status == .badType)
        }
    }

    @Test("REMOVE, RMDIR, RENAME and LINK act and tell their directories")
    func namespace() throws {
        try session { (_, client, root) throws in
            let file = try client.made(root, "a")
            let linked = try client.nfs(
                .link, NFS3.LinkArguments(file: file, place: place(root, "b")), as: NFS3.LinkResult.self)
            #expect(linked.success?.attributes?.linkCount == 2 && linked.success?.directory.after != nil)
            let renamed = try client.nfs(
                .rename, NFS3.RenameArguments(from: place(root, "b"), to: place(root, "c")), as: NFS3.RenameResult.self)
            #expect(renamed.success?.from.after != nil && renamed.success?.to.after != nil)
            #expect(try client.nfs(.remove, place(root, "c"), as: NFS3.CacheResult.self).success?.before != nil)
            #expect(try client.nfs(.remove, place(root, "c"), as: NFS3.CacheResult.self).status == .noEntry)
            _ = try client.nfs(
                .mkdir, NFS3.MkdirArguments(place: place(root, "d"), attributes: NFS3.SetAttributes()),
                as: NFS3.CreateResult.self)
            #expect(try client.nfs(.remove, place(root, "d"), as: NFS3.CacheResult.self).status == .isDirectory)
            #expect(try client.nfs(.rmdir, place(root, "a"), as: NFS3.CacheResult.self).status == .notDirectory)
            #expect(try client.nfs(.rmdir, place(root, "."), as: NFS3.CacheResult.self).status == .invalid)
            #expect(try client.nfs(.rmdir, place(root, ".."), as: NFS3.CacheResult.self).status == .exists)
            #expect(try client.nfs(.rmdir, place(root, "d"), as: NFS3.CacheResult.self).status == .ok)
        }
    }

    @Test("FSSTAT, FSINFO and PATHCONF tell what the cluster is")
    func fileSystem() throws {
        try session { (_, client, root) throws in
            let usage = try #require(try client.nfs(.fsstat, root, as: NFS3.FsstatResult.self).success)
            #expect(usage.totalBytes == 1 << 40 && usage.availableBytes == 1 << 38)
            #expect(usage.attributes?.type == .directory)
            let gone = try client.made(root, "gone")
            _ = try client.nfs(
                .remove, NFS3.NameArguments(directory: root, name: Array("gone".utf8)), as: NFS3.CacheResult.self)
            #expect(try client.nfs(.fsstat, gone, as: NFS3.FsstatResult.self).status == .stale)
            let info = try #require(try client.nfs(.fsinfo, root, as: NFS3.FsinfoResult.self).success)
            #expect(info.readMaximum == 1 << 20 && info.writeMaximum == 1 << 20)
            #expect(info.fileMaximum == UInt64(Int64.max))
            let path = try #require(try client.nfs(.pathconf, root, as: NFS3.PathconfResult.self).success)
            #expect(path.nameMaximum == 255 && path.traits.contains(.noTruncation))
        }
    }

    @Test("COMMIT carries the highest stamp and no attributes")
    func commit() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.commitStamp = LossNumber(5) }
            let result = try #require(try client.commit(file).success)
            #expect(result.verifier == NFS3.Verifier(5) && result.cache == NFS3.CacheData())
        }
    }

    @Test("Each failure of the file system has its status, and one of unknown outcome ends the connection")
    func failures() throws {
        try session { (gateway, client, root) throws in
            try gateway.on { $0.files.failure = .namespace(.noSpace) }
            #expect(try client.create(root, "a").status == .noSpace)
            try gateway.on { $0.files.failure = .ioError }
            #expect(try client.read(root, count: 1).0.status == .io)
            try gateway.on { $0.files.failure = .unavailable }
            #expect(throws: ClientFailure.self) { try client.getattr(root) }
        }
    }
}
