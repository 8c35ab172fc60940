/// Finds records in a byte stream (RFC 5531, section 11: record marking).
///
/// Invariants:
/// - a fragment's length is compared with the record's bound before a byte of it is waited for;
/// - a record has at most `RPCLimits.fragmentsPerRecord` fragments, so that empty ones end too;
/// - the machine holds numbers only; the caller holds the bytes.
public struct RecordScanner: Sendable {
    /// What the front of the stream is.
    public enum Step: Hashable, Sendable {
        /// Nothing can be said before this many bytes are there, counted from the front of the stream.
        case needs(Int)
        /// Skip the 4 bytes of the mark; the next `length` bytes are a fragment and more follow.
        case fragment(length: Int)
        /// Skip the 4 bytes of the mark; the next `length` bytes are the record's last fragment.
        case lastFragment(length: Int)
    }

    private let bound: Int
    private var recordBytes = 0
    private var fragments = 0

    /// - Parameter bound: the greatest record in bytes.
    public init(bound: Int = RPCLimits.recordBytes) { self.bound = bound }

    /// Whether fragments of a record were taken whose last is still to come.
    public var isWithinRecord: Bool { fragments > 0 }

    /// Looks at the front of the stream, which begins with a mark. After a fragment step the caller takes 4 + length
    /// bytes off the front before it asks again.
    /// - Throws: when the record is greater than the bound or has too many fragments; the stream is then of no use.
    public mutating func next(_ front: UnsafeRawBufferPointer) throws(XDRError) -> Step {
        guard front.count >= 4 else { return .needs(4) }
        let mark = UInt32(bigEndian: front.loadUnaligned(as: UInt32.self))
        let length = Int(mark & 0x7fff_ffff)
        guard recordBytes + length <= bound else {
            throw XDRError("a record of at least \(recordBytes + length) bytes where at most \(bound) are allowed")
        }
        guard front.count >= 4 + length else { return .needs(4 + length) }
        fragments += 1
        if mark & 0x8000_0000 != 0 {
            recordBytes = 0
            fragments = 0
            return .lastFragment(length: length)
        }
        guard fragments < RPCLimits.fragmentsPerRecord else {
            throw XDRError("a record of more than \(RPCLimits.fragmentsPerRecord) fragments")
        }
        recordBytes += length
        return .fragment(length: length)
    }

    /// The mark of a record that is sent as one fragment of `length` bytes, 0 ..< 2³¹.
    public static func mark(length: Int) -> UInt32 { 0x8000_0000 | UInt32(length) }
}
