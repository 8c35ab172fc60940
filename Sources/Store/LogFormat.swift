import ClusterModel
import Wire

/// The log's bytes. A batch is one write of whole 4 KiB: a header, the metadata of its records, their payloads, zeros.
///
/// Header, little-endian: magic (4), format (2), zero (2), metadata length (4), batch length (4), record count (4),
/// zero (4), position (8), end of the batch before it (8), known log-stable position (8), slots synced through (8),
/// zero (8), CRC32C over all before it and the metadata after it (4). The CRC is seeded with the disk and the position,
/// which holds the segment's number: what an earlier use of the segment left never fits (traps.md, 27).
struct BatchHeader: Equatable {
    static let size = 68
    static let magic: UInt32 = 0x424C_5653
    static let currentFormat: UInt16 = 1

    var format = BatchHeader.currentFormat
    var metadataLength = 0
    var length = 0
    var recordCount = 0
    var position = LogPosition.zero
    var previousEnd = LogPosition.zero
    var knownStable = LogPosition.zero
    var slotsSynced = LogPosition.zero

    static func seed(disk: DiskID, position: LogPosition) -> UInt32 {
        let id = StableHash.combine(
            UInt64(truncatingIfNeeded: disk.rawValue), UInt64(truncatingIfNeeded: disk.rawValue >> 64))
        return UInt32(truncatingIfNeeded: StableHash.combine(id, position.rawValue))
    }

    /// The header and `metadata` with the checksum of both.
    func encoded(metadata: [UInt8], disk: DiskID, crc: CRC32C) -> [UInt8] {
        var w = WireWriter(capacity: BatchHeader.size + metadata.count)
        w.u32(BatchHeader.magic)
        w.u16(format)
        w.u16(0)
        w.u32(UInt32(metadata.count))
        w.u32(UInt32(length))
        w.u32(UInt32(recordCount))
        w.u32(0)
        w.u64(position.rawValue)
        w.u64(previousEnd.rawValue)
        w.u64(knownStable.rawValue)
        w.u64(slotsSynced.rawValue)
        w.u64(0)
        var sum = BatchHeader.seed(disk: disk, position: position)
        sum = w.bytes.withUnsafeBytes { crc.update(sum, $0) }
        sum = metadata.withUnsafeBytes { crc.update(sum, $0) }
        w.u32(sum)
        var bytes = w.bytes
        bytes.append(contentsOf: metadata)
        return bytes
    }

    enum Decoded: Equatable {
        case valid(BatchHeader)
        /// Torn, rotten, never written, or of an earlier use.
        case invalid
        /// Valid, if `bytes` had more of it.
        case needs(bytes: Int)
    }

    /// Reads the batch that begins at `position`, the first byte of `bytes`.
    static func decode(
        _ bytes: UnsafeRawBufferPointer, position: LogPosition, segmentSize: Int, disk: DiskID, crc: CRC32C
    ) -> Decoded {
        if bytes.count < size { return .needs(bytes: size) }
        func u16(_ o: Int) -> UInt16 { UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: o, as: UInt16.self)) }
        func u32(_ o: Int) -> UInt32 { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: o, as: UInt32.self)) }
        func u64(_ o: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: o, as: UInt64.self)) }
        guard u32(0) == magic, u64(24) == position.rawValue else { return .invalid }
        var h = BatchHeader()
        h.format = u16(4)
        h.metadataLength = Int(u32(8))
        h.length = Int(u32(12))
        h.recordCount = Int(u32(16))
        h.position = position
        h.previousEnd = LogPosition(u64(32))
        h.knownStable = LogPosition(u64(40))
        h.slotsSynced = LogPosition(u64(48))
        let offset = Int(position.rawValue % UInt64(segmentSize))
        guard h.length >= size + h.metadataLength, h.length % Geometry.blockSize == 0,
            h.length <= min(segmentSize - offset, StoreLimits.scanBytes)
        else { return .invalid }
        if bytes.count < size + h.metadataLength { return .needs(bytes: size + h.metadataLength) }
        var sum = seed(disk: disk, position: position)
        sum = crc.update(sum, UnsafeRawBufferPointer(rebasing: bytes[0..<size - 4]))
        sum = crc.update(sum, UnsafeRawBufferPointer(rebasing: bytes[size..<size + h.metadataLength]))
        return sum == u32(size - 4) ? .valid(h) : .invalid
    }
}

