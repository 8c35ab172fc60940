import ClusterModel
import Wire

/// One measurement of what a file uses: every data group that may hold some of it is asked (docs/decisions/008).
final class Measurement {
    enum Purpose {
        /// Before this gateway's registration ends; without an answer in time it ends without one.
        case settlement(FileState)
        /// For the metadata primary, which is this node.
        case record(MeasurableFile)
    }

    let purpose: Purpose
    let file: FileID
    let mark: UsageMark
    var remaining: Int
    var bytes: UInt64 = 0
    var standing = AllocationStanding.settled
    var isOver = false

    init(_ purpose: Purpose, of file: FileID, mark: UsageMark, groups: Int) {
        self.purpose = purpose
        self.file = file
        self.mark = mark
        remaining = groups
    }
}

/// The measurements that the metadata primary's node makes: of files that are pending, and, in turn, of all.
///
/// All files are looked at after whatever may have made a recorded number wrong unseen: this node became metadata primary
/// of the fileset, a loss, a session that ended with writes under way; and once a day.
struct Measurements {
    struct Poll {
        var fileset: FilesetID
        var asking: MeasuringScope?
        /// Where the next page of pending files begins.
        var after = InodeNumber(0)
        /// Where the look at all files goes on; nil while there is none.
        var walk: InodeNumber? = InodeNumber(0)
        /// Something came while the look at all files was under way: it is made once more.
        var walksAgain = false
        var walkedAt = Instant(nanoseconds: 0)
        /// Times that pending files were asked for.
        var turns: UInt64 = 0
    }
    var polls: [Poll] = []
    var running: [Measurement] = []
    var round: UInt64 = 0
    /// As of the last round.
    var loss = LossNumber.zero
    var sessions: [SessionID] = []
}

extension GatewayMachine {
    /// Ends by `ended`, once, possibly before this returns.
    private func measure(_ purpose: Measurement.Purpose, _ file: FileID, _ mark: UsageMark, _ groups: [PGID]) {
        guard let session else { return }
        let work = Measurement(purpose, of: file, mark: mark, groups: groups.count)
        if case .settlement = purpose {
            timers.set(.endMeasurement(work), at: time.now + GatewayLimits.measuringPatience)
        } else {
            measurements.running.append(work)
        }
        let question = NamespaceQuestion(credentials: .superuser, session: session, query: .allocation(file))
        for group in groups { issue(.measure(work), to: group, .query, .query(question)) }
        if groups.isEmpty { ended(work, work.usage) }
    }

    func allocationCame(_ work: Measurement, _ answer: Result<NamespaceAnswer, FileFailure>) {
        if work.isOver { return }
        work.remaining -= 1
        guard case .success(.allocation(let allocation)) = answer else { return ended(work, nil) }
        work.bytes &+= allocation.bytes
        if allocation.standing == .moving { work.standing = .moving }
        if work.remaining == 0 { ended(work, work.usage) }
    }

    /// Time is over for a measurement that a settlement waits for.
    func measurementLate(_ work: Measurement) { if !work.isOver { ended(work, nil) } }

    private func ended(_ work: Measurement, _ usage: MeasuredUsage?) {
        work.isOver = true
        switch work.purpose {
        case .settlement(let file): sendSettlement(file, usage)
        case .record(let known):
            measurements.running.removeAll { $0 === work }
            // What is recorded already need not be logged again, unless it ends the file's being pending.
            guard let usage, usage.bytes != known.used || (known.isPending && usage.standing == .settled) else {
                return
            }
            mutate(
                .recordFileUsage, work.file.fileset, .recordFileUsage(inode: work.file.inode, usage), .unstable)
        }
    }

    /// Measures before a settlement is sent. A file in many groups is left to the metadata primary's pace, unless somebody
    /// waits for its attributes.
    func measureForSettlement(_ file: FileState, for asker: SettlementReason) {
        guard let hint = file.inode?.hint else { return sendSettlement(file, nil) }
        let groups = measuredGroups(of: file.file, hint)
        if asker == .quiet, groups.count > GatewayLimits.quietMeasuring { return sendSettlement(file, nil) }
        measure(
            .settlement(file), file.file, max(hint.usageMark, file.registration.usageMark), groups)
    }

    private func measuredGroups(of file: FileID, _ hint: FileHint) -> [PGID] {
        dataGroups(of: file, objects: 0..<hint.layout.objectCount(fileSize: hint.limit))
    }

    // MARK: The metadata primary's

