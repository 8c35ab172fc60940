import NIOCore
import ONCRPC

/// The calls that are under way, so that none runs twice at once (replication.md, 19), and what became of those whose
/// clients were sent away with JUKEBOX.
///
/// Invariants:
/// - a call equal to one under way (address, credentials without the stamp, xid, program, procedure, arguments) is
///   joined to it, on whatever connection it comes;
/// - a WRITE or once-only call that was answered JUKEBOX goes on, and its client's return under a new xid is joined to it:
///   the write that was sent away must not be overtaken by its own repetition and then by itself. Others run anew: a COMMIT
///   must flush what was written since, a READ must see it;
/// - if it ends before the client returns, the answer of a once-only call waits for him.
struct PendingCalls {
    private struct Key: Hashable {
        let address: ClientAddress
        let program: UInt32
        let procedure: UInt32
        /// Nil for those sent away.
        let xid: UInt32?
    }

    private struct Kept {
        let call: NFSCall
        let answer: Answer
        let until: NIODeadline
    }

    /// What is known of a call that came in.
    enum Arrival {
        case new
        /// It waits for this one.
        case joins(NFSCall)
        /// It was executed while its client was away.
        case answered(Answer)
    }

    private var running: [Key: [NFSCall]] = [:]
    private var kept: [Kept] = []
    private(set) var count = 0
    private var sentAway = 0

    /// Looks the call up and, if it is new, keeps it until `ended`.
    mutating func arrived(_ call: NFSCall, now: NIODeadline) -> Arrival {
        let key = key(call, xid: call.header.xid.rawValue)
        if let same = running[key]?.first(where: { $0.isRepeated(by: call, xid: .same) }) { return .joins(same) }
        if sentAway > 0 || !kept.isEmpty {
            let away = self.key(call, xid: nil)
            if call.operation.isBoundToReturn,
                let same = running[away]?.first(where: { $0.isRepeated(by: call, xid: .any) })
            {
                return .joins(same)
            }
            kept.removeAll { $0.until < now }
            if let i = kept.firstIndex(where: {
                $0.call.caller.address == call.caller.address
                    && $0.call.isRepeated(by: call, xid: .any)
            }) {
                return .answered(kept.remove(at: i).answer)
            }
        }
        running[key, default: []].append(call)
        count += 1
        return .new
    }

    /// The call's client is told to come again.
    mutating func wasSentAway(_ call: NFSCall) {
        remove(call, from: key(call, xid: call.header.xid.rawValue))
        running[key(call, xid: nil), default: []].append(call)
        count += 1
        sentAway += 1
    }

    /// The call has its answer.
    mutating func ended(_ call: NFSCall, sentAway wasAway: Bool, answer: Answer?, now: NIODeadline) {
        remove(call, from: key(call, xid: wasAway ? nil : call.header.xid.rawValue))
        guard wasAway else { return }
        sentAway -= 1
        guard let answer, call.waiters.isEmpty, call.operation.repetition == .onceOnly else { return }
        if kept.count >= NFSLimits.keptAnswers { kept.removeFirst() }
        kept.append(Kept(call: call, answer: answer, until: now + .seconds(NFSLimits.keptAnswerSeconds)))
    }

    /// Those that came before `instant` and whose clients still wait for a first answer.
    func older(than instant: NIODeadline) -> [NFSCall] {
        guard count > sentAway else { return [] }
        return running.values.joined().filter { $0.arrival < instant && !$0.waiters.isEmpty }
    }

    /// Calls that nobody waits for since this connection has ended.
    func left(_ connection: NFSConnection) -> [NFSCall] { running.values.joined().filter { $0.left(connection) } }

    /// Those that were sent away before `instant` and not asked for since.
    func overdue(since instant: NIODeadline) -> [NFSCall] {
        sentAway == 0 ? [] : running.values.joined().filter { $0.isOverdue(since: instant) }
    }

    /// Calls that nobody waits for.
    var abandoned: [NFSCall] { running.values.joined().filter(\.isAbandoned) }

    private func key(_ call: NFSCall, xid: UInt32?) -> Key {
        Key(
            address: call.caller.address, program: call.header.program.number, procedure: call.header.procedure,
            xid: xid)
    }

    private mutating func remove(_ call: NFSCall, from key: Key) {
        guard let index = running.index(forKey: key) else { return }
        guard let place = running.values[index].firstIndex(where: { $0 === call }) else { return }
        running.values[index].remove(at: place)
        if running.values[index].isEmpty { running.remove(at: index) }
        count -= 1
    }
}
