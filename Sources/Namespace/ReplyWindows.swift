import ClusterModel
import Wire

/// Which results are kept: of each session's last requests, and of recent calls that may be retransmitted through any
/// gateway (replication.md, 18 and 20). An index over the reply rows, made anew from them when the rows are opened; the
/// results themselves stay in the rows.
///
/// Invariants:
/// - a reply's row lives while its session's ring or a call names it, and goes with the last of the two;
/// - a call is found only while it is younger than `callLifetime`, among the newest `callsPerOrigin` of its origin and the
///   newest `calls` of all: that depends on the log alone. When the rows of expired ones go may differ between replicas.
struct ReplyWindows {
    private struct Slot {
        var number: UInt64 = 0
        var n: UInt64 = 0
    }

    private struct Ring {
        private var slots = [Slot](repeating: Slot(), count: NamespaceLimits.sessionWindow)
        private(set) var highest: UInt64 = 0

        subscript(number: UInt64) -> Slot { slots[index(number)] }

        /// The n of the reply that had the place, 0 if none.
        mutating func replace(_ number: UInt64, n: UInt64) -> UInt64 {
            let old = slots[index(number)].n
            slots[index(number)] = Slot(number: number, n: n)
            highest = max(highest, number)
            return old
        }

        /// The n of all replies, in order of the places.
        var names: [UInt64] { slots.compactMap { $0.n == 0 ? nil : $0.n } }

        private func index(_ number: UInt64) -> Int { Int(number % UInt64(NamespaceLimits.sessionWindow)) }
    }

    private struct Call {
        var time: Timestamp
        var identity: CallIdentity
        var session: SessionID
        var number: RequestNumber
    }

    private var rings: [SessionID: Ring] = [:]
    private var calls: [CallIdentity: UInt64] = [:]
    private var live: [UInt64: Call] = [:]
    /// Every live call by age; also some that their origin's bound has removed.
    private var byAge = Queue<UInt64>()
    private var byOrigin: [UInt128: Queue<UInt64>] = [:]

    enum Request: Equatable {
        /// Not executed yet.
        case new
        case kept(n: UInt64)
        /// Answered so long ago that its result has left the window.
        case below
    }

    var callCount: Int { live.count }
    var sessionCount: Int { rings.count }
    func has(_ session: SessionID) -> Bool { rings[session] != nil }
    /// Ascending.
    var sessions: [SessionID] { rings.keys.sorted() }

    func find(_ session: SessionID, _ number: RequestNumber) -> Request {
        guard session != .none, number != .none, let ring = rings[session] else { return .new }
        let slot = ring[number.rawValue]
        if slot.number == number.rawValue { return .kept(n: slot.n) }
        let window = UInt64(NamespaceLimits.sessionWindow)
        return ring.highest >= window && number.rawValue <= ring.highest - window ? .below : .new
    }

    func find(_ call: CallIdentity, at time: Timestamp) -> UInt64? {
        guard let n = calls[call], let found = live[n], !isExpired(found, at: time) else { return nil }
        return n
    }

    /// Whether the reply of entry n is what a request of the session finds.
    func isKept(_ n: UInt64, for session: SessionID, _ number: RequestNumber) -> Bool {
        guard session != .none, number != .none, let ring = rings[session] else { return false }
        return ring[number.rawValue].n == n
    }

    /// Whether it is what the call finds.
    func isKept(_ n: UInt64, for call: CallIdentity?, at time: Timestamp) -> Bool {
        call.map { find($0, at: time) == n } ?? false
    }

    /// Takes in the reply of entry n. What nothing names any more is appended to `dropped`.
    mutating func keep(
        _ n: UInt64, time: Timestamp, session: SessionID, number: RequestNumber, call: CallIdentity?,
        dropped: inout [UInt64]
    ) {
        let hasNumber = session != .none && number != .none
        if hasNumber {
            let old = rings[session, default: Ring()].replace(number.rawValue, n: n)
            if old != 0, live[old] == nil { dropped.append(old) }
        }
        guard let call else {
            if !hasNumber { dropped.append(n) }
            return
        }
        if let previous = calls[call] { forget(previous, &dropped) }
        calls[call] = n
        live[n] = Call(time: time, identity: call, session: session, number: number)
        byAge.append(n)
        if byOrigin[call.origin, default: Queue()].append(n) > NamespaceLimits.callsPerOrigin {
            forgetOldest(of: call.origin, &dropped)
        }
        while live.count > NamespaceLimits.calls, let oldest = byAge.popFirst() { expire(oldest, &dropped) }
        if byAge.count > 2 * live.count + 1024 { byAge.keep { live[$0] != nil } }
    }

