import ClusterModel
import DiskIO
import Wire

/// A disk of this node that could not be opened.
struct UnusableDisk {
    var id: DiskID
    var path: String
    var reason: String
}

/// Disks that cannot be opened: their folder is missing, what lies in it cannot be read, or their medium fails meanwhile. The
/// node goes on with its other disks.
///
/// Invariants:
/// - a node of which no disk can be opened does not start, nor does one of which another process holds a disk;
/// - others hear of each replica that they seek on such a disk that it is gone, so that its group goes on without it;
/// - this process does not try it again. Another disk in its place (`stave disk replace`) is opened at once, and the same one
///   by the next start, under the records of that time: what they name there is a member or learns, as after any absence.
extension StorageNode {
    /// Opens one disk after the other. Fails if one is in another process's hands, or if nothing is left that could be opened.
    func openEach(
        _ plans: ArraySlice<DiskPlan>, _ threads: NodeThreads, earlier: StorageFailure? = nil,
        done: @escaping (Result<Void, StorageFailure>) -> Void
    ) {
        guard let plan = plans.first else {
            if let earlier, disks.isEmpty, unopenedDisks.isEmpty { return done(.failure(earlier)) }
            return done(.success(()))
        }
        open(plan, threads) { [self] result in
            switch result {
            case .success: openEach(plans.dropFirst(), threads, earlier: earlier, done: done)
            case .failure(let failure):
                let reason = StorageFailure(failure.reason)
                if failure.isLocked { return done(.failure(reason)) }
                cannotOpen(plan, failure) { [self] in
                    openEach(plans.dropFirst(), threads, earlier: earlier ?? reason, done: done)
                }
            }
        }
    }

    /// Keeps in mind that a disk cannot be opened; `done` comes when a failure of its medium is durable in the coordination
    /// store, or cannot be made so any more.
    func cannotOpen(_ plan: DiskPlan, _ failure: DiskHost.OpeningFailure, done: @escaping () -> Void) {
        logger.critical("the disk at \(plan.path) cannot be opened: \(failure.reason)")
        guard let id = failed(plan) else { return done() }
        unusableDisks.removeAll { $0.id == id }
        unusableDisks.append(UnusableDisk(id: id, path: plan.path, reason: failure.reason))
        note(.disk(id), "cannot be opened: \(failure.reason)")
        guard let medium = failure.medium else { return done() }
        noteFailure(of: id, medium, done: done)
    }

    /// Whether the record names this node with a disk that it does not have, for it cannot be opened or another one has its
    /// place.
    func isOnMissingDisk(_ pg: PGID) -> Bool {
        guard !isOpening, replicas[pg] == nil, let record = directory.view.record(pg) else { return false }
        let named =
            (record.inSync + record.learners).filter { $0.node == localNode }.map(\.disk)
            + record.placement.filter { $0.node == localNode }.map(\.disk)
        return named.contains { id in unusableDisks.contains { $0.id == id } }
            || record.inSync.contains { $0.node == localNode && directory.view.map.disk($0.disk) == nil }
    }
}
