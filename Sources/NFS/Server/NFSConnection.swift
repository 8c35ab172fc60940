import ClusterModel
import NIOCore
import ONCRPC
import Wire

/// One client connection: cuts the stream into records, hands calls to the gateway, sends answers.
///
/// Invariants:
/// - a record is taken in only when admission allows; what has not been taken in dies with the connection;
/// - while nothing may be taken in, nothing is read from the socket (TCP back-pressure);
/// - a record greater than 64 KiB reserves its size before its rest is read, so that half-read records are bounded too;
/// - answers are flushed once per read cycle, and once per turn of the event loop for those that storage delays;
/// - the first malformed record ends the connection.
final class NFSConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    private enum Reading {
        /// Records are taken in as they come.
        case open
        /// Admission said no; `resume` tries again.
        case held
    }

    private let gateway: NFSGateway
    /// The client.
    let address: ClientAddress
    private var context: ChannelHandlerContext?
    private var scanner = RecordScanner()
    /// What was read and not yet taken in.
    private var unread = ByteBuffer()
    /// What was read behind a record for which room was made: to take it in there would move the record.
    private var ahead = ByteBuffer()
    /// Bytes of that record, its mark included; 0 without one.
    private var wanted = 0
    /// Fragments of a record whose last is still to come.
    private var fragments = ByteBuffer()
    private var reserved = 0
    private var reading = Reading.open
    private var isWithinReadCycle = false
    private var wantsRead = false
    private var isUnflushed = false
    /// What this connection's calls hold.
    var share = Admission.Share()
    /// Calls taken in.
    private(set) var calls = 0
    /// When bytes last came or an answer last went.
    private(set) var lastActive: NIODeadline
    private var known = KnownFiles()
    private var run: WriteRun?

    init(gateway: NFSGateway, address: ClientAddress) {
        self.gateway = gateway
        self.address = address
        lastActive = gateway.now
    }

    var id: ObjectIdentifier { ObjectIdentifier(self) }
    /// Nothing more is taken in for now, for what is held.
    var isHeldBack: Bool { reading == .held }
    /// Nothing is under way, so that a client loses nothing by a new connection.
    var isIdle: Bool { share.calls == 0 && unread.readableBytes + ahead.readableBytes == 0 && !scanner.isWithinRecord }
    /// No whole call yet, a record that does not go on, or answers that are not taken.
    func isStalled(since instant: NIODeadline) -> Bool {
        guard lastActive < instant else { return false }
        // It may have asked for all that it does not take before the first answer: then nothing of it is held back.
        if context.map({ !$0.channel.isWritable }) ?? false || share.calls == 0 && share.bytes > 0 { return true }
        switch reading {
        case .open: return calls == 0 || unread.readableBytes > 0 || scanner.isWithinRecord
        case .held: return false
        }
    }

    /// It has room reserved for a record that does not go on.
    func isHoarding(since instant: NIODeadline) -> Bool { reserved > 0 && lastActive < instant }

    // MARK: Files whose handles this connection got (replication.md, Loss number)

    /// The handle of a file was given out here.
    func opened(_ file: FileID, name: FileName?) { known.opened(file, name: name) }
    /// Whether a file's handle was given out here.
    func knows(_ file: FileID) -> Bool { known.contains(file) }
    /// The name by which the file was opened here.
    func name(of file: FileID) -> FileName? { known.name(of: file) }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end()
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isWithinReadCycle = true
        var bytes = unwrapInboundIn(data)
        lastActive = gateway.now
        append(&bytes)
        takeRecords()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isWithinReadCycle = false
        submitWrites()
        flush()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        switch reading {
        case .open: context.read()
        case .held: wantsRead = true
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { resume() }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Records

    private func append(_ bytes: inout ByteBuffer) {
        if ahead.readableBytes > 0 {
            ahead.writeBuffer(&bytes)
        } else if unread.readableBytes == 0 {
            unread = bytes
        } else if wanted > 0 {
            if var rest = bytes.readSlice(length: min(wanted - unread.readableBytes, bytes.readableBytes)) {
                unread.writeBuffer(&rest)
            }
            ahead = bytes
        } else {
            unread.writeBuffer(&bytes)
        }
    }

    /// Tries again what admission or an unsent answer held back.
    func resume() {
        guard reading == .held, context != nil else { return }
        reading = .open
        takeRecords()
        if !isWithinReadCycle { submitWrites() }
        guard reading == .open, wantsRead else { return }
        wantsRead = false
        context?.read()
    }

    private func takeRecords() {
        while let context, reading == .open {
            if unread.readableBytes == 0 {
                unread = ahead
                ahead = ByteBuffer()
                if unread.readableBytes == 0 { return }
            }
            // Who has reserved room for a record goes on with it whatever the bounds say: it is counted already, and
            // if all room were reserved by records that may not go on, none ever would.
            guard reserved > 0 || (context.channel.isWritable && gateway.admits(self)) else {
                reading = .held
                return
            }
            do {
                let step = try unread.withUnsafeReadableBytes { try scanner.next($0) }
                switch step {
                case .needs(let count):
                    makeRoom(for: count)
                    return
                case .fragment(let length):
                    wanted = 0
                    unread.moveReaderIndex(forwardBy: 4)
                    if var piece = unread.readSlice(length: length) { fragments.writeBuffer(&piece) }
                    reserve(fragments.readableBytes)
                case .lastFragment(let length):
                    unread.moveReaderIndex(forwardBy: 4)
                    take(length)
                }
            } catch {
                gateway.complain(about: address, "\(error)")
                close(because: "malformed record")
            }
        }
    }

    /// Room for a record of which `count` bytes, mark included, are needed and fewer have come.
    private func makeRoom(for count: Int) {
        guard count > NFSLimits.unreservedRecordBytes else { return }
        reserve(count + fragments.readableBytes)
        guard wanted < count else { return }
        // `unread` must be the only reference to the room, or the next bytes would move it.
        var begun = unread
        unread = gateway.vfs.dataBuffer(capacity: count)
        unread.writeBuffer(&begun)
        wanted = count
        if ahead.readableBytes == 0 { return }
        var behind = ahead
        ahead = ByteBuffer()
        append(&behind)
    }

    private func reserve(_ count: Int) {
        guard count > max(reserved, NFSLimits.unreservedRecordBytes) else { return }
        gateway.took(bytes: count - reserved, for: self)
        reserved = count
    }

    private func take(_ length: Int) {
        wanted = 0
        guard var record = unread.readSlice(length: length) else { return }
        if fragments.readableBytes > 0 {
            fragments.writeBuffer(&record)
            record = fragments
            fragments = ByteBuffer()
        } else if record.storageCapacity > 8 * length + 4096 {
            // A held call must not pin the whole of the socket's read.
            record = gateway.allocator.buffer(buffer: record)
        }
        if reserved > 0 {
            gateway.gaveBack(bytes: reserved, for: self)
            reserved = 0
        }
        calls += 1
        if let fault = gateway.received(record, on: self) {
            gateway.complain(about: address, "\(fault)")
            close(because: "malformed call")
        }
    }

    // MARK: Writes that touch

    /// A WRITE that is ready for the file system; it may wait for its neighbour until the end of the read cycle.
    func write(_ part: WriteRun.Part) {
        if run?.take(part) == true { return }
        submitWrites()
        run = WriteRun(part)
        if !WriteRun.canBegin(with: part) { submitWrites() }
    }

    /// Hands over what waits for its neighbour, before any other call of this connection.
    func submitWrites() {
        guard let ready = run else { return }
        run = nil
        ready.submit()
    }

    // MARK: Answers

    /// Writes an answer; it leaves at the end of the read cycle or of the loop's turn.
    func send(_ answer: Answer) {
        guard let context else { return }
        context.write(wrapOutboundOut(answer.head), promise: nil)
        if let data = answer.data, data.readableBytes > 0 {
            let count = data.readableBytes
            context.write(wrapOutboundOut(data), promise: promise(for: count))
            let padding = XDRAlignment.padding(count)
            if padding > 0 { context.write(wrapOutboundOut(gateway.padding(padding)), promise: nil) }
        }
        lastActive = gateway.now
        guard !isUnflushed else { return }
        isUnflushed = true
        if !isWithinReadCycle { gateway.flushSoon(self) }
    }

    /// Data of an answer is held until the socket has taken it, so that a client that takes no answers cannot collect
    /// them here.
    private func promise(for count: Int) -> EventLoopPromise<Void>? {
        guard count >= NFSLimits.unreservedRecordBytes, let context else { return nil }
        gateway.took(bytes: count, for: self)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in
            lastActive = gateway.now
            gateway.gaveBack(bytes: count, for: self)
            gateway.roomCame(for: self)
        }
        return promise
    }

    /// Sends what was written.
    func flush() {
        guard isUnflushed else { return }
        isUnflushed = false
        context?.flush()
    }

    /// Ends the connection.
    func close(because reason: String) {
        guard let context else { return }
        gateway.logger.debug("connection closed", metadata: ["client": "\(address)", "reason": "\(reason)"])
        flush()
        end()
        context.close(promise: nil)
    }

    /// Nothing more is taken in or sent; calls under way end without an answer.
    private func end() {
        guard context != nil else { return }
        context = nil
        unread = ByteBuffer()
        ahead = ByteBuffer()
        fragments = ByteBuffer()
        if reserved > 0 {
            gateway.gaveBack(bytes: reserved, for: self)
            reserved = 0
        }
        // What was not handed over dies with the connection; who waits for it elsewhere asks again.
        let unsent = run
        run = nil
        for part in unsent?.parts ?? [] { part.call.abandon() }
        gateway.left(self)
    }
}