/// What a record says. Raw values are on disk.
enum RecordKind: UInt8 {
    case entry = 1
    case state = 2
    case cut = 3
    case install = 4
    case deleteObject = 5
    case installCut = 6
    case settle = 7
    case voids = 8
    case corrupt = 9
    case boot = 10
    case clean = 11
    case forget = 12
    case decided = 13
    case restart = 14
    case repair = 15
    /// An install with lost blocks.
    case installLost = 16
    case lostPieces = 17
}

/// A record's content beside its group. Slots are local: replicas do not compare them.
enum RecordBody {
    /// `decided` is what the group knew to be decided; `checksum` is of an opaque payload, 0 otherwise.
    case entry(Entry, decided: EntryName, rule: VersionRule, checksum: UInt32)
    case state([UInt8])
    /// Entries after this name are cut off.
    case cut(after: EntryName)
    case install(ObjectPiece)
    case deleteObject(ObjectID)
    case installCut(FileCut)
    /// What recovery reported about the group has been dealt with.
    case settle
    case voids([VoidRecord])
    case corrupt
    case boot(BootID)
    case clean
    /// Tombstones up to this name are forgotten.
    case forget(through: EntryName)
    /// What each group knew to be decided when a checkpoint began: its changes must not be taken for undecided any more.
    case decided([(PGID, EntryName)])
    /// A learner's log begins anew: what was there is forgotten, the next entry follows this one.
    case restart(after: EntryName)
    /// Blocks of a slot that had gone bad, for the fresh slot that the record names.
    case repair(SlotRepair)
    /// Where pieces lie whose slots a loss of power took: who opens the disk next finds them by this, for no check is made of
    /// what lies before the mark that comes with it.
    case lostPieces([LogPosition])

    var kind: RecordKind {
        switch self {
        case .entry: .entry
        case .state: .state
        case .cut: .cut
        case .install(let piece): piece.lost == 0 ? .install : .installLost
        case .deleteObject: .deleteObject
        case .installCut: .installCut
        case .settle: .settle
        case .voids: .voids
        case .corrupt: .corrupt
        case .boot: .boot
        case .clean: .clean
        case .forget: .forget
        case .decided: .decided
        case .restart: .restart
        case .repair: .repair
        case .lostPieces: .lostPieces
        }
    }
}

/// Records have a format of their own, so that a batch may hold several.
enum RecordFormat {
    static let current: UInt8 = 1
}

/// Why a log cannot be read by this version.
struct LogFormatError: Error {
    var description: String
}

