import ClusterModel

extension GatewayMachine {
    /// Takes the shell's view in; a record that a placement group showed earlier and that is newer stays.
    func adopt(_ view: GatewayView) {
        let first = map == nil
        if map.map({ view.map.version >= $0.version }) ?? true { map = view.map }
        sawStamp(view.map.lossNumber)
        // Before the records: nothing more goes out under a session that is over.
        // Ids are never used again: one that has ended is not taken up anew, for its numbers would begin anew.
        let offered = view.session.flatMap { $0 > lastEnded ? $0 : nil }
        if offered != session {
            if session != nil { endSession() }
            session = offered
        }
        for record in view.data { if let record { adopt(record) } }
        for record in view.metadata { if let record { adopt(record) } }
        endRequestsOfGone()
        if first { setPolls() }
        startUnstarted()
    }

    /// The metadata group of a fileset that was deleted answers nothing any more: what was asked of it ends here. Data groups
    /// refuse their part themselves.
    private func endRequestsOfGone() {
        for index in lanes.indices {
            guard let fileset = lanes[index].pg.fileset, liveFileset(fileset) == nil else { continue }
            for call in lanes[index].active where calls[call.slot] != nil { endOfGone(call) }
        }
        deletions.polls.removeAll { liveFileset($0.fileset) == nil }
        for commit in commits where liveFileset(commit.file.file.fileset) == nil { sendFlushes(of: commit) }
    }

    /// Sends what waited for it, and sends again what is under way to the group's former primary.
    func adopt(_ record: PGRecord) {
        if let known = records[record.pg], known.epoch >= record.epoch { return }
        records[record.pg] = record
        flushPlan = nil
        sawStamp(record.lossNumber)
        guard session != nil else { return }
        reconsider(record.pg)
        reconsiderFlushes(record.pg)
    }

    private func setPolls() {
        timers.set(.pollDeletions, at: time.now + GatewayLimits.deletionPoll)
        timers.set(.pollMeasurable, at: time.now + GatewayLimits.measuringPoll)
    }

    private func startUnstarted() {
        guard session != nil, map != nil, !unstarted.isEmpty else { return }
        // The process may have stood still.
        refuseUnstarted()
        let waiting = unstarted
        unstarted.removeAll()
        for one in waiting {
            heldBytes -= one.request.byteCount
            start(one.id, one.request, one.caller)
        }
    }

    /// Who asked may be gone, and another gateway may have changed since what was to be changed: what waits for a session is not
    /// carried out whenever one comes. Who is there asks again.
    func refuseUnstarted() { refuseUnstarted(where: { time.now >= $0.began + GatewayLimits.sessionPatience }) }

    func refuseUnstarted(where isToGo: (Unstarted) -> Bool) {
        unstarted.removeAll { one in
            guard isToGo(one) else { return false }
            heldBytes -= one.request.byteCount
            effects.append(.finish(one.id, .failure(.unavailable)))
            return true
        }
    }

    /// The session is over: every operation that was begun under it fails, and nothing of it is sent again.
    func endSession() {
        calls.removeAll()
        flushes.removeAll()
        lanes.removeAll()
        laneIndex.removeAll()
        for place in 0..<files.places { files.at(place)?.forgetWaiters() }
        fileIndex.removeAll()
        files.removeAll()
        deletions = Deletions()
        measurements = Measurements()
        timers.removeAll()
        setPolls()
        heldCount = 0
        heldBytes = 0
        let ended = session
        session = nil
        for place in 0..<operations.places {
            if let operation = operations.at(place) { finish(operation, .failure(.unavailable)) }
        }
        commits.removeAll()
        if let ended {
            lastEnded = ended
            effects.append(.sessionEnded(ended))
        }
    }

    /// A placement group says that the session has left the map.
    func sessionRefused(_ version: MapVersion) {
        guard session != nil else { return }
        endSession()
        effects.append(.refresh(atLeast: version))
    }

    func liveFileset(_ id: FilesetID) -> Fileset? {
        guard let fileset = map?.fileset(id), fileset.state == .live else { return nil }
        return fileset
    }

    /// The fileset joined at this name, if there is one.
    func junction(at directory: FileID, _ name: [UInt8]) -> Fileset? {
        map?.filesets.first { fileset in
            fileset.state == .live && fileset.junction.map { $0.directory == directory && $0.name == name } ?? false
        }
    }

    /// The names in this directory at which filesets are joined.
    func junctions(in directory: FileID) -> Set<[UInt8]> {
        Set(
            (map?.filesets ?? []).filter { $0.state == .live }.compactMap(\.junction).filter {
                $0.directory == directory
            }.map(\.name))
    }
}
