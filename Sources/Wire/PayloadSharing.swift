import ClusterModel

/// Memory of one process that others of its machine can read: drawn at random, never used again.
public struct ArenaID: UniqueIdentifier {
    public let rawValue: UInt128
    public init(_ rawValue: UInt128) { self.rawValue = rawValue }
}

/// What nodes of one machine tell each other about memory in which they lend payloads (docs/design.md, Payloads in shared
/// memory). Only between nodes whose hellos both have `Hello.sharesMemory`, over Unix sockets.
public enum SharingMessage: Hashable, Sendable {
    /// The sender's own arena: a sealed memory file, to be opened as descriptor `descriptor` of process `process`.
    case offer(ArenaID, process: Int32, descriptor: Int32, bytes: UInt64)
    /// The sender can read this arena: its owner and others may lend it regions there.
    case readable(ArenaID)
    /// The sender gives up an arena: it is lent no more regions there.
    case unreadable(ArenaID)
    /// The answer to `unreadable`: all regions that were lent stand before this message.
    case lastUse(ArenaID)
    /// What was lent with these numbers is read no more.
    case returned([UInt64])
    /// The sender lent regions of the receiver's arena on, and lost the connection: the arena is never to be written again.
    case spoiled(ArenaID)

    /// In the frame's head.
    public static let kind: UInt8 = 11
    /// Grants that one message returns.
    public static let grantsPerMessage = 4096

    public init(_ header: UnsafeRawBufferPointer) throws(WireError) {
        var r = WireReader(header)
        switch try r.u8() {
        case 1:
            self = .offer(
                ArenaID(try r.u128()), process: Int32(bitPattern: try r.u32()),
                descriptor: Int32(bitPattern: try r.u32()),
                bytes: try r.u64())
        case 2: self = .readable(ArenaID(try r.u128()))
        case 3: self = .unreadable(ArenaID(try r.u128()))
        case 4: self = .lastUse(ArenaID(try r.u128()))
        case 5:
            self = .returned(
                try r.list(atMost: SharingMessage.grantsPerMessage, elementBytes: 8) { r throws(WireError) in
                    try r.u64()
                })
        case 6: self = .spoiled(ArenaID(try r.u128()))
        case let other: throw WireError("a message about shared memory of unknown kind \(other)")
        }
        try r.finish()
    }
}

/// The head of a frame whose payload lies in shared memory: it stands before the message's own header, and no payload follows.
public struct LentPayload: Hashable, Sendable {
    public var grant: UInt64
    public var arena: ArenaID
    /// In bytes from the arena's beginning.
    public var offset: UInt64
    public var count: UInt32
    /// The kind of the message that follows.
    public var messageKind: UInt8

    /// In the frame's head.
    public static let kind: UInt8 = 12
    /// Bytes of these fields.
    public static let size = 37

    public init(grant: UInt64, arena: ArenaID, offset: UInt64, count: UInt32, messageKind: UInt8) {
        self.grant = grant
        self.arena = arena
        self.offset = offset
        self.count = count
        self.messageKind = messageKind
    }

    public init(_ header: UnsafeRawBufferPointer) throws(WireError) {
        var r = WireReader(header)
        grant = try r.u64()
        arena = ArenaID(try r.u128())
        offset = try r.u64()
        count = try r.u32()
        messageKind = try r.u8()
    }
}

extension Hello {
    /// A bit of `features`: the node lends and reads payloads in shared memory.
    public static let sharesMemory: UInt64 = 1
}

extension WireWriter {
    /// Appends a whole frame.
    public mutating func frame(_ message: SharingMessage) {
        frame(kind: SharingMessage.kind, payloadLength: 0) { w in
            switch message {
            case .offer(let arena, let process, let descriptor, let bytes):
                w.u8(1)
                w.u128(arena.rawValue)
                w.u32(UInt32(bitPattern: process))
                w.u32(UInt32(bitPattern: descriptor))
                w.u64(bytes)
            case .readable(let arena):
                w.u8(2)
                w.u128(arena.rawValue)
            case .unreadable(let arena):
                w.u8(3)
                w.u128(arena.rawValue)
            case .lastUse(let arena):
                w.u8(4)
                w.u128(arena.rawValue)
            case .returned(let grants):
                w.u8(5)
                w.list(grants) { $0.u64($1) }
            case .spoiled(let arena):
                w.u8(6)
                w.u128(arena.rawValue)
            }
        }
    }

    /// Appends the whole frame of a message whose payload was lent.
    public mutating func lentFrame(_ message: NodeMessage, grant: UInt64, arena: ArenaID, offset: UInt64, count: UInt32)
    {
        frame(kind: LentPayload.kind, payloadLength: 0) {
            $0.u64(grant)
            $0.u128(arena.rawValue)
            $0.u64(offset)
            $0.u32(count)
            $0.u8(NodeMessage.kind(of: message))
            message.encode(into: &$0)
        }
    }
}
