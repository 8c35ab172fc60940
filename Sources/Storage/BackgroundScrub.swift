import ClusterModel
import Replication

/// Scrubs of the groups that this node leads (replication.md, 17).
extension StorageNode {
    /// How often each group is scrubbed; nil for on demand only.
    public func scrubEvery(_ period: TimeSpan?) { scrubs.period = period }

    /// Scrubs groups that this node leads as soon as it can; gives those. A scrub in the background makes room, and goes on
    /// later where it stood.
    public func scrubSoon(_ groups: [PGID], _ scope: ScrubScope = .whole) -> [PGID] {
        let led = servedGroups.filter { groups.contains($0) }
        scrubs.want(led, scope)
        if !led.isEmpty, let running = scrubs.running, running.cause == .due {
            host(running.pg)?.event { $0.stopScrub("another was asked for", at: $1) }
        }
        return led
    }

    /// Ends the scrubs of these groups that are under way or wanted; gives those that were.
    public func stopScrubs(_ groups: [PGID]) -> [PGID] {
        let stopped = groups.filter { scrubs.standing($0).stage != nil }
        scrubs.forgetWanted(groups)
        for pg in stopped where scrubs.running?.pg == pg { host(pg)?.event { $0.stopScrub("it was stopped", at: $1) } }
        return stopped
    }

    public func scrubStanding(_ pg: PGID) -> ScrubStanding {
        var standing = scrubs.standing(pg)
        guard let replica = host(pg), let progress = replica.group.scrubProgress else { return standing }
        standing.progress = progress
        guard !pg.isMetadata else {
            standing.total = directory.scrubNotes[pg]?.rows ?? 0
            return standing
        }
        var blocks: UInt64 = 0
        for (fileset, usage) in replica.disk.usage(pg) {
            if case .fileset(let wanted)? = scrubs.running?.scope, wanted != fileset { continue }
            blocks += UInt64(clamping: usage.blocks)
        }
        standing.total = blocks * UInt64(Geometry.blockSize)
        return standing
    }

    public var scrubbedNow: PGID? { scrubs.running?.pg }

    /// By the wall clock.
    public var now: Timestamp { moment().time }

    /// What the group's last scrub found, whoever led it.
    public func scrubNote(_ pg: PGID) -> ScrubNote? { directory.scrubNotes[pg] }

    /// What the last scrub of one fileset's objects in the group found that this node led.
    public func filesetScrubNote(_ pg: PGID) -> (fileset: FilesetID, note: ScrubNote)? { scrubs.filesetNotes[pg] }

    private var servedGroups: [PGID] { orderedReplicas.filter(\.group.isServing).map(\.pg) }

    func watchScrubs(leading groups: [PGID], _ now: Moment) {
        if departure == nil,
            let next = scrubs.next(
                leading: groups, last: { directory.scrubNotes[$0]?.started },
                open: { directory.scrubPositions[$0]?.started }, at: now.time)
        {
            begin(next)
        }
        guard let running = scrubs.running else { return }
        guard let replica = host(running.pg) else {
            return scrubEnded(running.pg, .interrupted("its disk is out of use", nil))
        }
        replica.group.scrubPaceChanged(background.governor.scrubPace.bytesPerSecond)
        if scrubs.isPositionDue(at: now.now), let position = replica.group.scrubPosition { keep(position, of: running) }
    }

    private func begin(_ next: ScrubSchedule.Running) {
        let position = next.cause == .due ? directory.scrubPositions[next.pg]?.position : nil
        host(next.pg)?.event { $0.beginScrub(next.scope, from: position, at: $1) }
        // Where members have come meanwhile, it begins anew.
        if let progress = host(next.pg)?.group.scrubProgress { scrubs.runs(from: progress) }
    }

    private func keep(_ position: ScrubPosition, of running: ScrubSchedule.Running) {
        guard running.cause == .due else { return }
        let note = ScrubPositionNote(started: running.started, position: position)
        if directory.scrubPositions[running.pg] != note { directory.noteScrubPosition(of: running.pg, note) }
    }

    func scrubEnded(_ pg: PGID, _ outcome: ScrubOutcome) {
        switch outcome {
        case .interrupted(let reason, let position):
            logger.info("the scrub of \(pg) ended early: \(reason)")
            if let running = scrubs.running, running.pg == pg, let position { keep(position, of: running) }
            scrubs.ended(pg, outcome, at: now)
        case .finished(let result): findPaths(of: result.files) { self.scrubFinished(pg, result, $0) }
        }
    }

    /// `paths`: of the files in which something was found.
    private func scrubFinished(_ pg: PGID, _ result: ScrubResult, _ paths: [FileID: FilePath]) {
        let now = moment()
        guard let running = scrubs.running, running.pg == pg else { return }
        let note = ScrubNote(result, started: running.started, ended: now.time, paths: paths) { layout(of: $0) }
        scrubs.ended(pg, .finished(result), at: now.time)
        counters.scrubs += 1
        counters.scrubFindings += result.lostCount + result.differingCount
        logger.info(
            "scrubbed \(pg): \(result.objects) objects, \(result.blocks) blocks, \(result.rows) rows, \(result.replies) replies, \(result.sessions) sessions, \(note.findings.count) findings"
        )
        for text in note.findings {
            self.note(.group(pg), "scrub: \(text)")
            logger.warning("scrub of \(pg): \(text)")
        }
        switch running.scope {
        case .whole: directory.noteScrub(of: pg, note)
        case .fileset(let fileset): scrubs.keep(note, of: fileset, in: pg)
        }
    }
}

extension ScrubResult {
    /// Files in which something was found, each once.
    fileprivate var files: [FileID] {
        var files: [FileID] = []
        for object in lost.map(\.object) + differing.compactMap(\.object) where !files.contains(object.file) {
            files.append(object.file)
        }
        return files
    }
}

extension ScrubResult.Difference {
    fileprivate var object: ObjectID? {
        guard case .object(let object) = place else { return nil }
        return object
    }
}
