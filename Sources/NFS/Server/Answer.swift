import NIOCore
import ONCRPC

/// A reply as it is sent: a head that begins with the record mark and the xid, and for READ the data behind it, which is
/// never copied.
struct Answer {
    /// Record mark, reply header and results up to the data.
    var head: ByteBuffer
    /// The data of a READ.
    var data: ByteBuffer?

    /// - Parameter writer: begins with four bytes for the record mark, which are filled in here.
    init(_ writer: inout XDRWriter, data: ByteBuffer? = nil, allocator: ByteBufferAllocator) {
        let dataBytes = data.map { XDRAlignment.padded($0.readableBytes) } ?? 0
        writer.replace(at: 0, with: RecordScanner.mark(length: writer.count - 4 + dataBytes))
        head = allocator.buffer(capacity: writer.count)
        head.writeBytes(writer.bytes)
        self.data = data
    }

    /// The same under another xid, for a client that came again.
    func renumbered(_ xid: TransactionID) -> Answer {
        var copy = self
        copy.head.setInteger(xid.rawValue, at: copy.head.readerIndex + 4)
        return copy
    }

    /// Bytes on the wire.
    var count: Int { head.readableBytes + (data.map { XDRAlignment.padded($0.readableBytes) } ?? 0) }
}
