import Storage

// How catching up goes, for commands.

extension CatchUpReport {
    init(_ progress: CatchUpProgress) {
        self.init(
            node: Int(progress.node.rawValue), stage: progress.stage.name, copiedObjects: progress.objects?.copied,
            objects: progress.objects?.of, copiedRows: progress.rows?.copied, rows: progress.rows?.about,
            copiedBytes: progress.bytes, bytesPerSecond: progress.pace.bytesPerSecond,
            secondsLeft: progress.timeLeft.map { Double($0.nanoseconds) / 1e9 })
    }
}

extension CatchUpProgress.Stage {
    var name: String {
        switch self {
        case .waiting: "waiting"
        case .listing: "listing"
        case .copying: "copying"
        case .finishing: "finishing"
        }
    }
}

extension RecoverySummary {
    init(_ standings: [ReplicaStanding]) {
        let total = CatchUpProgress.total(standings.flatMap(\.catchUps))
        self.init(
            groups: total.groups, waiting: total.waiting, bytesPerSecond: total.pace.bytesPerSecond,
            secondsLeft: total.timeLeft.map { Double($0.nanoseconds) / 1e9 })
    }
}

extension AdminService {
    /// Learners whose turn has not come.
    func recoveryWaits() -> [WaitReport] {
        node.standings.flatMap { standing in
            standing.catchUps.filter { $0.stage == .waiting }.map { one in
                WaitReport(
                    group: "\(standing.pg)", who: "replica",
                    reason:
                        "its turn to bring node \(one.node.rawValue) up to date: this node copies a few groups at a time"
                )
            }
        }
    }
}
