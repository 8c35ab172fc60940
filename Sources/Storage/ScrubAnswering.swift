import ClusterModel
import NIOCore
import Namespace
import Replication
import Store
import Wire

/// Looks at objects of the own replica for a scrub: first what the index has of all of them, at one instant if its rows are in
/// memory, then the bytes of each, which are mended where they are bad.
final class ScrubLook {
    private let disk: DiskHost
    private let pg: PGID
    private let objects: [ObjectID]
    private let depth: ScrubDepth
    private let done: ([ObjectFinding]) -> Void
    private var found: [ObjectFinding] = []
    private var reading: MendingRead?
    private var lost: [Int: UInt32] = [:]
    private var attempts = 0

    /// Blocks read at once.
    private static let window = Geometry.maximumTransfer / Geometry.blockSize
    private static let whole = BlockRange(first: 0, count: Geometry.blocksPerObject)

    init(
        disk: DiskHost, pg: PGID, objects: [ObjectID], depth: ScrubDepth, done: @escaping ([ObjectFinding]) -> Void
    ) {
        self.disk = disk
        self.pg = pg
        self.objects = objects
        self.depth = depth
        self.done = done
    }

    /// Has the rows of these objects read, so that they are there when the mark comes.
    static func prefetch(_ objects: [ObjectID], of pg: PGID, on disk: DiskHost) {
        for object in objects {
            if let plan = disk.plan(pg, object, whole, again: {}) { disk.finished(plan) }
            _ = disk.version(pg, object, again: {})
        }
    }

    func start() {
        if disk.failure != nil { return unknown() }
        guard found.count < objects.count else {
            return depth == .blocks ? read(0) : done(found)
        }
        let object = objects[found.count]
        guard let version = disk.version(pg, object, again: { self.start() }),
            let plan = disk.plan(pg, object, Self.whole, again: { self.start() })
        else { return }
        let digest = ContentDigest(plan)
        disk.finished(plan)
        found.append(
            ObjectFinding(
                asOf: disk.appliedThrough(pg), version: version.version, digest: digest.value,
                blocks: UInt32(digest.blocks)))
        start()
    }

    private func unknown() {
        while found.count < objects.count {
            found.append(
                ObjectFinding(asOf: .zero, version: .zero, digest: 0, blocks: 0, mended: 0, verdict: .unknown))
        }
        for i in found.indices { found[i].verdict = .unknown }
        done(found)
    }

    // MARK: Bytes

    private func read(_ i: Int) {
        guard i < objects.count else { return done(found) }
        lost = [:]
        reading = MendingRead(host: disk, pg: pg, object: objects[i])
        read(i, from: 0)
    }

    private func read(_ i: Int, from first: Int) {
        attempts = 0
        guard first < Geometry.blocksPerObject else {
            found[i].mended = UInt32(clamping: reading?.foundCount ?? 0)
            if !lost.isEmpty, found[i].verdict == .whole { found[i].verdict = .lost }
            found[i].lost = lost.keys.sorted().prefix(ReplicaMessageLimits.scrubLost).map { UInt16($0) }
            return read(i + 1)
        }
        again(i, BlockRange(first: first, count: Self.window))
    }

    private func again(_ i: Int, _ blocks: BlockRange) {
        if disk.failure != nil { return unknown() }
        attempts += 1
        if attempts > StorageLimits.readAttempts {
            found[i].verdict = .unknown
            return read(i, from: blocks.end)
        }
        guard let plan = disk.plan(pg, objects[i], blocks, again: { self.again(i, blocks) }) else { return }
        var present = plan
        present.pieces = plan.contentBlocks { block in lost[block].map { $0 != plan.checksum(of: block) } ?? true }
        if present.pieces.isEmpty {
            disk.finished(plan)
            return read(i, from: blocks.end)
        }
        if lost.isEmpty { present.pieces = plan.pieces.filter { !$0.checksums.isEmpty } }
        reading?.read(present) { [self] outcome in
            switch outcome {
            case .read: read(i, from: blocks.end)
            case .again: again(i, blocks)
            case .mended:
                attempts -= 1
                again(i, blocks)
            case .lost(let block):
                attempts -= 1
                lost[block] = plan.checksum(of: block)
                again(i, blocks)
            case .notRead:
                found[i].verdict = .unknown
                read(i, from: blocks.end)
            }
        }
    }
}

/// Answers the questions of a scrub from the own replica (replication.md, 17): what it holds when it has applied the mark, and
/// nothing behind it, if the rows are in memory. One question at a time: a primary asks no other before it was answered.
final class ScrubAnswering {
    private struct Waiting {
        var ask: ScrubAsk
        var node: NodeID
        var epoch: Epoch
    }
    private var waiting: Waiting?

    /// The mark that a question waits for; the replica stops behind it.
    var mark: EntryName? { waiting?.ask.mark }

    func ask(_ ask: ScrubAsk, to node: NodeID, epoch: Epoch, of replica: Replica) {
        waiting = Waiting(ask: ask, node: node, epoch: epoch)
        if case .objects(let objects, _) = ask.part, replica.disk.failure == nil {
            ScrubLook.prefetch(objects, of: replica.pg, on: replica.disk)
        }
        let isApplied = replica.namespace == nil && replica.disk.appliedThrough(replica.pg) >= ask.mark
        if ask.mark == .zero || isApplied { look(replica) }
    }

    /// Everything through the mark has been applied, or has been handed to the rows.
    func look(_ replica: Replica) {
        guard let waiting else { return }
        self.waiting = nil
        let request = waiting.ask.request
        let done = { (content: ScrubAnswer.Content) in
            replica.event {
                $0.scrubRead(
                    ScrubAnswer(request: request, content: content), to: waiting.node, epoch: waiting.epoch, at: $1)
            }
        }
        if replica.disk.failure != nil { return done(.notReady) }
        switch waiting.ask.part {
        case .names(let cursor):
            let start =
                cursor.map { ChangeCursor(version: $0.version, object: $0.object) } ?? ChangeCursor(after: .zero)
            replica.disk.changes(replica.pg, after: start) { page in
                let names = page.changes.compactMap { change -> ScrubName? in
                    // A cut's objects carry its version themselves where it cut anything.
                    guard case .object(let object, let version, _) = change else { return nil }
                    return ScrubName(version: version, object: object)
                }
                done(
                    .names(
                        Array(names.prefix(ReplicaMessageLimits.scrubNames)),
                        next: page.next.map { ScrubName(version: $0.version, object: $0.object) }))
            }
            replica.node.needsCycleEnd()
        case .objects(let objects, let depth):
            ScrubLook(disk: replica.disk, pg: replica.pg, objects: objects, depth: depth) { done(.objects($0)) }.start()
            replica.node.needsCycleEnd()
        case .rows(let from, let limit):
            guard let namespace = replica.namespace else { return done(.notReady) }
            namespace.digest(from: NamespaceKey(bytes: from), limit: Int(limit)) { found in
                done(found.map { .rows($0) } ?? .notReady)
            }
        // The group answers it itself.
        case .windows: done(.notReady)
        }
    }
}
