import CSupport
import ClusterModel
import NIOCore
import Store
import Wire

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

/// A page of names of objects that a replica knows.
public struct ObjectPage: Sendable {
    public var objects: [ObjectID]
    /// Where the next page begins; nil at the end.
    public var next: ObjectPageCursor?
}

/// Where a page of names ended.
public struct ObjectPageCursor: Sendable, Hashable {
    public var version: EntryName
    /// Nil before the first.
    public var object: ObjectID?
    public init(version: EntryName, object: ObjectID?) {
        self.version = version
        self.object = object
    }
    public static let beginning = ObjectPageCursor(version: .zero, object: nil)
}

extension StorageNode {
    /// Where the own replica of a group lies, and how far it knows entries as decided; nil if there is none here.
    public func replicaPlace(_ pg: PGID) -> (disk: DiskID, decided: EntryName)? {
        host(pg).map { ($0.disk.id, $0.group.decided) }
    }

    /// Names of objects of the group that the own replica knows. What changes while pages are taken may be named twice and
    /// is never left out; nil without a replica.
    public func objects(of pg: PGID, after cursor: ObjectPageCursor, done: @escaping (ObjectPage?) -> Void) {
        guard let replica = host(pg), replica.disk.failure == nil else { return done(nil) }
        let start =
            cursor.object.map { ChangeCursor(version: cursor.version, object: $0) }
            ?? ChangeCursor(after: cursor.version)
        replica.disk.changes(pg, after: start) { page in
            let objects = page.changes.compactMap { change -> ObjectID? in
                switch change {
                case .object(let object, _, _): object
                // A cut's objects carry its version themselves where it cut anything.
                case .cut: nil
                }
            }
            done(
                ObjectPage(
                    objects: objects, next: page.next.map { ObjectPageCursor(version: $0.version, object: $0.object) }))
        }
        needsCycleEnd()
    }

    /// Reads objects of the own replica whole, verifies every block, and gives a digest of each, in order.
    public func scrub(_ objects: [ObjectID], of pg: PGID, done: @escaping ([ObjectDigest]?) -> Void) {
        guard let replica = host(pg), replica.disk.failure == nil else { return done(nil) }
        ScrubRun(disk: replica.disk, pg: pg, objects: objects, done: done).next()
        needsCycleEnd()
    }

    /// The digest of a metadata replica's rows as of the last entry that it applied; nil without a replica.
    public func scrubRows(
        _ pg: PGID, done: @escaping ((asOf: EntryName, digest: UInt64, rows: UInt64)?) -> Void
    ) {
        guard let namespace = host(pg)?.namespace else { return done(nil) }
        namespace.digest { bytes in
            guard let bytes else { return done(nil) }
            let decoded = try? ByteBuffer(bytes: bytes).decoded { r throws(WireError) in
                (asOf: EntryName(epoch: Epoch(try r.u64()), n: try r.u64()), digest: try r.u64(), rows: try r.u64())
            }
            done(decoded)
        }
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
