import ClusterModel

/// What requests wait for, by name, for `stave why`.
public struct GatewayWait: Hashable, Sendable {
    public enum Reason: UInt8, Hashable, Sendable {
        /// 256 requests to the group are unfinished.
        case numbers = 1
        /// The group has no primary.
        case primary = 2
        /// A hint ran out before the request could be sent.
        case attributes = 3
        /// Refused or lost, and will be sent again.
        case pause = 4
        /// With a primary that has not answered.
        case answer = 5
        /// With the own replica.
        case ownReplica = 6
        /// There is no session.
        case session = 7
    }
    public var reason: Reason
    /// Nil for what waits for a session.
    public var pg: PGID?
    public var requests: Int
    public var bytes: Int
    /// Since when the first of them waits.
    public var since: Instant
}

extension GatewayMachine {
    /// One line per group and reason, at most `GatewayLimits.waitLines`.
    public func waits() -> [GatewayWait] {
        var lines: [GatewayWait] = []
        if let first = unstarted.first {
            let bytes = unstarted.reduce(0) { $0 + $1.request.byteCount }
            lines.append(
                GatewayWait(reason: .session, pg: nil, requests: unstarted.count, bytes: bytes, since: first.began))
        }
        for lane in lanes {
            let begin = lines.count
            for call in lane.active {
                let reason = call.waitReason
                if let index = lines[begin...].firstIndex(where: { $0.reason == reason }) {
                    lines[index].requests += 1
                    lines[index].bytes += call.payload.byteCount
                    lines[index].since = min(lines[index].since, call.began)
                } else if lines.count < GatewayLimits.waitLines {
                    lines.append(
                        GatewayWait(
                            reason: reason, pg: lane.pg, requests: 1, bytes: call.payload.byteCount, since: call.began))
                }
            }
        }
        return lines
    }
}

extension PGCall {
    fileprivate var waitReason: GatewayWait.Reason {
        switch state {
        case .waitingForNumber: return .numbers
        case .held: return .primary
        case .validating: return .attributes
        case .pausing: return .pause
        case .underWay: return .answer
        case .local: return .ownReplica
        }
    }
}
