import ClusterModel
import Wire

/// One message as it travels: its frame's kind, its header, and how many payload bytes follow.
struct Frame: Hashable {
    var kind: UInt8
    var header: [UInt8]
    var payloadLength: Int

    init(kind: UInt8, header: [UInt8], payloadLength: Int) {
        self.kind = kind
        self.header = header
        self.payloadLength = payloadLength
    }

    init(_ message: NodeMessage) throws {
        var w = WireWriter()
        w.frame(message)
        let bytes = w.bytes
        let head = try bytes.withUnsafeBytes { try FrameHead(UnsafeRawBufferPointer(rebasing: $0[..<FrameHead.size])) }
        self.init(kind: head.kind, header: Array(bytes[FrameHead.size...]), payloadLength: head.payloadLength)
        if head.headerLength != header.count { throw WireError("the frame's head tells another length") }
    }

    func decoded(in version: ProtocolVersion = .newest) throws -> NodeMessage {
        let handle = payloadLength == 0 ? nil : PayloadHandle(id: 7, length: payloadLength)
        return try header.withUnsafeBytes { try NodeMessage(kind: kind, header: $0, payload: handle, in: version) }
    }

    /// "KIND PAYLOAD-LENGTH HEADER" in hexadecimal digits, the form of the corpus.
    var line: String {
        String(kind, radix: 16) + " " + String(payloadLength, radix: 16) + " "
            + header.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    init?(line: Substring) {
        let fields = line.split(separator: " ", omittingEmptySubsequences: false)
        guard fields.count == 3, let kind = UInt8(fields[0], radix: 16), let length = Int(fields[1], radix: 16) else {
            return nil
        }
        let digits = Array(fields[2].utf8)
        let header = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
        self.init(kind: kind, header: header, payloadLength: length)
    }
}
