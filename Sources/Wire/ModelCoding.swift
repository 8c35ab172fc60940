import ClusterModel

/// Codecs of the identities that every message is made of.
extension WireWriter {
    public mutating func node(_ v: NodeID) { u16(v.rawValue) }
    public mutating func pg(_ v: PGID) { u32(v.rawValue) }
    public mutating func epoch(_ v: Epoch) { u64(v.rawValue) }
    public mutating func name(_ v: EntryName) {
        u64(v.epoch.rawValue)
        u64(v.n)
    }
    public mutating func file(_ v: FileID) {
        u32(v.fileset.rawValue)
        u64(v.inode.rawValue)
    }
    public mutating func object(_ v: ObjectID) {
        file(v.file)
        u64(v.index)
    }
    public mutating func blocks(_ v: BlockRange) {
        u16(UInt16(v.first))
        u16(UInt16(v.count))
    }
    public mutating func objectRange(_ v: ObjectRange) {
        object(v.object)
        u32(UInt32(v.offset))
        u32(UInt32(v.length))
    }
    public mutating func truncation(_ v: TruncationMark) {
        u64(v.number.rawValue)
        u64(v.size)
    }
    public mutating func layout(_ v: Layout) {
        u32(UInt32(v.stripeUnit))
        u8(UInt8(v.stripeCount))
    }
    public mutating func call(_ v: CallIdentity) {
        u128(v.origin)
        u64(v.request)
    }
    public mutating func member(_ v: Member) {
        node(v.node)
        u128(v.disk.rawValue)
        optional(v.boot) { $0.u128($1.rawValue) }
    }

    public mutating func record(_ v: PGRecord) {
        pg(v.pg)
        epoch(v.epoch)
        optional(v.primary) { $0.node($1) }
        u32(v.primaryLease.rawValue)
        list(v.inSync) { $0.member($1) }
        list(v.learners) { $0.member($1) }
        list(v.placement) {
            $0.node($1.node)
            $0.u128($1.disk.rawValue)
        }
        u64(v.lossNumber.rawValue)
    }

    public mutating func blockWrite(_ v: BlockWrite) {
        object(v.object)
        blocks(v.blocks)
        truncation(v.truncation)
        for checksum in v.checksums { u32(checksum) }
    }

    public mutating func rangeDeletion(_ v: RangeDeletion) {
        file(v.file)
        truncation(v.truncation)
        layout(v.layout)
        u8(v.kind.rawValue)
        u64(v.limit)
        optional(v.edge) { $0.blockWrite($1) }
    }

    /// The entry without its payload; the payload's length is written, so that the reader knows what belongs to it.
    public mutating func entry(_ v: Entry) {
        name(v.name)
        u64(v.session.rawValue)
        u64(v.request.rawValue)
        optional(v.call) { $0.call($1) }
        u8(v.durability.rawValue)
        u64(v.lossNumber.rawValue)
        u64(v.snapshot.rawValue)
        i64(v.time.nanoseconds)
        switch v.body {
        case .empty: u8(0)
        case .write(let w):
            u8(1)
            blockWrite(w)
        case .zero(let z):
            u8(2)
            object(z.object)
            blocks(z.blocks)
            truncation(z.truncation)
        case .deleteRange(let d):
            u8(3)
            rangeDeletion(d)
        case .restate(let r):
            u8(4)
            object(r.object)
            list(r.lost) {
                $0.u64($1.session.rawValue)
                $0.u64($1.request.rawValue)
            }
        case .namespace: u8(5)
        case .scrubMark: u8(6)
        }
        u32(UInt32(v.payload?.length ?? 0))
    }
}

/// Gives a decoded message its payload: the shell knows the bytes that followed the header under this handle.
public struct PayloadSource: Sendable {
    /// Nil when the frame carried no payload.
    public let handle: PayloadHandle?
    public init(_ handle: PayloadHandle?) { self.handle = handle }

    /// The handle, if `length` bytes are announced and exactly these arrived.
    public func take(_ length: Int) throws(WireError) -> PayloadHandle? {
        if length == 0, handle == nil { return nil }
        guard let handle, handle.length == length else {
            throw WireError("a payload of \(length) bytes is announced, \(handle?.length ?? 0) arrived")
        }
        return handle
    }
}

extension WireReader {
    public mutating func node() throws(WireError) -> NodeID { NodeID(try u16()) }
    public mutating func pg() throws(WireError) -> PGID { PGID(rawValue: try u32()) }
    public mutating func epoch() throws(WireError) -> Epoch { Epoch(try u64()) }
    public mutating func name() throws(WireError) -> EntryName {
        EntryName(epoch: try epoch(), n: try u64())
    }
    public mutating func session() throws(WireError) -> SessionID { SessionID(try u64()) }
    public mutating func request() throws(WireError) -> RequestNumber { RequestNumber(try u64()) }
    public mutating func file() throws(WireError) -> FileID {
        FileID(fileset: FilesetID(try u32()), inode: InodeNumber(try u64()))
    }
    public mutating func object() throws(WireError) -> ObjectID {
        ObjectID(file: try file(), index: try u64())
    }
    public mutating func blocks() throws(WireError) -> BlockRange {
        let range = BlockRange(first: Int(try u16()), count: Int(try u16()))
        if range.end > Geometry.blocksPerObject {
            throw WireError("blocks \(range.first)+\(range.count) lie beyond an object")
        }
        return range
    }
    /// An object that a file can have. Greater indexes are not a client's to name: disks keep rows of their own there.
    mutating func fileObject() throws(WireError) -> ObjectID {
        let object = try object()
        if object.index > Limits.objectIndex { throw WireError("object \(object.index), which no file can have") }
        return object
    }
    public mutating func objectRange() throws(WireError) -> ObjectRange {
        let object = try fileObject()
        let offset = Int(try u32())
        let length = Int(try u32())
        if length > Geometry.maximumTransfer || offset + length > Geometry.objectSize {
            throw WireError("bytes \(offset)+\(length) lie beyond an object or a transfer")
        }
        return ObjectRange(object: object, offset: offset, length: length)
    }
    public mutating func truncation() throws(WireError) -> TruncationMark {
        TruncationMark(number: TruncationNumber(try u64()), size: try u64())
    }
    public mutating func layout() throws(WireError) -> Layout {
        guard let layout = Layout(stripeUnit: Int(try u32()), stripeCount: Int(try u8())) else {
            throw WireError("a layout outside its ranges")
        }
        return layout
    }
    public mutating func call() throws(WireError) -> CallIdentity {
        CallIdentity(origin: try u128(), request: try u64())
    }
    public mutating func durability() throws(WireError) -> Durability {
        guard let d = Durability(rawValue: try u8()) else { throw WireError("an unknown durability") }
        return d
    }
    public mutating func member() throws(WireError) -> Member {
        Member(
            node: try node(), disk: DiskID(try u128()),
            boot: try optional { r throws(WireError) in BootID(try r.u128()) })
    }

