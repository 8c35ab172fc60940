import ClusterModel

/// Bounds of what one replica message may announce.
public enum ReplicaMessageLimits {
    /// Epochs in a history; older ones are left out, and who is further behind copies everything.
    public static let historySpans = 256
    /// Void records that one member reports.
    public static let voidRecords = 4096
    /// Keys in one page of changed keys.
    public static let keysPerPage = 4096
    /// Bytes of one part of the tables.
    public static let tablesPart = 512 << 10
    /// Bytes of all parts together: a million cuts, and the windows of sessions.
    public static let tables = 64 << 20
    /// Blocks of one piece: 256 KiB.
    public static let blocksPerPiece = 64
}

extension WireWriter {
    /// The message without its payload.
    public mutating func replicaMessage(_ m: ReplicaMessage) {
        pg(m.pg)
        epoch(m.epoch)
        switch m.body {
        case .attach(let a):
            u8(1)
            u32(a.attempt)
            record(a.record)
            history(a.history)
        case .attached(let a):
            u8(2)
            u32(a.attempt)
            switch a.standing {
            case .sameLog(let end):
                u8(1)
                name(end)
            case .behind(let fork):
                u8(2)
                name(fork)
            }
            member(a.member)
            name(a.stable)
            list(a.voids) {
                $0.name($1.entry)
                $0.object($1.object)
                $0.u64($1.request.session.rawValue)
                $0.u64($1.request.request.rawValue)
            }
            u64(a.room)
        case .append(let a):
            u8(3)
            entry(a.entry)
            name(a.previous)
            name(a.decided)
            u64(a.stamp.rawValue)
        case .acknowledge(let a):
            u8(4)
            u32(a.attempt)
            name(a.appended)
            name(a.stable)
            u64(a.room)
        case .decided(let through, let stamp):
            u8(5)
            name(through)
            u64(stamp.rawValue)
        case .sync(let through):
            u8(6)
            name(through)
        case .refused(let promised, let known):
            u8(7)
            epoch(promised)
            optional(known) { $0.record($1) }
        case .learn(let attempt, let fork):
            u8(8)
            u32(attempt)
            name(fork)
        case .learning(let attempt):
            u8(9)
            u32(attempt)
        case .tables(let attempt, let part):
            u8(10)
            u32(attempt)
            blob(part)
        case .start(let s):
            u8(11)
            u32(s.attempt)
            name(s.after)
            history(s.history)
        case .changedKeys(let k):
            u8(12)
            u32(k.attempt)
            list(k.objects) { $0.object($1) }
            u8(k.end.rawValue)
        case .piece(let p):
            u8(13)
            piece(p)
        case .removeObject(let attempt, let step, let gone):
            u8(14)
            u32(attempt)
            u32(step)
            object(gone)
        case .installed(let attempt, let step):
            u8(15)
            u32(attempt)
            u32(step)
        case .snapshot(let s):
            u8(16)
            u32(s.attempt)
            u32(s.step)
            name(s.asOf)
            u8(s.position.rawValue)
            u32(UInt32(s.payload?.length ?? 0))
        case .finish(let attempt, let through):
            u8(17)
            u32(attempt)
            name(through)
        case .finished(let attempt):
            u8(18)
            u32(attempt)
        case .askStatus:
            u8(19)
        case .status(let s):
            u8(20)
            member(s.member)
            u8(s.continuity.rawValue)
            name(s.end)
        case .gone:
            u8(21)
        case .takeOver(let attempt):
            u8(32)
            u32(attempt)
        case .willing(let attempt, let number):
            u8(33)
            u32(attempt)
            u32(number.rawValue)
        case .handedOver(let made, let version):
            u8(34)
            record(made)
            i64(version)
        case .askBlocks(let ask):
            u8(40)
            u64(ask.request)
            object(ask.wanted.object)
            blocks(ask.wanted.blocks)
            u64(ask.wanted.wanted)
            list(ask.wanted.checksums) { $0.u32($1) }
            name(ask.decided)
        case .blocks(let given):
            u8(41)
            u64(given.request)
            u8(given.standing.rawValue)
            u64(given.content)
            u32(UInt32(given.payload?.length ?? 0))
        case .askScrub(let ask):
            u8(42)
            scrubAsk(ask)
        case .scrubbed(let answer):
            u8(43)
            scrubAnswer(answer)
        case .mustLearn: u8(44)
        }
    }

