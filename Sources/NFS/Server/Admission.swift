/// Counts what calls hold, and says who may go on. A pure machine.
///
/// Invariants:
/// - a call is taken in only while the gateway and its connection are below their bounds, so each can pass a bound by
///   one call at most;
/// - who was turned away waits in line, and is woken in the order of coming, so that no connection starves another.
struct Admission {
    /// What one connection holds.
    struct Share {
        fileprivate(set) var calls = 0
        fileprivate(set) var bytes = 0
    }

    private(set) var calls = 0
    private(set) var bytes = 0
    private var line: [ObjectIdentifier] = []
    private let callBound: Int
    private let byteBound: Int

    init(callBound: Int = NFSLimits.heldCalls, byteBound: Int = NFSLimits.heldBytes) {
        self.callBound = callBound
        self.byteBound = byteBound
    }

    /// Connections that stand in line.
    var waiting: Int { line.count }
    var isOpen: Bool { calls < callBound && bytes < byteBound }

    /// Whether the connection may bring another call. When only the gateway's bound is in the way it stands in line.
    mutating func admits(_ connection: ObjectIdentifier, share: Share) -> Bool {
        guard share.calls < NFSLimits.heldCallsPerConnection, share.bytes < NFSLimits.heldBytesPerConnection else {
            return false
        }
        if isOpen { return true }
        if !line.contains(connection) { line.append(connection) }
        return false
    }

    /// A call begins to hold this much.
    mutating func took(calls: Int, bytes: Int, share: inout Share) {
        self.calls += calls
        self.bytes += bytes
        share.calls += calls
        share.bytes += bytes
    }

    /// It holds no longer.
    mutating func gaveBack(calls: Int, bytes: Int, share: inout Share) {
        self.calls -= calls
        self.bytes -= bytes
        share.calls -= calls
        share.bytes -= bytes
        precondition(self.calls >= 0 && self.bytes >= 0, "what is given back was taken before")
    }

    /// Who is to be woken now; each is to ask `admits` again.
    mutating func nextInLine() -> ObjectIdentifier? { isOpen && !line.isEmpty ? line.removeFirst() : nil }

    /// The connection is gone.
    mutating func left(_ connection: ObjectIdentifier) { line.removeAll { $0 == connection } }
}
