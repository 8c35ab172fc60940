import ClusterModel
import Replication

/// Scrubs of the groups that this node leads (replication.md, 17).
extension StorageNode {
    /// How often each group is scrubbed; nil for on demand only.
    public func scrubEvery(_ period: TimeSpan?) { scrubs.period = period }

    /// Scrubs groups that this node leads as soon as it can; gives those.
    public func scrubSoon(_ groups: [PGID]) -> [PGID] {
        let led = servedGroups.filter { groups.contains($0) }
        scrubs.want(led)
        return led
    }

    /// Ends the scrubs of these groups that are under way or wanted; gives those that were.
    public func stopScrubs(_ groups: [PGID]) -> [PGID] {
        let stopped = groups.filter { scrubs.standing($0).stage != nil }
        scrubs.forgetWanted(groups)
        for pg in stopped where scrubs.running?.pg == pg { host(pg)?.event { $0.stopScrub(at: $1) } }
        return stopped
    }

    public func scrubStanding(_ pg: PGID) -> ScrubStanding {
        var standing = scrubs.standing(pg)
        guard let replica = host(pg), let progress = replica.group.scrubProgress else { return standing }
        standing.progress = progress
        standing.total =
            pg.isMetadata
            ? directory.scrubNotes[pg]?.rows ?? 0
            : UInt64(clamping: replica.disk.usage(pg).reduce(0) { $0 + $1.usage.blocks }) * UInt64(Geometry.blockSize)
        return standing
    }

    public var scrubbedNow: PGID? { scrubs.running?.pg }

    /// By the wall clock.
    public var now: Timestamp { moment().time }

    /// What the group's last scrub found, whoever led it.
    public func scrubNote(_ pg: PGID) -> ScrubNote? { directory.scrubNotes[pg] }

    private var servedGroups: [PGID] { orderedReplicas.filter(\.group.isServing).map(\.pg) }

    func watchScrubs(leading groups: [PGID], _ now: Moment) {
        if departure == nil,
            let pg = scrubs.next(
                leading: groups, last: { directory.scrubNotes[$0]?.started }, at: now.time)
        {
            host(pg)?.event { $0.beginScrub(at: $1) }
        }
        guard let running = scrubs.running else { return }
        guard let replica = host(running.pg) else {
            return scrubEnded(running.pg, .interrupted("its disk is out of use"))
        }
        replica.group.scrubPaceChanged(background.governor.scrubPace.bytesPerSecond)
    }

    func scrubEnded(_ pg: PGID, _ outcome: ScrubOutcome) {
        let now = moment()
        let started = scrubs.running?.started ?? now.time
        switch outcome {
        case .interrupted(let reason):
            logger.info("the scrub of \(pg) ended early: \(reason)")
            scrubs.ended(pg, outcome, at: now.time)
        case .finished(let result):
            let note = ScrubNote(result, started: started, ended: now.time) { layout(of: $0) }
            scrubs.ended(pg, outcome, at: now.time)
            counters.scrubs += 1
            counters.scrubFindings += result.lostCount + result.differingCount
            logger.info(
                "scrubbed \(pg): \(result.objects) objects, \(result.blocks) blocks, \(result.rows) rows, \(note.findings.count) findings"
            )
            for text in note.findings { self.note(.group(pg), "scrub: \(text)") }
            directory.noteScrub(of: pg, note)
        }
    }
}
