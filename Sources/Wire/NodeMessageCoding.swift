import ClusterModel

/// The frame of a message between nodes: 12 bytes {header length u32, payload length u32, kind u8, three zero bytes}, the
/// header, the payload. Little-endian.
public struct FrameHead: Hashable, Sendable {
    public static let size = 12
    public var headerLength: Int
    public var payloadLength: Int
    public var kind: UInt8

    public init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var r = WireReader(bytes)
        headerLength = Int(try r.u32())
        payloadLength = Int(try r.u32())
        kind = try r.u8()
        if headerLength > Limits.headerBytes { throw WireError("a frame header of \(headerLength) bytes") }
        if payloadLength > Limits.payloadBytes { throw WireError("a frame payload of \(payloadLength) bytes") }
        if try r.u8() != 0 { throw WireError("a frame with unknown flags") }
        if try r.u16() != 0 { throw WireError("a frame with unknown flags") }
    }
}

/// The frame of a message to a replica whose payload the receiver has: it sent it itself, with a request that is not answered
/// yet. Its header begins with that request's exchange id, as u64; the replica's message follows, and no payload.
public enum EchoFrame {
    public static let kind: UInt8 = 10
    /// The kind of the message that follows the id.
    public static let messageKind: UInt8 = 6
}

extension WireWriter {
    /// Appends the whole frame of a message to a replica, whose payload came with request `id` of the receiver.
    public mutating func echoFrame(_ message: ReplicaMessage, of id: ExchangeID) {
        frame(kind: EchoFrame.kind, payloadLength: 0) {
            $0.u64(id.rawValue)
            $0.replicaMessage(message)
        }
    }

    /// Appends a whole frame but its payload.
    public mutating func frame(_ message: NodeMessage) {
        frame(kind: NodeMessage.kind(of: message), payloadLength: message.payload?.length ?? 0) {
            message.encode(into: &$0)
        }
    }

    mutating func frame(kind: UInt8, payloadLength: Int, header: (inout WireWriter) -> Void) {
        let start = count
        u32(0)
        u32(UInt32(payloadLength))
        u32(UInt32(kind))
        let headerStart = count
        header(&self)
        patch32(at: start, UInt32(count - headerStart))
    }
}

extension NodeMessage {
    static func kind(of message: NodeMessage) -> UInt8 {
        switch message {
        case .hello: 1
        case .request: 2
        case .response: 3
        case .flush: 4
        case .flushed: 5
        case .replica: 6
        case .alive: 7
        case .ask: 8
        case .tell: 9
        // 10 is `EchoFrame`, 11 `SharingMessage`, 12 `LentPayload`.
        case .slow: 13
        }
    }

    func encode(into w: inout WireWriter) {
        switch self {
        case .hello(let h):
            w.u128(h.cluster.rawValue)
            w.node(h.node)
            w.u128(h.boot.rawValue)
            w.u32(h.lease.rawValue)
            w.u16(h.oldestProtocol)
            w.u16(h.newestProtocol)
            w.u64(h.mapVersion.rawValue)
            w.u64(h.features)
            w.u8(h.purpose.rawValue)
        case .request(let id, let request):
            w.u64(id.rawValue)
            w.pgRequest(request)
        case .response(let id, let response):
            w.u64(id.rawValue)
            w.pgResponse(response)
        case .flush(let id, let session, let version, let groups):
            w.u64(id.rawValue)
            w.u64(session.rawValue)
            w.u64(version.rawValue)
            w.list(groups) {
                $0.pg($1.pg)
                $0.epoch($1.epoch)
            }
        case .flushed(let id, let answer):
            w.u64(id.rawValue)
            switch answer {
            case .all(let stamp):
                w.u8(1)
                w.u64(stamp.rawValue)
            case .each(let responses):
                w.u8(2)
                w.list(responses) { $0.pgResponse($1) }
            }
        case .replica(let message):
            w.replicaMessage(message)
        case .alive(let standing):
            w.u64(standing.mapVersion.rawValue)
            w.u64(standing.totalBytes)
            w.u64(standing.freeBytes)
            w.optional(standing.usage) { w, u in u.encode(into: &w) }
            w.u8(standing.intent.rawValue)
        case .slow(let word):
            w.u64(word.median.nanoseconds)
            w.u64(word.others.nanoseconds)
        case .ask(let id, let text), .tell(let id, let text):
            w.u64(id.rawValue)
            w.blob(text.json)
        }
    }

    /// Reads one message of a frame where that version is spoken; everything must be used up.
    public init(
        kind: UInt8, header: UnsafeRawBufferPointer, payload: PayloadHandle?, in version: ProtocolVersion = .newest
    ) throws(WireError) {
        var r = WireReader(header)
        let source = PayloadSource(payload)
        switch kind {
        case 1:
            let cluster = ClusterID(try r.u128())
            let node = try r.node()
            let boot = BootID(try r.u128())
            let lease = LeaseNumber(try r.u32())
            let oldest = try r.u16()
            let newest = try r.u16()
            let map = MapVersion(try r.u64())
            let features = try r.u64()
            guard let purpose = Hello.Purpose(rawValue: try r.u8()) else {
                throw WireError("a hello of unknown purpose")
            }
            self = .hello(
                Hello(
                    cluster: cluster, node: node, boot: boot, lease: lease, oldestProtocol: oldest,
                    newestProtocol: newest,
                    mapVersion: map, features: features, purpose: purpose))
        case 2: self = .request(ExchangeID(try r.u64()), try r.pgRequest(source))
        case 3: self = .response(ExchangeID(try r.u64()), try r.pgResponse(source))
        case 4:
            self = .flush(
                ExchangeID(try r.u64()), try r.session(), MapVersion(try r.u64()),
                try r.list(atMost: Limits.flushGroups, elementBytes: 12) { r throws(WireError) in
                    FlushTarget(pg: try r.pg(), epoch: try r.epoch())
                })
        case 5:
            let id = ExchangeID(try r.u64())
            switch try r.u8() {
            case 1: self = .flushed(id, .all(LossNumber(try r.u64())))
            case 2:
                self = .flushed(
                    id,
                    .each(
                        try r.list(atMost: Limits.flushGroups, elementBytes: 13) { r throws(WireError) in
                            try r.pgResponse(PayloadSource(nil))
                        }))
            case let other: throw WireError("an answer to a flush of unknown kind \(other)")
            }
        case 6: self = .replica(try r.replicaMessage(source))
        case 7:
            let version = MapVersion(try r.u64())
            let total = try r.u64()
            let free = try r.u64()
            let usage = try r.optional { r throws(WireError) in try GroupsUsage(from: &r) }
            guard let intent = NodeStanding.Intent(rawValue: try r.u8()) else {
                throw WireError("a node of unknown intent")
            }
            self = .alive(
                NodeStanding(mapVersion: version, totalBytes: total, freeBytes: free, usage: usage, intent: intent))
        case 8: self = .ask(ExchangeID(try r.u64()), AdminText(json: try r.blob(atMost: Limits.adminBytes)))
        case 9: self = .tell(ExchangeID(try r.u64()), AdminText(json: try r.blob(atMost: Limits.adminBytes)))
        case 13:
            self = .slow(
                PaceWord(median: TimeSpan(nanoseconds: try r.u64()), others: TimeSpan(nanoseconds: try r.u64())))
        default: throw WireError("a message of unknown kind \(kind)")
        }
        try r.finish()
        if since > version {
            throw WireError("a message of protocol \(since.rawValue) where \(version.rawValue) is spoken")
        }
        if payload != nil, self.payload == nil { throw WireError("a payload that no field announces") }
    }
}