    private mutating func history(_ spans: [EpochSpan]) {
        list(spans) {
            $0.epoch($1.epoch)
            $0.u64($1.last)
        }
    }

    private mutating func piece(_ p: Piece) {
        u32(p.attempt)
        u32(p.step)
        object(p.object)
        blocks(p.blocks)
        u64(p.content)
        u64(p.zero)
        u64(p.lost)
        list(p.checksums) { $0.u32($1) }
        name(p.asOf)
        name(p.version)
        truncation(p.truncation)
        u8(p.position.rawValue)
        u32(UInt32(p.payload?.length ?? 0))
    }
}

extension WireReader {
    public mutating func replicaMessage(_ payload: PayloadSource) throws(WireError) -> ReplicaMessage {
        let pg = try pg()
        let epoch = try epoch()
        let body: ReplicaMessageBody
        switch try u8() {
        case 1: body = .attach(Attach(attempt: try u32(), record: try record(), history: try history()))
        case 2: body = .attached(try attached())
        case 3:
            body = .append(
                Append(
                    entry: try entry(payload), previous: try name(), decided: try name(), stamp: LossNumber(try u64())))
        case 4:
            body = .acknowledge(
                Acknowledgement(attempt: try u32(), appended: try name(), stable: try name(), room: try u64()))
        case 5: body = .decided(through: try name(), stamp: LossNumber(try u64()))
        case 6: body = .sync(through: try name())
        case 7:
            body = .refused(
                promised: try self.epoch(), try optional { r throws(WireError) in try r.record() })
        case 8: body = .learn(attempt: try u32(), fork: try name())
        case 9: body = .learning(attempt: try u32())
        case 10: body = .tables(attempt: try u32(), try blob(atMost: ReplicaMessageLimits.tablesPart))
        case 11: body = .start(LearningStart(attempt: try u32(), after: try name(), history: try history()))
        case 12:
            body = .changedKeys(
                ChangedKeys(
                    attempt: try u32(),
                    objects: try list(atMost: ReplicaMessageLimits.keysPerPage, elementBytes: 20) {
                        r throws(WireError) in try r.object()
                    }, end: try position()))
        case 13: body = .piece(try piece(payload))
        case 14: body = .removeObject(attempt: try u32(), step: try u32(), try object())
        case 15: body = .installed(attempt: try u32(), step: try u32())
        case 16:
            body = .snapshot(
                SnapshotPart(
                    attempt: try u32(), step: try u32(), asOf: try name(), position: try position(),
                    payload: try payload.take(Int(try u32()))))
        case 17: body = .finish(attempt: try u32(), through: try name())
        case 18: body = .finished(attempt: try u32())
        case 19: body = .askStatus
        case 20:
            let member = try member()
            guard let continuity = ReplicaStatus.Continuity(rawValue: try u8()) else {
                throw WireError("an unknown continuity of a replica")
            }
            body = .status(ReplicaStatus(member: member, continuity: continuity, end: try name()))
        case 21: body = .gone
        case 32: body = .takeOver(attempt: try u32())
        case 33: body = .willing(attempt: try u32(), under: LeaseNumber(try u32()))
        case 34: body = .handedOver(try record(), version: try i64())
        case 40: body = .askBlocks(try blocksAsk())
        case 41:
            let request = try u64()
            guard let standing = BlocksGiven.Standing(rawValue: try u8()) else {
                throw WireError("an unknown standing of a replica that gives blocks")
            }
            let given = BlocksGiven(
                request: request, standing: standing, content: try u64(), payload: try payload.take(Int(try u32())))
            if (given.payload?.length ?? 0) != given.content.nonzeroBitCount * Geometry.blockSize {
                throw WireError("\(given.content.nonzeroBitCount) blocks in \(given.payload?.length ?? 0) bytes")
            }
            body = .blocks(given)
        case 42: body = .askScrub(try scrubAsk())
        case 43: body = .scrubbed(try scrubAnswer())
        case 44: body = .mustLearn
        case let other: throw WireError("a replica message of unknown kind \(other)")
        }
        return ReplicaMessage(pg: pg, epoch: epoch, body: body)
    }

