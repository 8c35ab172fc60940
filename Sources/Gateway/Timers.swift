import ClusterModel

/// What a timer is for.
enum TimerPurpose {
    /// A request's pause is over.
    case resend(SlotID, attempt: UInt32)
    case resendFlush(CommitOperation)
    case settle(FileState)
    case redo(Operation)
    /// One that waits for a session may have waited long enough.
    case refuseUnstarted
    /// The clients of some operations may have been gone for long enough.
    case giveUpAbandoned
    case pollDeletions
    case pollMeasurable
    case endMeasurement(Measurement)
}

/// Deadlines, the earliest first; equal ones in the order they were set. A binary heap.
struct Timers {
    private struct Item {
        var deadline: Instant
        var order: UInt64
        var purpose: TimerPurpose

        func isBefore(_ other: Item) -> Bool {
            deadline != other.deadline ? deadline < other.deadline : order < other.order
        }
    }
    private var heap: [Item] = []
    private var order: UInt64 = 0

    var next: Instant? { heap.first?.deadline }

    mutating func set(_ purpose: TimerPurpose, at deadline: Instant) {
        order += 1
        heap.append(Item(deadline: deadline, order: order, purpose: purpose))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if !heap[child].isBefore(heap[parent]) { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The earliest purpose that is due.
    mutating func due(at now: Instant) -> TimerPurpose? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2]
                where child < heap.count && heap[child].isBefore(heap[least]) {
                    least = child
                }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return first.purpose
    }

    mutating func removeAll() { heap.removeAll() }
}
