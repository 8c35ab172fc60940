import ClusterModel
import Replication
import Wire

/// What is to happen in the simulated world.
enum Happening {
    case tick(node: Int, life: Int)
    case deliver(from: Int, to: Int, connection: Int, ReplicaMessage, [UInt8]?)
    case connected(Int, to: Int, connection: Int)
    case disconnected(Int, from: Int)
    /// `until`: the end of the pause that it is for.
    case silence(Int, of: Int, until: UInt64)
    case spoke(Int, of: Int)
    case cycle(node: Int, life: Int)
    case work(node: Int, life: Int, HostedDisk.Lane)
    case completions(node: Int, life: Int)
    case renew(node: Int, life: Int)
    case coordinator(CoordinatorRequest)
    case toNode(node: Int, life: Int, CoordinatorAnswer)
    case clientStep(Int)
    case request(client: Int, attempt: Int, node: Int, PGRequest, [UInt8])
    case response(client: Int, attempt: Int, PGResponse, [UInt8])
    case clientTimeout(client: Int, attempt: Int)
    case fault
    case rot
    case scrub
    case restart(node: Int)
    case kill(node: Int)
    case cutPower(node: Int, life: Int, restartAfter: UInt64)
    case thaw(node: Int)
    case pause(node: Int)
    case cut(Int, Int)
    case destroy
    case acceptLoss
    case leaving(Int, node: Int, connection: Int)
    /// A node hears from another that its disk is slow.
    case slow(Int, PaceWord, by: Int, connection: Int)
    case stop(node: Int, life: Int, restartAfter: UInt64)
    case mend
    case end
    // Directed faults
    case endProcess(of: Int, life: Int, power: Bool, back: UInt64)
    case stallThenReset(node: Int, life: Int)
    case reset(Int, Int)
    case loseRows(node: Int, PGID)
    case replaceSession
    case late(client: Int, g: Int, PGRequest, [UInt8])
}

enum CoordinatorRequest {
    case propose(node: Int, life: Int, Proposal)
    case readRecord(node: Int, life: Int)
    case readMap(node: Int, life: Int, PGID, WorkToken)
    case askLease(node: Int, life: Int, LeaseNumber)
    /// Of a watch that begins anew.
    case readAll(node: Int, life: Int)
}

enum CoordinatorAnswer {
    case ended(PGID, WorkToken, ProposalOutcome)
    case record(PGRecord, RecordVersion)
    case map(MapFacts, (PGID, WorkToken)?)
    case leaseEnded(LeaseNumber)
    /// Where the groups should lie, as of a version.
    case placement([[PlacementTarget]], version: Int)
}

/// A binary heap by (time, order of scheduling): the same seed gives the same run. What is to happen lies beside it, for it
/// is large, and the heap moves its items often.
struct Agenda {
    private struct Item {
        var at: UInt64
        var order: UInt64
        var place: Int
    }
    private var heap: [Item] = []
    private var count: UInt64 = 0
    private var happenings: [Happening?] = []
    private var freePlaces: [Int] = []

    private func before(_ a: Item, _ b: Item) -> Bool { a.at != b.at ? a.at < b.at : a.order < b.order }

    mutating func add(_ what: Happening, at: UInt64) {
        count += 1
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
            happenings[place] = what
        } else {
            place = happenings.count
            happenings.append(what)
        }
        heap.append(Item(at: at, order: count, place: place))
        var i = heap.count - 1
        while i > 0, before(heap[i], heap[(i - 1) / 2]) {
            heap.swapAt(i, (i - 1) / 2)
            i = (i - 1) / 2
        }
    }

    mutating func next() -> (at: UInt64, what: Happening)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var i = 0
            while true {
                var least = i
                let left = 2 * i + 1
                if left < heap.count, before(heap[left], heap[least]) { least = left }
                if left + 1 < heap.count, before(heap[left + 1], heap[least]) { least = left + 1 }
                if least == i { break }
                heap.swapAt(i, least)
                i = least
            }
        }
        guard let what = happenings[first.place] else {
            preconditionFailure("each place of the heap holds a happening")
        }
        happenings[first.place] = nil
        freePlaces.append(first.place)
        return (first.at, what)
    }
}