enum RecordCoding {
    /// Appends a record's metadata: kind, format, length of all, group, slots, payload bytes in the log, then the body.
    static func encode(_ body: RecordBody, pg: PGID, slots: [UInt32], logBytes: Int, into w: inout [UInt8]) {
        let start = w.count
        w.append(body.kind.rawValue)
        w.append(RecordFormat.current)
        w.put(UInt16(slots.count))
        w.put(UInt32(0))
        w.put(pg.rawValue)
        w.put(UInt32(logBytes))
        for s in slots { w.put(s) }
        encode(body, into: &w)
        let length = UInt32(w.count - start).littleEndian
        w.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: start + 4, as: UInt32.self) }
    }

    private static func encode(_ body: RecordBody, into w: inout [UInt8]) {
        switch body {
        case .entry(let entry, let decided, let rule, let checksum):
            encode(entry, into: &w)
            w.put(decided)
            w.append(rule.rawValue)
            w.put(checksum)
        case .state(let bytes):
            w.put(UInt32(bytes.count))
            w.append(contentsOf: bytes)
        case .cut(let after), .restart(let after): w.put(after)
        case .install(let piece):
            w.put(piece.object)
            w.put(UInt16(piece.blocks.first))
            w.put(UInt16(piece.blocks.count))
            for s in piece.states { w.append(s.rawValue) }
            w.put(UInt16(piece.checksums.count))
            for c in piece.checksums { w.put(c) }
            w.put(piece.truncation.rawValue)
            w.put(piece.asOf)
            w.append(piece.completes == nil ? 0 : 1)
            w.put(piece.completes ?? .zero)
            if piece.lost != 0 {
                w.put(piece.lost)
                for c in piece.lostChecksums { w.put(c) }
            }
        case .deleteObject(let object): w.put(object)
        case .installCut(let cut): CutCoding.encode(cut, into: &w)
        case .settle, .corrupt, .clean: break
        case .voids(let list): VoidCoding.encode(list, into: &w)
        case .boot(let id): w.put(id.rawValue)
        case .forget(let through): w.put(through)
        case .decided(let list):
            w.put(UInt32(list.count))
            for (pg, name) in list {
                w.put(pg.rawValue)
                w.put(name)
            }
        case .repair(let repair):
            w.put(repair.object)
            w.append(UInt8(repair.slotIndex))
            w.put(repair.content)
            w.put(repair.lost)
            for c in repair.checksums { w.put(c) }
            for c in repair.lostChecksums { w.put(c) }
        case .lostPieces(let list):
            w.put(UInt32(list.count))
            for position in list { w.put(position.rawValue) }
        }
    }

    private static func encode(_ entry: Entry, into w: inout [UInt8]) {
        w.put(entry.name)
        w.put(entry.session.rawValue)
        w.put(entry.request.rawValue)
        w.put(entry.call?.origin ?? 0)
        w.put(entry.call?.request ?? 0)
        w.append(entry.call == nil ? 0 : 1)
        w.append(entry.durability.rawValue)
        w.put(entry.lossNumber.rawValue)
        w.put(entry.snapshot.rawValue)
        w.put(entry.time.nanoseconds)
        w.put(UInt32(entry.payload?.length ?? 0))
        switch entry.body {
        case .empty: w.append(1)
        case .write(let write):
            w.append(2)
            encode(write, into: &w)
        case .zero(let zero):
            w.append(3)
            w.put(zero.object)
            w.put(UInt16(zero.blocks.first))
            w.put(UInt16(zero.blocks.count))
            w.put(zero.truncation)
        case .deleteRange(let d):
            w.append(4)
            w.put(d.file)
            w.put(d.truncation)
            w.put(UInt32(d.layout.stripeUnit))
            w.put(UInt32(d.layout.stripeCount))
            w.append(d.kind.rawValue)
            w.put(d.limit)
            w.append(d.edge == nil ? 0 : 1)
            if let edge = d.edge { encode(edge, into: &w) }
        case .restate(let r):
            w.append(5)
            w.put(r.object)
            w.put(UInt32(r.lost.count))
            for l in r.lost {
                w.put(l.session.rawValue)
                w.put(l.request.rawValue)
            }
        case .namespace: w.append(6)
        case .scrubMark: w.append(7)
        }
    }

    private static func encode(_ write: BlockWrite, into w: inout [UInt8]) {
        w.put(write.object)
        w.put(UInt16(write.blocks.first))
        w.put(UInt16(write.blocks.count))
        w.put(write.truncation)
        write.checksums.withUnsafeBytes { w.append(contentsOf: $0) }
    }

    struct Decoded {
        var pg: PGID
        var slots: [UInt32]
        /// Bytes of its payload in the log.
        var logBytes: Int
        var body: RecordBody
    }

    /// Reads one record. Its bytes have passed the batch's checksum, so what does not fit is of another version.
    static func decode(_ r: inout WireReader) throws -> Decoded {
        let kindByte = try r.u8()
        let format = try r.u8()
        let slotCount = Int(try r.u16())
        let length = Int(try r.u32())
        guard let kind = RecordKind(rawValue: kindByte) else {
            throw LogFormatError(description: "a record of kind \(kindByte)")
        }
        guard format == RecordFormat.current else {
            throw LogFormatError(description: "a record of kind \(kindByte) in format \(format)")
        }
        _ = length
        let pg = PGID(rawValue: try r.u32())
        let logBytes = Int(try r.u32())
        var slots: [UInt32] = []
        slots.reserveCapacity(slotCount)
        for _ in 0..<slotCount { slots.append(try r.u32()) }
        return Decoded(pg: pg, slots: slots, logBytes: logBytes, body: try body(kind, &r))
    }

    private static func body(_ kind: RecordKind, _ r: inout WireReader) throws -> RecordBody {
        switch kind {
        case .entry:
            let e = try entry(&r)
            let decided = try r.name()
            let rule = VersionRule(rawValue: try r.u8()) ?? .raises
            return .entry(e, decided: decided, rule: rule, checksum: try r.u32())
        case .state: return .state(try r.blob(atMost: StoreLimits.groupState))
        case .cut: return .cut(after: try r.name())
        case .restart: return .restart(after: try r.name())
        case .install, .installLost:
            let object = try r.object()
            let blocks = BlockRange(first: Int(try r.u16()), count: Int(try r.u16()))
            var states: [BlockState] = []
            for _ in 0..<blocks.count { states.append(BlockState(rawValue: try r.u8()) ?? .absent) }
            var sums: [UInt32] = []
            for _ in 0..<Int(try r.u16()) { sums.append(try r.u32()) }
            let truncation = TruncationNumber(try r.u64())
            let asOf = try r.name()
            let has = try r.u8()
            let completes = try r.name()
            var piece = ObjectPiece(
                object: object, blocks: blocks, states: states, checksums: sums, truncation: truncation, asOf: asOf,
                completes: has == 1 ? completes : nil)
            if kind == .installLost {
                piece.lost = try r.u64()
                for _ in 0..<piece.lost.nonzeroBitCount { piece.lostChecksums.append(try r.u32()) }
            }
            return .install(piece)
        case .deleteObject: return .deleteObject(try r.object())
        case .installCut: return .installCut(try CutCoding.decode(&r))
        case .settle: return .settle
        case .voids: return .voids(try VoidCoding.decode(&r))
        case .corrupt: return .corrupt
        case .boot: return .boot(BootID(try r.u128()))
        case .clean: return .clean
        case .forget: return .forget(through: try r.name())
        case .decided:
            var list: [(PGID, EntryName)] = []
            for _ in 0..<Int(try r.u32()) { list.append((PGID(rawValue: try r.u32()), try r.name())) }
            return .decided(list)
        case .lostPieces:
            return .lostPieces(
                try r.list(atMost: StoreLimits.lostPieces, elementBytes: 8) { r throws(WireError) in
                    LogPosition(try r.u64())
                })
        case .repair:
            let object = try r.object()
            let index = Int(try r.u8())
            let content = try r.u16()
            let lost = try r.u16()
            guard index < Geometry.slotsPerRow * Geometry.rowsPerObject else {
                throw LogFormatError(description: "a repair of slot \(index) of an object")
            }
            var sums: [UInt32] = []
            for _ in 0..<content.nonzeroBitCount { sums.append(try r.u32()) }
            var lostSums: [UInt32] = []
            for _ in 0..<lost.nonzeroBitCount { lostSums.append(try r.u32()) }
            return .repair(
                SlotRepair(
                    object: object, slotIndex: index, content: content, checksums: sums, lost: lost,
                    lostChecksums: lostSums))
        }
    }

    private static func entry(_ r: inout WireReader) throws -> Entry {
        let name = try r.name()
        let session = SessionID(try r.u64())
        let request = RequestNumber(try r.u64())
        let origin = try r.u128()
        let hash = try r.u64()
        let hasCall = try r.u8() == 1
        let durability = Durability(rawValue: try r.u8()) ?? .stable
        let loss = LossNumber(try r.u64())
        let snapshot = SnapshotNumber(try r.u64())
        let time = Timestamp(nanoseconds: try r.i64())
        let payloadLength = Int(try r.u32())
        let body: EntryBody
        switch try r.u8() {
        case 1: body = .empty
        case 2: body = .write(try write(&r))
        case 3:
            let object = try r.object()
            let blocks = BlockRange(first: Int(try r.u16()), count: Int(try r.u16()))
            body = .zero(BlockZero(object: object, blocks: blocks, truncation: try r.mark()))
        case 4:
            let file = try r.file()
            let mark = try r.mark()
            guard let layout = Layout(stripeUnit: Int(try r.u32()), stripeCount: Int(try r.u32())),
                let kind = RangeDeletion.Kind(rawValue: try r.u8())
            else { throw LogFormatError(description: "a range deletion of another version") }
            let limit = try r.u64()
            let edge = try r.u8() == 1 ? try write(&r) : nil
            body = .deleteRange(
                RangeDeletion(file: file, truncation: mark, layout: layout, kind: kind, limit: limit, edge: edge))
        case 5:
            let object = try r.object()
            let count = Int(try r.u32())
            var lost: [LostRequest] = []
            for _ in 0..<count {
                lost.append(LostRequest(session: SessionID(try r.u64()), request: RequestNumber(try r.u64())))
            }
            body = .restate(Restatement(object: object, lost: lost))
        case 6: body = .namespace
        case 7: body = .scrubMark
        case let other: throw LogFormatError(description: "an entry of kind \(other)")
        }
        return Entry(
            name: name, body: body, session: session, request: request,
            call: hasCall ? CallIdentity(origin: origin, request: hash) : nil, durability: durability,
            lossNumber: loss, snapshot: snapshot, time: time,
            // The bytes lie on the disk: the handle names none in memory.
            payload: payloadLength == 0 ? nil : PayloadHandle(id: 0, length: payloadLength))
    }

    private static func write(_ r: inout WireReader) throws -> BlockWrite {
        let object = try r.object()
        let blocks = BlockRange(first: Int(try r.u16()), count: Int(try r.u16()))
        let mark = try r.mark()
        var sums: [UInt32] = []
        sums.reserveCapacity(blocks.count)
        for _ in 0..<blocks.count { sums.append(try r.u32()) }
        return BlockWrite(object: object, blocks: blocks, checksums: sums, truncation: mark)
    }
}

