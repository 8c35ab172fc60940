import ClusterModel
import Wire

/// What must stay within bounds, however long a cluster runs: space, the log, memory, and what a catching up copies.
extension Simulator {
    /// All is quiet: what a disk has given away is what its content takes.
    func checkBounds() {
        for node in nodes {
            if node.payloads.count > 5000 { fail("\(node.id) holds \(node.payloads.count) payloads") }
            guard node.isOpen, let host = node.host, host.isReady, !host.isClosing,
                host.store.leavingGroups.isEmpty
            else { continue }
            let store = host.store
            let used = groups.reduce(0) { $0 + store.usage($1).reduce(0) { $0 + Int($1.usage.slots) } }
            let given = store.takenSlots - store.pendingSlotCount
            if given != used { fail("\(node.id) has given \(given) slots, and its content takes \(used)") }
            let segments = host.disk.segmentNumbers.count
            if segments > scenario.store.maximumSegments + 1 {
                fail("\(node.id) has a log of \(segments) segments when all is quiet")
            }
        }
    }

    /// A catching up has brought another piece: it may bring no more than each object once, and some that changed meanwhile.
    func countPiece(of pg: PGID, attempt: UInt32, to n: Int) {
        let key = CatchUpCount(pg: pg, node: n, life: nodes[n].life, attempt: attempt)
        let count = pieces[key, default: 0] + 1
        pieces[key] = count
        let bound = 16 * everyObject.count + 64
        if count == bound { fail("a catching up of \(pg) at \(nodes[n].id) has brought \(bound) pieces, and goes on") }
    }

    struct CatchUpCount: Hashable {
        var pg: PGID
        var node: Int
        var life: Int
        var attempt: UInt32
    }
}