    public mutating func record() throws(WireError) -> PGRecord {
        PGRecord(
            pg: try pg(), epoch: try epoch(), primary: try optional { r throws(WireError) in try r.node() },
            primaryLease: LeaseNumber(try u32()),
            inSync: try list(atMost: Limits.members, elementBytes: 19) { r throws(WireError) in try r.member() },
            learners: try list(atMost: Limits.members, elementBytes: 19) { r throws(WireError) in try r.member() },
            placement: try list(atMost: Limits.members, elementBytes: 18) { r throws(WireError) in
                PlacementTarget(node: try r.node(), disk: DiskID(try r.u128()))
            }, lossNumber: LossNumber(try u64()))
    }

    public mutating func blockWrite() throws(WireError) -> BlockWrite {
        let object = try object()
        let blocks = try blocks()
        let truncation = try truncation()
        if blocks.count * 4 > remaining {
            throw WireError("\(blocks.count) checksums are announced, but the message ends")
        }
        var checksums: [UInt32] = []
        checksums.reserveCapacity(blocks.count)
        for _ in 0..<blocks.count { checksums.append(try u32()) }
        return BlockWrite(object: object, blocks: blocks, checksums: checksums, truncation: truncation)
    }

    public mutating func rangeDeletion() throws(WireError) -> RangeDeletion {
        let file = try file()
        let truncation = try truncation()
        let layout = try layout()
        guard let kind = RangeDeletion.Kind(rawValue: try u8()) else {
            throw WireError("an unknown kind of range deletion")
        }
        let limit = try u64()
        let edge = try optional { r throws(WireError) in try r.blockWrite() }
        return RangeDeletion(
            file: file, truncation: truncation, layout: layout, kind: kind, limit: limit, edge: edge)
    }

    public mutating func entry(_ payload: PayloadSource) throws(WireError) -> Entry {
        let name = try name()
        let session = try session()
        let request = try request()
        let call = try optional { r throws(WireError) in try r.call() }
        let durability = try durability()
        let loss = LossNumber(try u64())
        let snapshot = SnapshotNumber(try u64())
        let time = Timestamp(nanoseconds: try i64())
        let body: EntryBody
        switch try u8() {
        case 0: body = .empty
        case 1: body = .write(try blockWrite())
        case 2: body = .zero(BlockZero(object: try object(), blocks: try blocks(), truncation: try truncation()))
        case 3: body = .deleteRange(try rangeDeletion())
        case 4:
            body = .restate(
                Restatement(
                    object: try object(),
                    lost: try list(atMost: Limits.lostRequests, elementBytes: 16) { r throws(WireError) in
                        LostRequest(session: try r.session(), request: try r.request())
                    }))
        case 5: body = .namespace
        case 6: body = .scrubMark
        case let other: throw WireError("an entry of unknown kind \(other)")
        }
        let handle = try payload.take(Int(try u32()))
        return Entry(
            name: name, body: body, session: session, request: request, call: call, durability: durability,
            lossNumber: loss, snapshot: snapshot, time: time, payload: handle)
    }
}

/// Bounds of what a message may announce. Beyond them the message is refused and its connection closed.
public enum Limits {
    /// Members of one placement group record: five copies and as many learners, doubled for moves.
    public static let members = 20
    /// Requests that one restatement can name: the windows of 4,096 sessions' one lost request each.
    public static let lostRequests = 4096
    /// Bytes of a message's header part: the greatest are an admin text and the answers to a flush of all groups.
    public static let headerBytes = 2 << 20
    /// Bytes of a message's payload: the greatest transfer and two blocks of completed edges.
    public static let payloadBytes = Geometry.maximumTransfer + 2 * Geometry.blockSize
    /// The greatest index of an object, in any layout: a file's greatest size in objects, and the rest of a stripe set.
    public static let objectIndex = Geometry.maximumFileSize / UInt64(Geometry.objectSize) + 64
    /// Groups in one flush.
    public static let flushGroups = 65536
    public static let nodes = 1024
    public static let disks = 8192
    public static let sessions = 16384
    public static let filesets = 16384
    public static let exports = 4096
    public static let failureDomainLevels = 8
    public static let exportClients = 256
    public static let text = 4096
    /// Bytes of an admin question or answer.
    public static let adminBytes = 1 << 20
}