    func pollMeasurable() {
        timers.set(.pollMeasurable, at: time.now + GatewayLimits.measuringPoll)
        guard session != nil, let map else { return }
        measurements.round += 1
        let sessions = map.sessions.map(\.id)
        let hasLost = lossSeen > measurements.loss
        let hasEnded = measurements.sessions.contains { !sessions.contains($0) }
        measurements.loss = lossSeen
        measurements.sessions = sessions
        // A fileset that is not this node's any more begins anew when it is again.
        measurements.polls.removeAll { records[.metadata($0.fileset)]?.primary != node }
        // With many filesets a part of them has its turn, the others in the polls that follow.
        let led = map.filesets.filter { $0.state == .live && records[.metadata($0.id)]?.primary == node }
        let turns = UInt64(max(1, (led.count + GatewayLimits.measuredFilesets - 1) / GatewayLimits.measuredFilesets))
        for (place, fileset) in led.enumerated() {
            let index: Int
            if let known = measurements.polls.firstIndex(where: { $0.fileset == fileset.id }) {
                index = known
            } else {
                index = measurements.polls.count
                measurements.polls.append(Measurements.Poll(fileset: fileset.id))
            }
            if hasLost || hasEnded { walkAgain(index) }
            if UInt64(place) % turns == measurements.round % turns { askMeasurable(index) }
        }
    }

    private func walkAgain(_ index: Int) {
        if measurements.polls[index].walk == nil {
            measurements.polls[index].walk = InodeNumber(0)
        } else {
            measurements.polls[index].walksAgain = true
        }
    }

    private func askMeasurable(_ index: Int) {
        let poll = measurements.polls[index]
        if poll.asking != nil { return }
        if poll.walk == nil, time.now - poll.walkedAt >= GatewayLimits.measuringWalk { walkAgain(index) }
        measurements.polls[index].turns += 1
        ask(index, .pending, after: poll.after, limit: GatewayLimits.measuringRows)
    }

    private func ask(_ index: Int, _ scope: MeasuringScope, after: InodeNumber, limit: Int) {
        let fileset = measurements.polls[index].fileset
        measurements.polls[index].asking = scope
        question(
            .measurable(fileset, scope), fileset, .measurable(after: after, limit: limit, scope), as: .superuser,
            from: session ?? .none)
    }

    func measurableCame(
        _ fileset: FilesetID, _ scope: MeasuringScope, _ answer: Result<NamespaceAnswer, FileFailure>
    ) {
        guard let index = measurements.polls.firstIndex(where: { $0.fileset == fileset }) else { return }
        measurements.polls[index].asking = nil
        guard case .success(.measurable(let files, let next)) = answer else { return }
        let stopped = begin(
            files.prefix(GatewayLimits.measuringRows), of: fileset,
            withWritten: measurements.polls[index].turns % GatewayLimits.writtenRounds == 0)
        switch scope {
        case .pending:
            switch stopped {
            case .nowhere: measurements.polls[index].after = next ?? InodeNumber(0)
            case .before: break
            case .after(let last): measurements.polls[index].after = last
            }
            if let walk = measurements.polls[index].walk {
                ask(index, .all, after: walk, limit: GatewayLimits.walkedFiles)
            }
        case .all:
            switch stopped {
            case .before: break
            case .after(let last): measurements.polls[index].walk = last
            case .nowhere:
                if let next {
                    measurements.polls[index].walk = next
                    return
                }
                measurements.polls[index].walk = measurements.polls[index].walksAgain ? InodeNumber(0) : nil
                measurements.polls[index].walksAgain = false
                measurements.polls[index].walkedAt = time.now
            }
        }
    }

    private enum Stop {
        case nowhere
        /// The first file is left for the next poll, with all behind it.
        case before
        /// What is behind this file is.
        case after(InodeNumber)
    }

    /// Begins to measure as many of the files as may be under way.
    private func begin(
        _ files: ArraySlice<MeasurableFile>, of fileset: FilesetID, withWritten: Bool
    ) -> Stop {
        var budget = GatewayLimits.measuringRequests
        var last: InodeNumber?
        for file in files {
            let id = FileID(fileset: fileset, inode: file.inode)
            let groups = measuredGroups(of: id, file.hint)
            // A file that is being written is pending until its writers have settled.
            if withWritten || file.writers == 0, !measurements.running.contains(where: { $0.file == id }) {
                // At least one, however wide it is.
                let isTooMuch = groups.count > budget && budget < GatewayLimits.measuringRequests
                if isTooMuch || measurements.running.count >= GatewayLimits.measurements {
                    return last.map { .after($0) } ?? .before
                }
                budget -= groups.count
                measure(.record(file), id, file.hint.usageMark, groups)
            }
            last = file.inode
        }
        return .nowhere
    }
}

/// Why a registration is settled.
enum SettlementReason {
    /// Nobody writes any more.
    case quiet
    /// The attributes are asked for, or set.
    case asked
}

extension Measurement {
    var usage: MeasuredUsage { MeasuredUsage(bytes: bytes, mark: mark, standing: standing) }
}
