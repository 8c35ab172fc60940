import ClusterModel
import Wire

/// COMMIT for the groups of this node.
extension StorageNode {
    /// Flushes several groups of this node; one sync of each disk serves them all.
    func flush(
        _ targets: [FlushTarget], _ session: SessionID, _ version: MapVersion, reply: @escaping (FlushAnswer) -> Void
    ) {
        var stamp = LossNumber.zero
        // Most groups of a file have nothing unstable: they cost no request.
        var unstable: [Int] = []
        let lease = membership.isSurelyValid ? membership.lease?.number : nil
        for (i, target) in targets.enumerated() {
            if let lease,
                let stable = replicas[target.pg]?.group.stampIfStable(
                    session, epoch: target.epoch, mapVersion: version),
                stable.1 == lease
            {
                stamp = max(stamp, stable.0)
            } else {
                unstable.append(i)
            }
        }
        if unstable.isEmpty { return reply(.all(stamp)) }
        let stableStamp = stamp
        var answers: [Int: PGResponse] = [:]
        for i in unstable {
            let request = PGRequest(
                pg: targets[i].pg, session: session, number: .none, ended: .none, epoch: targets[i].epoch,
                mapVersion: version, body: .flush)
            self.request(request) { response in
                answers[i] = response
                guard answers.count == unstable.count else { return }
                reply(StorageNode.flushAnswer(targets, answers, others: stableStamp))
            }
        }
    }

    /// `answers`: of those that were not stable at once, by their place.
    private static func flushAnswer(
        _ targets: [FlushTarget], _ answers: [Int: PGResponse], others: LossNumber
    ) -> FlushAnswer {
        var highest = others
        for response in answers.values {
            guard case .flushed(let stamp) = response.body else {
                return .each(
                    targets.enumerated().map { i, target in
                        answers[i] ?? PGResponse(pg: target.pg, epoch: target.epoch, body: .flushed(stamp: others))
                    })
            }
            highest = max(highest, stamp)
        }
        return .all(highest)
    }
}
