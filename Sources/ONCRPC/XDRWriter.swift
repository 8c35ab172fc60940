/// Appends XDR (RFC 4506) to a byte buffer that can be used again. Large opaque data need not pass through it: write the
/// length by `opaqueHeader(count:)` and send the bytes and `XDRAlignment.padding(count)` zeros behind what was written.
public struct XDRWriter {
    /// What was written.
    public private(set) var bytes: [UInt8]

    /// - Parameter capacity: bytes to reserve.
    public init(capacity: Int = 512) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Empties the buffer and keeps its storage.
    public mutating func reset() { bytes.removeAll(keepingCapacity: true) }

    /// Bytes written.
    public var count: Int { bytes.count }

    /// An unsigned integer (section 4.2).
    public mutating func uint32(_ value: UInt32) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// An unsigned hyper integer (section 4.5).
    public mutating func uint64(_ value: UInt64) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// A boolean (section 4.4).
    public mutating func bool(_ value: Bool) { uint32(value ? 1 : 0) }

    /// Fixed-length opaque data with its padding (section 4.9).
    public mutating func fixed(_ value: some Collection<UInt8>) {
        bytes.append(contentsOf: value)
        pad(value.count)
    }

    /// Fixed-length opaque data with its padding, from memory.
    public mutating func fixed(_ value: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: value)
        pad(value.count)
    }

    /// Variable-length opaque data or a string (sections 4.10 and 4.11).
    public mutating func opaque(_ value: some Collection<UInt8>) {
        uint32(UInt32(value.count))
        fixed(value)
    }

    /// Text as a string.
    public mutating func text(_ value: String) { opaque(value.utf8) }

    /// The length of opaque data whose bytes are sent behind the buffer.
    public mutating func opaqueHeader(count: Int) { uint32(UInt32(count)) }

    /// A value or nothing, marked by a boolean (section 4.19).
    public mutating func optional(_ value: (some XDRCodable)?) {
        if let value {
            bool(true)
            value.encode(into: &self)
        } else {
            bool(false)
        }
    }

    /// Writes over an integer written earlier, such as the record mark.
    /// - Precondition: `offset` + 4 ≤ `count`.
    public mutating func replace(at offset: Int, with value: UInt32) {
        precondition(offset >= 0 && offset + 4 <= bytes.count, "only a written integer can be replaced")
        for i in 0..<4 { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32(i))) }
    }

    private mutating func pad(_ count: Int) {
        for _ in 0..<XDRAlignment.padding(count) { bytes.append(0) }
    }
}