    private mutating func history() throws(WireError) -> [EpochSpan] {
        try list(atMost: ReplicaMessageLimits.historySpans, elementBytes: 16) { r throws(WireError) in
            EpochSpan(epoch: try r.epoch(), last: try r.u64())
        }
    }

    private mutating func position() throws(WireError) -> ListPosition {
        guard let p = ListPosition(rawValue: try u8()) else { throw WireError("an unknown position in a list") }
        return p
    }

    private mutating func attached() throws(WireError) -> Attached {
        let attempt = try u32()
        let standing: Attached.Standing
        switch try u8() {
        case 1: standing = .sameLog(end: try name())
        case 2: standing = .behind(fork: try name())
        case let other: throw WireError("a standing of unknown kind \(other)")
        }
        return Attached(
            attempt: attempt, standing: standing, member: try member(), stable: try name(),
            voids: try list(atMost: ReplicaMessageLimits.voidRecords, elementBytes: 52) { r throws(WireError) in
                VoidRecord(
                    entry: try r.name(), object: try r.object(),
                    request: LostRequest(session: try r.session(), request: try r.request()))
            }, room: try u64())
    }

    private mutating func blocksAsk() throws(WireError) -> BlocksAsk {
        let request = try u64()
        let object = try object()
        let blocks = try blocks()
        if blocks.count > ReplicaMessageLimits.blocksPerPiece {
            throw WireError("a question for \(blocks.count) blocks where at most 64 are allowed")
        }
        let wanted = try u64()
        let outside = blocks.count == 64 ? 0 : ~((UInt64(1) << UInt64(blocks.count)) - 1)
        if wanted & outside != 0 { throw WireError("a question for blocks outside its range") }
        let checksums = try list(atMost: 64, elementBytes: 4) { r throws(WireError) in try r.u32() }
        if checksums.count != wanted.nonzeroBitCount {
            throw WireError("a question for \(wanted.nonzeroBitCount) blocks with \(checksums.count) checksums")
        }
        return BlocksAsk(
            request: request,
            wanted: WantedBlocks(object: object, blocks: blocks, wanted: wanted, checksums: checksums),
            decided: try name())
    }

    private mutating func piece(_ payload: PayloadSource) throws(WireError) -> Piece {
        let attempt = try u32()
        let step = try u32()
        let object = try object()
        let blocks = try blocks()
        if blocks.count > ReplicaMessageLimits.blocksPerPiece {
            throw WireError("a piece of \(blocks.count) blocks where at most 64 are allowed")
        }
        let content = try u64()
        let zero = try u64()
        let lost = try u64()
        let outside = blocks.count == 64 ? 0 : ~((UInt64(1) << UInt64(blocks.count)) - 1)
        if content & zero != 0 || (content | zero) & outside != 0 || lost & ~content != 0 {
            throw WireError("a piece whose bits contradict each other")
        }
        let checksums = try list(atMost: 64, elementBytes: 4) { r throws(WireError) in try r.u32() }
        if checksums.count != content.nonzeroBitCount {
            throw WireError("a piece of \(content.nonzeroBitCount) blocks with \(checksums.count) checksums")
        }
        let asOf = try name()
        let version = try name()
        let truncation = try truncation()
        let position = try position()
        let handle = try payload.take(Int(try u32()))
        let held = (content & ~lost).nonzeroBitCount
        if (handle?.length ?? 0) != held * Geometry.blockSize {
            throw WireError("a piece of \(held) blocks with \(handle?.length ?? 0) bytes")
        }
        return Piece(
            attempt: attempt, step: step, object: object, blocks: blocks, content: content, zero: zero,
            lost: lost, checksums: checksums, asOf: asOf, version: version, truncation: truncation, position: position,
            payload: handle)
    }
}
