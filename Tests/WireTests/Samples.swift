import ClusterModel
import Wire

/// Random values of everything that travels, from a seed.
struct SampleSource {
    var random: SplitMix64
    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    /// Often small, often at a border, sometimes anything.
    mutating func u64() -> UInt64 {
        switch random.below(4) {
        case 0: UInt64(random.below(4))
        case 1: .max
        case 2: random.next() >> UInt64(random.below(64))
        default: random.next()
        }
    }
    mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: u64()) }
    mutating func u16() -> UInt16 { UInt16(truncatingIfNeeded: u64()) }
    mutating func u128() -> UInt128 { UInt128(u64()) << 64 | UInt128(u64()) }
    mutating func isTrue() -> Bool { random.below(2) == 0 }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(random.below(256)) } }
    mutating func text() -> String { String(repeating: "ä/", count: random.below(9)) }
    mutating func list<T>(upTo bound: Int, _ body: (inout SampleSource) -> T) -> [T] {
        (0..<random.below(bound + 1)).map { _ in body(&self) }
    }
    mutating func optional<T>(_ body: (inout SampleSource) -> T) -> T? { isTrue() ? body(&self) : nil }

    mutating func payload(_ length: Int) -> PayloadHandle? {
        length == 0 ? nil : PayloadHandle(id: 7, length: length)
    }
    mutating func anyPayload() -> PayloadHandle? { payload(random.below(2) * (1 + random.below(1 << 20))) }

    mutating func node() -> NodeID { NodeID(u16()) }
    mutating func pg() -> PGID { PGID(rawValue: u32()) }
    mutating func epoch() -> Epoch { Epoch(u64()) }
    mutating func name() -> EntryName { EntryName(epoch: epoch(), n: u64()) }
    mutating func session() -> SessionID { SessionID(u64()) }
    mutating func number() -> RequestNumber { RequestNumber(u64()) }
    mutating func loss() -> LossNumber { LossNumber(u64()) }
    mutating func mapVersion() -> MapVersion { MapVersion(u64()) }
    mutating func file() -> FileID { FileID(fileset: FilesetID(u32()), inode: InodeNumber(u64())) }
    mutating func object() -> ObjectID { ObjectID(file: file(), index: u64()) }
    /// One that a file can have, as clients name them.
    mutating func fileObject() -> ObjectID { ObjectID(file: file(), index: min(u64(), Limits.objectIndex)) }
    mutating func mark() -> TruncationMark { TruncationMark(number: TruncationNumber(u64()), size: u64()) }
    mutating func durability() -> Durability { isTrue() ? .stable : .unstable }
    mutating func call() -> CallIdentity { CallIdentity(origin: u128(), request: u64()) }
    mutating func member() -> Member {
        Member(node: node(), disk: DiskID(u128()), boot: optional { BootID($0.u128()) })
    }
    mutating func blocks(atMost bound: Int = Geometry.blocksPerObject) -> BlockRange {
        let count = random.below(bound + 1)
        return BlockRange(first: random.below(Geometry.blocksPerObject - count + 1), count: count)
    }
    mutating func range() -> ObjectRange {
        let length = random.below(Geometry.maximumTransfer + 1)
        return ObjectRange(object: fileObject(), offset: random.below(Geometry.objectSize - length + 1), length: length)
    }
    mutating func layout() -> Layout {
        Layout(stripeUnit: Geometry.slotSize << random.below(7), stripeCount: 1 + random.below(64)) ?? .standard
    }
    mutating func blockWrite() -> BlockWrite {
        let blocks = blocks(atMost: 20)
        return BlockWrite(
            object: object(), blocks: blocks, checksums: (0..<blocks.count).map { _ in u32() }, truncation: mark())
    }
    mutating func deletion() -> RangeDeletion {
        RangeDeletion(
            file: file(), truncation: mark(), layout: layout(), kind: isTrue() ? .removal : .truncation, limit: u64(),
            edge: optional { $0.blockWrite() })
    }
    mutating func record() -> PGRecord {
        PGRecord(
            pg: pg(), epoch: epoch(), primary: optional { $0.node() }, primaryLease: LeaseNumber(u32()),
            inSync: list(upTo: 5) { $0.member() }, learners: list(upTo: 3) { $0.member() },
            placement: list(upTo: 5) { PlacementTarget(node: $0.node(), disk: DiskID($0.u128())) }, lossNumber: loss())
    }
    mutating func lost() -> LostRequest { LostRequest(session: session(), request: number()) }

    static let entryKinds = 7
    mutating func entry(kind: Int) -> Entry {
        let body: EntryBody =
            switch kind {
            case 0: .empty
            case 1: .write(blockWrite())
            case 2: .zero(BlockZero(object: object(), blocks: blocks(), truncation: mark()))
            case 3: .deleteRange(deletion())
            case 4: .restate(Restatement(object: object(), lost: list(upTo: 5) { $0.lost() }))
            case 5: .namespace
            default: .scrubMark
            }
        return Entry(
            name: name(), body: body, session: session(), request: number(), call: optional { $0.call() },
            durability: durability(), lossNumber: loss(), snapshot: SnapshotNumber(u64()),
            time: Timestamp(nanoseconds: Int64(bitPattern: u64())), payload: anyPayload())
    }

    static let requestKinds = 8
    mutating func request(kind: Int) -> PGRequest {
        let body: PGRequestBody =
            switch kind {
            case 0: .write(range(), mark(), durability())
            case 1: .zero(fileObject(), blocks(), mark(), durability())
            case 2: .deleteRange(deletion())
            case 3: .read(range(), mark())
            case 4: .readVersion(range(), mark())
            case 5: .mutate(durability(), optional { $0.call() })
            case 6: .query
            default: .flush
            }
        return PGRequest(
            pg: pg(), session: session(), number: number(), ended: number(), epoch: epoch(), mapVersion: mapVersion(),
            body: body, payload: anyPayload())
    }

    static let refusalKinds = 11
    mutating func refusal(kind: Int) -> PGRefusal {
        switch kind {
        case 0: .notPrimary(optional { $0.record() })
        case 1: .newerEpoch(record())
        case 2: .sessionEnded(mapVersion())
        case 3: .truncated(mark())
        case 4: .removed
        case 5: .belowWindow
        case 6: .beyondWindow
        case 7: .noSpace
        case 8: .invalid
        case 9: .unreadable
        default: .unavailable
        }
    }

    static let responseKinds = 6 + refusalKinds
    mutating func response(kind: Int, payload: Bool = true) -> PGResponse {
        let body: PGResponseBody =
            switch kind {
            case 0: .written(stamp: loss())
            case 1: .data(present: isTrue() ? .complete : .someAbsent)
            case 2: .version(name(), decidedThrough: name())
            case 3: .mutated(stamp: loss())
            case 4: .answered
            case 5: .flushed(stamp: loss())
            default: .refused(refusal(kind: kind - 6))
            }
        return PGResponse(pg: pg(), epoch: epoch(), body: body, payload: payload ? anyPayload() : nil)
    }

    mutating func history() -> [EpochSpan] { list(upTo: 6) { EpochSpan(epoch: $0.epoch(), last: $0.u64()) } }
    mutating func position() -> ListPosition { isTrue() ? .more : .last }

    mutating func piece() -> Piece {
        let blocks = blocks(atMost: 64)
        let inside = blocks.count == 64 ? UInt64.max : (UInt64(1) << UInt64(blocks.count)) - 1
        let content = random.next() & inside
        let lost = content & (isTrue() ? random.next() & random.next() : 0)
        return Piece(
            attempt: u32(), step: u32(), object: object(), blocks: blocks, content: content,
            zero: random.next() & inside & ~content, lost: lost,
            checksums: (0..<content.nonzeroBitCount).map { _ in u32() },
            asOf: name(), version: name(), truncation: mark(), position: position(),
            payload: payload((content & ~lost).nonzeroBitCount * Geometry.blockSize))
    }

    private mutating func scrubName() -> ScrubName { ScrubName(version: name(), object: object()) }

    private mutating func objectFinding() -> ObjectFinding {
        ObjectFinding(
            asOf: name(), version: name(), digest: u32(), blocks: u32(), mended: u32(),
            verdict: [.whole, .lost, .unknown][random.below(3)], lost: list(upTo: 5) { $0.u16() })
    }

    private mutating func wantedBlocks() -> WantedBlocks {
        let count = 1 + random.below(64)
        let mask = count == 64 ? UInt64.max : (UInt64(1) << UInt64(count)) - 1
        let wanted = random.next() & mask
        return WantedBlocks(
            object: object(), blocks: BlockRange(first: random.below(Geometry.blocksPerObject - 64), count: count),
            wanted: wanted, checksums: (0..<wanted.nonzeroBitCount).map { _ in u32() })
    }

    static let replicaKinds = 35 + entryKinds
    mutating func replica(kind: Int) -> ReplicaMessage {
        let body: ReplicaMessageBody =
            switch kind {
            case 0: .attach(Attach(attempt: u32(), record: record(), history: history()))
            case 1:
                .attached(
                    Attached(
                        attempt: u32(), standing: isTrue() ? .sameLog(end: name()) : .behind(fork: name()),
                        member: member(), stable: name(),
                        voids: list(upTo: 4) { VoidRecord(entry: $0.name(), object: $0.object(), request: $0.lost()) },
                        room: u64()))
            case 2: .acknowledge(Acknowledgement(attempt: u32(), appended: name(), stable: name(), room: u64()))
            case 3: .decided(through: name(), stamp: loss())
            case 4: .sync(through: name())
            case 5: .refused(promised: epoch(), optional { $0.record() })
            case 6: .learn(attempt: u32(), fork: name())
            case 7: .learning(attempt: u32())
            case 8: .tables(attempt: u32(), bytes(random.below(300)))
            case 9: .start(LearningStart(attempt: u32(), after: name(), history: history()))
            case 10:
                .changedKeys(ChangedKeys(attempt: u32(), objects: list(upTo: 9) { $0.object() }, end: position()))
            case 11, 12: .piece(piece())
            case 13: .removeObject(attempt: u32(), step: u32(), object())
            case 14: .installed(attempt: u32(), step: u32())
            case 15:
                .snapshot(
                    SnapshotPart(
                        attempt: u32(), step: u32(), asOf: name(), position: position(), payload: anyPayload()))
            case 16: .finish(attempt: u32(), through: name())
            case 17: .finished(attempt: u32())
            case 18: .askStatus
            case 19:
                .status(
                    ReplicaStatus(
                        member: member(),
                        continuity: [.kept, .rebooted, .learning, .absent][random.below(4)], end: name()))
            case 20: .gone
            case 21: .takeOver(attempt: u32())
            case 22: .willing(attempt: u32(), under: LeaseNumber(u32()))
            case 23: .handedOver(record(), version: Int64(bitPattern: u64()))
            case 24: .askBlocks(BlocksAsk(request: u64(), wanted: wantedBlocks(), decided: name()))
            case 25:
                .blocks(
                    {
                        let content = random.next() & random.next() & random.next()
                        return BlocksGiven(
                            request: u64(), standing: isTrue() ? .ready : .notReady, content: content,
                            payload: payload(content.nonzeroBitCount * Geometry.blockSize)
                        )
                    }())
            case 26: .askScrub(ScrubAsk(request: u64(), mark: name(), part: .names(after: optional { $0.scrubName() })))
            case 27:
                .askScrub(
                    ScrubAsk(
                        request: u64(), mark: name(),
                        part: .objects(list(upTo: 9) { $0.object() }, isTrue() ? .index : .blocks)))
            case 28:
                .askScrub(
                    ScrubAsk(
                        request: u64(), mark: name(),
                        part: .rows(from: bytes(random.below(30)), limit: UInt16(1 + random.below(1024)))))
            case 29:
                .scrubbed(
                    ScrubAnswer(
                        request: u64(),
                        content: .names(list(upTo: 9) { $0.scrubName() }, next: optional { $0.scrubName() })))
            case 30:
                .scrubbed(ScrubAnswer(request: u64(), content: .objects(list(upTo: 9) { $0.objectFinding() })))
            case 31:
                .scrubbed(
                    ScrubAnswer(
                        request: u64(),
                        content: isTrue()
                            ? .notReady
                            : .rows(
                                RowsFinding(
                                    asOf: name(), digest: u64(), count: u32(),
                                    end: optional { $0.bytes($0.random.below(30)) }))))
            case 32: .mustLearn
            case 33: .askScrub(ScrubAsk(request: u64(), mark: name(), part: .windows))
            case 34:
                .scrubbed(
                    ScrubAnswer(
                        request: u64(),
                        content: .windows(
                            mapVersion(), list(upTo: 9) { WindowFinding(session: $0.session(), digest: $0.u64()) })))
            default:
                .append(Append(entry: entry(kind: kind - 35), previous: name(), decided: name(), stamp: loss()))
            }
        return ReplicaMessage(pg: pg(), epoch: epoch(), body: body)
    }

    static let otherKinds = 8
    mutating func other(kind: Int) -> NodeMessage {
        switch kind {
        case 0:
            .hello(
                Hello(
                    cluster: ClusterID(u128()), node: node(), boot: BootID(u128()), lease: LeaseNumber(u32()),
                    oldestProtocol: u16(), newestProtocol: u16(), mapVersion: mapVersion(), features: u64(),
                    purpose: isTrue() ? .peer : .admin))
        case 1:
            .flush(
                ExchangeID(u64()), session(), mapVersion(),
                list(upTo: 9) { FlushTarget(pg: $0.pg(), epoch: $0.epoch()) })
        case 2:
            .flushed(
                ExchangeID(u64()),
                isTrue()
                    ? .all(loss())
                    : .each(list(upTo: 9) { $0.response(kind: $0.random.below(Self.responseKinds), payload: false) }))
        case 3:
            .alive(
                NodeStanding(
                    mapVersion: mapVersion(), totalBytes: u64(), freeBytes: u64(),
                    usage: GroupsUsage(
                        groups: [.data(3), .data(7)], filesets: [FilesetBytes(fileset: .root, bytes: u64())]),
                    intent: isTrue() ? .leaving : .staying))
        case 4: .ask(ExchangeID(u64()), AdminText(json: bytes(random.below(200))))
        case 5: .tell(ExchangeID(u64()), AdminText(json: []))
        case 6: .tell(ExchangeID(u64()), AdminText(json: bytes(random.below(200))))
        default: .slow(PaceWord(median: TimeSpan(nanoseconds: u64()), others: TimeSpan(nanoseconds: u64())))
        }
    }

    /// Every kind of message and, within it, every kind of body.
    static let kinds = requestKinds + responseKinds + replicaKinds + otherKinds
    mutating func message(kind: Int) -> NodeMessage {
        var k = kind
        if k < Self.requestKinds { return .request(ExchangeID(u64()), request(kind: k)) }
        k -= Self.requestKinds
        if k < Self.responseKinds { return .response(ExchangeID(u64()), response(kind: k)) }
        k -= Self.responseKinds
        if k < Self.replicaKinds { return .replica(replica(kind: k)) }
        return other(kind: k - Self.replicaKinds)
    }

    mutating func map() -> ClusterMap {
        let policy = ReplicationPolicy(copies: 1 + random.below(5)) ?? ReplicationPolicy(copies: 1)
        guard let policy else { preconditionFailure("one copy is within the range") }
        var map = ClusterMap(cluster: ClusterID(u128()), policy: policy, dataPGCount: 1 << UInt32(random.below(16)))
        map.version = mapVersion()
        map.lossNumber = loss()
        map.lossRaised = optional { Timestamp(nanoseconds: Int64(bitPattern: $0.u64())) }
        map.semantics = u32()
        map.nodes = (0..<random.below(6)).map { n in
            var node = ClusterNode(
                id: NodeID(UInt16(n * 7 + 1)), name: text(), address: text(),
                roles: NodeRoles(rawValue: UInt8(random.below(8))), failureDomain: list(upTo: 3) { $0.text() })
            node.duty = isTrue() ? .suspended : isTrue() ? .draining : .full
            return node
        }
        map.disks = list(upTo: 5) {
            var disk = ClusterDisk(id: DiskID($0.u128()), node: $0.node(), weight: $0.u32(), path: $0.text())
            if $0.isTrue() { disk.place = DiskID($0.u128()) }
            if $0.isTrue() { disk.duty = .draining }
            return disk
        }
        map.sessions = (0..<random.below(6)).map { n in
            Session(id: SessionID(UInt64(n * 3 + 1)), node: node(), lease: LeaseNumber(u32()))
        }
        map.lastSession = session()
        map.filesets = list(upTo: 4) { s in
            var fileset = Fileset(
                id: FilesetID(s.u32()), name: s.text(), layout: s.layout(), state: s.isTrue() ? .live : .deleting,
                junction: s.optional { Junction(directory: $0.file(), name: [0x61, 0xFF, 0x2E]) })
            fileset.rootMode = s.u16()
            fileset.rootUID = s.u32()
            fileset.rootGID = s.u32()
            return fileset
        }
        map.lastFileset = FilesetID(u32())
        map.exports = list(upTo: 4) { s in
            Export(
                id: ExportID(s.u32()), path: s.text(), root: s.file(), clients: s.list(upTo: 3) { $0.text() },
                squash: [.none, .root, .all][s.random.below(3)], anonymousUID: s.u32(), anonymousGID: s.u32(),
                access: s.isTrue() ? .readOnly : .readWrite, verifierBlind: s.isTrue())
        }
        map.lastExport = ExportID(u32())
        return map
    }
}
