/// Why bytes of a peer are not the XDR that they should be, in one sentence.
public struct XDRError: Error, Hashable, CustomStringConvertible, Sendable {
    /// What was wrong, and where.
    public let description: String
    /// - Parameter description: one sentence.
    public init(_ description: String) { self.description = description }
}

/// Reads XDR (RFC 4506) out of memory that it does not own. Every length is compared with the caller's bound and with
/// what has arrived before anything is allocated.
public struct XDRReader {
    private let base: UnsafeRawBufferPointer
    /// Bytes read so far.
    public private(set) var position: Int

    /// The memory must outlive the reader.
    public init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes
        position = 0
    }

    /// Bytes not read yet.
    public var remaining: Int { base.count - position }

    /// An unsigned integer (RFC 4506, section 4.2).
    public mutating func uint32() throws(XDRError) -> UInt32 {
        guard remaining >= 4 else { throw truncated(4) }
        let value = base.loadUnaligned(fromByteOffset: position, as: UInt32.self)
        position += 4
        return UInt32(bigEndian: value)
    }

    /// An unsigned hyper integer (RFC 4506, section 4.5).
    public mutating func uint64() throws(XDRError) -> UInt64 {
        guard remaining >= 8 else { throw truncated(8) }
        let value = base.loadUnaligned(fromByteOffset: position, as: UInt64.self)
        position += 8
        return UInt64(bigEndian: value)
    }

    /// A boolean, which is 0 or 1 and nothing else (RFC 4506, section 4.4).
    public mutating func bool() throws(XDRError) -> Bool {
        switch try uint32() {
        case 0: return false
        case 1: return true
        case let other: throw XDRError("\(other) at byte \(position - 4) where a boolean is 0 or 1")
        }
    }

    /// The place of variable-length opaque data (RFC 4506, section 4.10), which stays where it is.
    /// - Parameter bound: the most bytes that the protocol allows.
    public mutating func opaqueRange(atMost bound: Int) throws(XDRError) -> Range<Int> {
        let count = Int(try uint32())
        guard count <= bound else {
            throw XDRError("opaque data of \(count) bytes at byte \(position - 4) where at most \(bound) are allowed")
        }
        return try fixedRange(count)
    }

    /// The place of fixed-length opaque data (RFC 4506, section 4.9) and the skipping of its padding, whose value is
    /// not looked at, as in every implementation in use.
    public mutating func fixedRange(_ count: Int) throws(XDRError) -> Range<Int> {
        let padded = XDRAlignment.padded(count)
        guard remaining >= padded else { throw truncated(padded) }
        let range = position..<position + count
        position += padded
        return range
    }

    /// Variable-length opaque data or a string, copied.
    public mutating func opaque(atMost bound: Int) throws(XDRError) -> [UInt8] {
        let range = try opaqueRange(atMost: bound)
        return [UInt8](UnsafeRawBufferPointer(rebasing: base[range]))
    }

    /// Text that must be ASCII or UTF-8.
    public mutating func text(atMost bound: Int) throws(XDRError) -> String {
        let start = position
        guard let result = String(validating: try opaque(atMost: bound), as: UTF8.self) else {
            throw XDRError("the text at byte \(start) is not UTF-8")
        }
        return result
    }

    /// A value or nothing, marked by a boolean (RFC 4506, section 4.19).
    public mutating func optional<Value: XDRCodable>(_ type: Value.Type) throws(XDRError) -> Value? {
        try bool() ? try Value(from: &self) : nil
    }

    /// The bytes of a range that this reader returned. Valid as long as the memory is.
    public func bytes(in range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: base[range])
    }

    private func truncated(_ wanted: Int) -> XDRError {
        XDRError("the message ends at byte \(base.count), within \(wanted) bytes that begin at byte \(position)")
    }
}

/// A value with a form in XDR.
public protocol XDRCodable {
    /// Reads the value; throws a one-sentence reason when the bytes are not one.
    init(from reader: inout XDRReader) throws(XDRError)
    /// Appends the value.
    func encode(into writer: inout XDRWriter)
}

/// Arithmetic of XDR.
public enum XDRAlignment {
    /// `count` raised to a multiple of four, the unit of XDR (RFC 4506, section 3).
    public static func padded(_ count: Int) -> Int { (count + 3) & ~3 }
    /// The zero bytes that follow opaque data of `count` bytes: 0 … 3.
    public static func padding(_ count: Int) -> Int { padded(count) - count }
}
