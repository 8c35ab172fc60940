import CSupport
import ClusterModel
import Store

/// What a replica has of one object, for the comparison of replicas.
public struct ObjectDigest: Sendable, Hashable {
    public var object: ObjectID
    /// The entry that changed it last.
    public var version: EntryName
    /// CRC32C over states and checksums of all blocks up to the last that is not absent; 0 for no content.
    public var digest: UInt32
    /// Blocks with content; every one was read and matched its checksum, unless `fault` says otherwise.
    public var blocks: Int
    /// Those of them that were bad, and were taken from another replica.
    public var mended: Int
    public var fault: String?
}

extension StorageNode {
    /// Where the own replica of a group lies, and how far it knows entries as decided; nil if there is none here.
    public func replicaPlace(_ pg: PGID) -> (disk: DiskID, decided: EntryName)? {
        host(pg).map { ($0.disk.id, $0.group.decided) }
    }

    /// Reads objects of the own replica whole, verifies every block, and gives a digest of each, in order.
    public func scrub(_ objects: [ObjectID], of pg: PGID, done: @escaping ([ObjectDigest]?) -> Void) {
        guard let replica = host(pg), replica.disk.failure == nil else { return done(nil) }
        ScrubRun(disk: replica.disk, pg: pg, objects: objects, done: done).next()
        needsCycleEnd()
    }
}

/// Walks over objects of one replica, one at a time, so that clients' requests come between.
///
/// Invariant: a digest belongs to one version: the version before the read is the version after it.
private final class ScrubRun {
    private let disk: DiskHost
    private let pg: PGID
    private let objects: [ObjectID]
    private let done: ([ObjectDigest]?) -> Void
    private var found: [ObjectDigest] = []
    private var attempts = 0
    private var reading: MendingRead?

    /// Blocks read at once.
    private static let window = Geometry.maximumTransfer / Geometry.blockSize

    init(disk: DiskHost, pg: PGID, objects: [ObjectID], done: @escaping ([ObjectDigest]?) -> Void) {
        self.disk = disk
        self.pg = pg
        self.objects = objects
        self.done = done
    }

    func next() {
        guard found.count < objects.count else { return done(found) }
        attempts = 0
        reading = MendingRead(host: disk, pg: pg, object: objects[found.count])
        begin(objects[found.count])
    }

    private func begin(_ object: ObjectID) {
        if disk.failure != nil { return done(nil) }
        guard let version = disk.version(pg, object, again: { self.begin(object) }) else { return }
        attempts += 1
        guard attempts <= StorageLimits.readAttempts else {
            return end(
                ObjectDigest(
                    object: object, version: version.version, digest: 0, blocks: 0, mended: 0,
                    fault: "it changed too often while it was read"))
        }
        read(object, version.version, from: 0, Tally())
    }

    /// What was seen of the object so far.
    private struct Tally {
        var states: [UInt8] = []
        var checksums: [UInt32] = []
        var fault: String?
    }

    private func read(_ object: ObjectID, _ version: EntryName, from first: Int, _ tally: Tally) {
        guard first < Geometry.blocksPerObject else { return finish(object, version, tally) }
        let blocks = BlockRange(first: first, count: ScrubRun.window)
        guard let plan = disk.plan(pg, object, blocks, again: { self.read(object, version, from: first, tally) }) else {
            return
        }
        let before = tally
        var tally = tally
        for piece in plan.pieces {
            let state: UInt8 =
                switch piece.source {
                case .absent: 0
                case .zero: 1
                case .log, .data, .payload: 2
                }
            tally.states.append(contentsOf: repeatElement(state, count: piece.blocks.count))
            tally.checksums.append(contentsOf: piece.checksums)
        }
        if plan.pieces.allSatisfy({ $0.source == .absent || $0.source == .zero }) {
            disk.finished(plan)
            return read(object, version, from: first + ScrubRun.window, tally)
        }
        reading?.read(plan) { [self] outcome in
            switch outcome {
            case .read: break
            case .again: return begin(object)
            case .mended: return read(object, version, from: first, before)
            case .notRead: tally.fault = tally.fault ?? "the disk takes no more reads"
            case .lost(let block):
                tally.fault = tally.fault ?? "block \(block) does not match its checksum on any replica"
            }
            read(object, version, from: first + ScrubRun.window, tally)
        }
    }

    private func finish(_ object: ObjectID, _ version: EntryName, _ tally: Tally) {
        guard let after = disk.version(pg, object, again: { self.finish(object, version, tally) }) else { return }
        if after.version != version { return begin(object) }
        var states = tally.states
        while states.last == 0 { states.removeLast() }
        var crc: UInt32 = 0
        if !states.isEmpty {
            crc = states.withUnsafeBytes { cs_crc32c(0, $0.baseAddress, $0.count) }
            crc = tally.checksums.withUnsafeBytes { cs_crc32c(crc, $0.baseAddress, $0.count) }
        }
        end(
            ObjectDigest(
                object: object, version: version, digest: crc, blocks: tally.checksums.count,
                mended: reading?.foundCount ?? 0, fault: tally.fault))
    }

    private func end(_ digest: ObjectDigest) {
        found.append(digest)
        next()
    }
}
