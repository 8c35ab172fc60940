import ClusterModel
import Wire

/// The tables. Numbers are on disk and on the wire, never given another meaning. 4 is kept free for extended attributes,
/// keyed (inode, name).
enum RowTable: UInt8 {
    /// inode → `InodeRow`
    case inode = 1
    /// directory, name → `EntryRow`
    case entry = 2
    /// directory, cookie → `CookieRow`
    case cookie = 3
    /// session, inode → nothing; the registration itself is in the inode's row
    case writer = 5
    /// inode, truncation number → `RangeDeletion`
    case deletion = 6
    /// inode → nothing: what the file uses is to be measured
    case unmeasured = 7
}

extension NamespaceKey {
    private init(_ table: RowTable, _ numbers: UInt64..., name: [UInt8] = []) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(1 + 8 * numbers.count + name.count)
        bytes.append(table.rawValue)
        for number in numbers { withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) } }
        bytes.append(contentsOf: name)
        self.init(bytes: bytes)
    }

    static func inode(_ inode: InodeNumber) -> NamespaceKey { NamespaceKey(.inode, inode.rawValue) }
    static func entry(_ directory: InodeNumber, _ name: FileName) -> NamespaceKey {
        NamespaceKey(.entry, directory.rawValue, name: name.bytes)
    }
    static func cookie(_ directory: InodeNumber, _ cookie: UInt64) -> NamespaceKey {
        NamespaceKey(.cookie, directory.rawValue, cookie)
    }
    /// Behind all cookies of the directory.
    static func endOfCookies(_ directory: InodeNumber) -> NamespaceKey {
        NamespaceKey(.cookie, directory.rawValue &+ 1)
    }
    static func writer(_ session: SessionID, _ inode: InodeNumber) -> NamespaceKey {
        NamespaceKey(.writer, session.rawValue, inode.rawValue)
    }
    static func deletion(_ inode: InodeNumber, _ number: TruncationNumber) -> NamespaceKey {
        NamespaceKey(.deletion, inode.rawValue, number.rawValue)
    }
    static func unmeasured(_ inode: InodeNumber) -> NamespaceKey { NamespaceKey(.unmeasured, inode.rawValue) }
    static let endOfUnmeasured = NamespaceKey(bytes: [RowTable.unmeasured.rawValue + 1])
    static let endOfInodes = NamespaceKey(bytes: [RowTable.inode.rawValue + 1])
    static let endOfDeletions = NamespaceKey(bytes: [RowTable.deletion.rawValue + 1])

    /// The number at `index` (0, 1) of a key that was made of numbers only.
    func number(_ index: Int) -> UInt64 {
        bytes.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 1 + 8 * index, as: UInt64.self)) }
    }
}

/// What a directory says of a name.
struct EntryRow: Hashable {
    var inode: InodeNumber
    var cookie: UInt64

    func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 16)
        w.u64(inode.rawValue)
        w.u64(cookie)
        return w.bytes
    }

    init(inode: InodeNumber, cookie: UInt64) {
        self.inode = inode
        self.cookie = cookie
    }

    init(_ bytes: [UInt8]) throws {
        self = try decodeRow(bytes) { r throws(WireError) in
            EntryRow(inode: InodeNumber(try r.u64()), cookie: try r.u64())
        }
    }
}

/// The same, found by the cookie: what a listing reads.
struct CookieRow: Hashable {
    var inode: InodeNumber
    var name: FileName

    func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 12 + name.bytes.count)
        w.u64(inode.rawValue)
        name.encode(into: &w)
        return w.bytes
    }

    init(inode: InodeNumber, name: FileName) {
        self.inode = inode
        self.name = name
    }

    init(_ bytes: [UInt8]) throws {
        self = try decodeRow(bytes) { r throws(WireError) in
            CookieRow(inode: InodeNumber(try r.u64()), name: try FileName(from: &r))
        }
    }
}

/// Reads a whole row; what is left over is damage, too.
func decodeRow<T>(_ bytes: [UInt8], _ body: (inout WireReader) throws(WireError) -> T) throws -> T {
    try bytes.withUnsafeBytes { buffer in
        var r = WireReader(buffer)
        do {
            let value = try body(&r)
            try r.finish()
            return value
        } catch {
            throw NamespaceFault.damagedRow("\(error)")
        }
    }
}
