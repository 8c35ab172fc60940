/// The name of a record: 1 … 512 bytes, ordered bytewise.
public struct Key: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]
    public init(_ bytes: [UInt8]) { self.bytes = bytes }
    public init(_ text: String) { bytes = Array(text.utf8) }

    public static func < (a: Key, b: Key) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// Whether this key begins with `prefix`; every key begins with the empty one.
    public func hasPrefix(_ prefix: Key) -> Bool { bytes.starts(with: prefix.bytes) }

    public var description: String {
        let printable = bytes.allSatisfy { (0x20..<0x7f).contains($0) }
        return printable
            ? String(decoding: bytes, as: UTF8.self)
            : bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// The first key behind all that begin with this one; nil if there is none (all bytes are 0xff, or no byte at all).
    var firstBehindPrefix: Key? {
        var end = bytes
        while let last = end.last {
            if last < 0xff {
                end[end.count - 1] = last + 1
                return Key(end)
            }
            end.removeLast()
        }
        return nil
    }
}

/// The number of a change of the whole store: every transaction that changes something raises it by one. 0 is the
/// store before its first change.
public struct Revision: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: Int64
    public init(_ rawValue: Int64) { self.rawValue = rawValue }
    public static func < (a: Revision, b: Revision) -> Bool { a.rawValue < b.rawValue }
    public static let zero = Revision(0)
    public var next: Revision { Revision(rawValue + 1) }
    public var description: String { "r\(rawValue)" }
}

/// What a compare-and-set compares: the revision at which the key was last put, or that it does not exist. As revisions
/// only grow, a key that was deleted and put again never has an earlier version (etcd's mod_revision, not its version).
public enum KeyVersion: Hashable, Sendable, CustomStringConvertible {
    case absent
    case changed(Revision)

    public var description: String {
        switch self {
        case .absent: "absent"
        case .changed(let revision): revision.description
        }
    }
}

/// A record as it was read.
public struct KeyValue: Hashable, Sendable {
    public var key: Key
    public var value: [UInt8]
    /// The revision that last put it.
    public var revision: Revision
    public var version: KeyVersion { .changed(revision) }
    public init(key: Key, value: [UInt8], revision: Revision) {
        self.key = key
        self.value = value
        self.revision = revision
    }
}

/// What to read.
public enum Selection: Hashable, Sendable {
    /// These keys; those that do not exist are left out of the answer. At most 256.
    case keys([Key])
    /// Every key that begins with this one; the empty key selects all.
    case prefix(Key)
}

/// Records as they stood together at one revision, ascending by key.
public struct Snapshot: Hashable, Sendable {
    public var revision: Revision
    public var entries: [KeyValue]
    public init(revision: Revision, entries: [KeyValue]) {
        self.revision = revision
        self.entries = entries
    }

    /// The record of that key, if it was selected and exists.
    public subscript(key: Key) -> KeyValue? { entries.first { $0.key == key } }
}