    /// Drops at most `NamespaceLimits.pruneStep` calls that have expired at `time`.
    mutating func prune(at time: Timestamp, dropped: inout [UInt64]) {
        for _ in 0..<NamespaceLimits.pruneStep {
            guard let oldest = byAge.first else { return }
            if let call = live[oldest], !isExpired(call, at: time) { return }
            _ = byAge.popFirst()
            expire(oldest, &dropped)
        }
    }

    /// The session is gone. `dropped`: replies that nothing names any more; `anonymous`: those that calls still name, also
    /// those that had left the ring before: a ring that is made anew from the rows would take them in.
    mutating func end(_ session: SessionID, dropped: inout [UInt64], anonymous: inout [UInt64]) {
        guard let ring = rings.removeValue(forKey: session) else { return }
        for n in ring.names where live[n] == nil { dropped.append(n) }
        for n in live.filter({ $0.value.session == session }).keys.sorted() {
            live[n]?.session = .none
            anonymous.append(n)
        }
    }

    private func isExpired(_ call: Call, at time: Timestamp) -> Bool {
        time.nanoseconds &- call.time.nanoseconds > Int64(NamespaceLimits.callLifetime.nanoseconds)
    }

    /// The oldest of all, already taken from `byAge`; so it is its origin's oldest as well.
    private mutating func expire(_ n: UInt64, _ dropped: inout [UInt64]) {
        guard let call = live[n] else { return }
        forgetOldest(of: call.identity.origin, &dropped)
    }

    private mutating func forgetOldest(of origin: UInt128, _ dropped: inout [UInt64]) {
        while let oldest = byOrigin[origin]?.popFirst() {
            if live[oldest] != nil {
                forget(oldest, &dropped)
                break
            }
        }
        if byOrigin[origin]?.isEmpty ?? false { byOrigin[origin] = nil }
    }

    private mutating func forget(_ n: UInt64, _ dropped: inout [UInt64]) {
        guard let call = live.removeValue(forKey: n) else { return }
        if calls[call.identity] == n { calls[call.identity] = nil }
        if rings[call.session]?[call.number.rawValue].n != n { dropped.append(n) }
    }
}

/// First in, first out, in one array.
struct Queue<Element> {
    private var elements: [Element] = []
    private var head = 0

    var count: Int { elements.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Element? { isEmpty ? nil : elements[head] }

    /// The count after it.
    @discardableResult
    mutating func append(_ element: Element) -> Int {
        elements.append(element)
        return count
    }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = elements[head]
        head += 1
        if head > 32, head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }

    mutating func keep(_ wanted: (Element) -> Bool) {
        elements = elements[head...].filter(wanted)
        head = 0
    }
}

extension Queue: Sendable where Element: Sendable {}

/// A reply as its row holds it.
struct ReplyRow {
    var time: Timestamp
    var session: SessionID
    var number: RequestNumber
    var call: CallIdentity?
    /// An encoded `NamespaceResult`.
    var result: [UInt8]

    /// What takes the place of a reply that is gone, where a row cannot be taken away: no request and no call finds it.
    static let ofNobody = ReplyRow(time: .zero, session: .none, number: .none, call: nil, result: [])

    func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 64 + result.count)
        w.i64(time.nanoseconds)
        w.u64(session.rawValue)
        w.u64(number.rawValue)
        w.optional(call) { w, c in w.call(c) }
        w.blob(result)
        return w.bytes
    }

    init(
        time: Timestamp, session: SessionID, number: RequestNumber, call: CallIdentity?, result: [UInt8]
    ) {
        self.time = time
        self.session = session
        self.number = number
        self.call = call
        self.result = result
    }

    init(_ bytes: [UInt8]) throws {
        self = try decodeRow(bytes) { r throws(WireError) in
            ReplyRow(
                time: Timestamp(nanoseconds: try r.i64()), session: SessionID(try r.u64()),
                number: RequestNumber(try r.u64()),
                call: try r.optional { r throws(WireError) in try r.call() },
                result: try r.blob(atMost: 1 << 16))
        }
    }
}
