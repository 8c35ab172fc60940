import ClusterModel
import NIOCore
import Replication

extension StorageNode {
    /// Gives to other nodes what they can do, stops serving, makes all disks clean, and lays down the lease. `waitsFor` hears what it waits for from then on.
    public func stop(waitsFor: @escaping (String) -> Void, done: @escaping () -> Void) {
        waitsFor("other nodes to take its groups over")
        depart { [self] in close(waitsFor: waitsFor, done: done) }
    }

    private func close(waitsFor: @escaping (String) -> Void, done: @escaping () -> Void) {
        ticking?.cancel()
        transport.close()
        // Roles end before the lease does.
        if let number = membership.lease?.number {
            for replica in orderedReplicas { replica.event { $0.leaseLapsed(number, at: $1) } }
            settle()
        }
        waitsFor("the coordination store to take its session out of the map")
        membership.leave { [self] in
            var left = disks.map(\.path)
            func tell() {
                waitsFor("\(left.count == 1 ? "a disk" : "disks") to be made clean: \(left.joined(separator: ", "))")
            }
            // While replicas are still being made, no tables can be written down: the next start finds what a kill leaves.
            if left.isEmpty || isOpening { return done() }
            tell()
            for disk in disks {
                disk.close {
                    left.removeAll { $0 == disk.path }
                    tell()
                    if left.isEmpty { done() }
                }
            }
        }
    }
}