enum CutCoding {
    static func encode(_ cut: FileCut, into w: inout [UInt8]) {
        w.put(cut.file)
        w.put(cut.truncation)
        w.put(UInt32(cut.layout.stripeUnit))
        w.put(UInt32(cut.layout.stripeCount))
        w.append(cut.kind.rawValue)
        w.put(cut.version)
        // Those that wait (`isCutWaiting`) keep it far below; a replay may bring some thousands.
        let earlier = cut.earlier.suffix(StoreLimits.earlierCutsKept)
        w.put(UInt16(earlier.count))
        for mark in earlier { w.put(mark) }
    }
    static func decode(_ r: inout WireReader) throws -> FileCut {
        let file = try r.file()
        let mark = try r.mark()
        guard let layout = Layout(stripeUnit: Int(try r.u32()), stripeCount: Int(try r.u32())),
            let kind = RangeDeletion.Kind(rawValue: try r.u8())
        else { throw LogFormatError(description: "a file's cut of another version") }
        var cut = FileCut(file: file, truncation: mark, layout: layout, kind: kind, version: try r.name())
        for _ in 0..<Int(try r.u16()) { cut.earlier.append(try r.mark()) }
        return cut
    }
}

enum VoidCoding {
    static func encode(_ list: [VoidRecord], into w: inout [UInt8]) {
        w.put(UInt32(list.count))
        for v in list {
            w.put(v.name)
            w.put(v.object)
            w.put(v.session.rawValue)
            w.put(v.request.rawValue)
        }
    }
    static func decode(_ r: inout WireReader) throws -> [VoidRecord] {
        let count = Int(try r.u32())
        var list: [VoidRecord] = []
        for _ in 0..<count {
            list.append(
                VoidRecord(
                    name: try r.name(), object: try r.object(), session: SessionID(try r.u64()),
                    request: RequestNumber(try r.u64())))
        }
        return list
    }
}

extension [UInt8] {
    mutating func put(_ v: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: v.littleEndian) { append(contentsOf: $0) }
    }
    mutating func put(_ name: EntryName) {
        put(name.epoch.rawValue)
        put(name.n)
    }
    mutating func put(_ file: FileID) {
        put(file.fileset.rawValue)
        put(file.inode.rawValue)
    }
    mutating func put(_ object: ObjectID) {
        put(object.file)
        put(object.index)
    }
    mutating func put(_ mark: TruncationMark) {
        put(mark.number.rawValue)
        put(mark.size)
    }
}

extension WireReader {
    mutating func name() throws(WireError) -> EntryName { EntryName(epoch: Epoch(try u64()), n: try u64()) }
    mutating func file() throws(WireError) -> FileID {
        FileID(fileset: FilesetID(try u32()), inode: InodeNumber(try u64()))
    }
    mutating func object() throws(WireError) -> ObjectID { ObjectID(file: try file(), index: try u64()) }
    mutating func mark() throws(WireError) -> TruncationMark {
        TruncationMark(number: TruncationNumber(try u64()), size: try u64())
    }
}
