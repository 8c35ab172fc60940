import Logging
import NIOCore
import ONCRPC

#if canImport(Glibc)
    import Glibc
#endif

private func secondsSince1970() -> UInt32 { UInt32(truncatingIfNeeded: time(nil)) }

/// A TCP connection to the built-in portmapper: small records, one at a time, closed at the first fault or when idle.
final class PortmapStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Questions are of a hundred bytes; this is what the greatest credential and three names need.
    private static let recordBound = 2048
    private let responder: PortmapResponder
    private var scanner = RecordScanner(bound: PortmapStreamHandler.recordBound)
    private var unread = ByteBuffer()
    private var fragments = ByteBuffer()
    private var lifetime: Scheduled<Void>?

    init(responder: PortmapResponder) { self.responder = responder }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        // Nobody has business here for longer.
        lifetime = context.eventLoop.scheduleTask(in: .seconds(60)) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        lifetime?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        unread.writeBuffer(&bytes)
        do {
            while true {
                switch try unread.withUnsafeReadableBytes({ try scanner.next($0) }) {
                case .needs:
                    unread.discardReadBytes()
                    return
                case .fragment(let length):
                    unread.moveReaderIndex(forwardBy: 4)
                    if var piece = unread.readSlice(length: length) { fragments.writeBuffer(&piece) }
                case .lastFragment(let length):
                    unread.moveReaderIndex(forwardBy: 4)
                    if var piece = unread.readSlice(length: length) { fragments.writeBuffer(&piece) }
                    let reply = try fragments.withUnsafeReadableBytes {
                        try responder.reply(to: $0, over: .tcp, now: secondsSince1970())
                    }
                    fragments.clear()
                    guard let reply else { continue }
                    var out = context.channel.allocator.buffer(capacity: reply.count + 4)
                    out.writeInteger(RecordScanner.mark(length: reply.count))
                    out.writeBytes(reply)
                    context.write(wrapOutboundOut(out), promise: nil)
                }
            }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
}

/// The built-in portmapper's UDP socket.
final class PortmapDatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let responder: PortmapResponder

    init(responder: PortmapResponder) { self.responder = responder }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        // What is no call gets no answer, so that forged senders cannot make two servers talk to each other.
        guard
            let reply = try? envelope.data.withUnsafeReadableBytes({
                try responder.reply(to: $0, over: .udp, now: secondsSince1970())
            })
        else { return }
        let out = context.channel.allocator.buffer(bytes: reply)
        context.write(
            wrapOutboundOut(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: out)), promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
