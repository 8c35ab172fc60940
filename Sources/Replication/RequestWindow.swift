import ClusterModel
import Wire

/// What is remembered of the recent requests of all sessions in one group (replication.md, 18).
///
/// Invariants:
/// - a slot is filled when the entry is appended to the own log, and emptied when its content is lost; when the entry is cut, it
///   has again what the entry displaced. So all replicas with the same log remember the same, which a scrub compares;
/// - of numbers k and k + 256 only one is unfinished, so one slot is enough for both.
struct RequestWindows: Sendable {
    struct Slot: Hashable, Sendable {
        var number: RequestNumber = .none
        var entry: EntryName = .zero
        /// The stamp of the first answer, or a lower number where that is not known.
        var stamp: LossNumber = .zero
    }

    struct Window: Sendable {
        var session: SessionID
        var slots: [Slot]

        /// Over what it remembers, but for the stamps, which members need not know.
        var digest: UInt64? {
            var digest: UInt64?
            for slot in slots where slot.number != .none {
                digest = StableHash.combine(digest ?? 0, slot.number.rawValue)
                digest = StableHash.combine(digest ?? 0, slot.entry.epoch.rawValue)
                digest = StableHash.combine(digest ?? 0, slot.entry.n)
            }
            return digest
        }
    }

    /// What is remembered, for a scrub: sessions in order, without those of which nothing is.
    var findings: [WindowFinding] {
        windows.compactMap { window in window.digest.map { WindowFinding(session: window.session, digest: $0) } }
            .sorted { $0.session < $1.session }
    }

    enum Finding: Equatable {
        case new
        case known(Slot)
        case below
    }

    private(set) var windows: [Window] = []
    /// Keyed look-up only, never iterated.
    private var index: [SessionID: Int] = [:]
    private var recent = 0

    private func position(of session: SessionID) -> Int? {
        if recent < windows.count, windows[recent].session == session { return recent }
        return index[session]
    }

    /// The slot of a number, whatever a peer sends.
    private func place(of number: RequestNumber) -> Int {
        Int(number.rawValue & UInt64(ReplicationLimits.window - 1))
    }

    /// What is known of request `number`; numbers of one session differ from their slot's by multiples of 256.
    func find(_ session: SessionID, _ number: RequestNumber) -> Finding {
        guard let i = position(of: session) else { return .new }
        let slot = windows[i].slots[place(of: number)]
        if slot.number == number { return .known(slot) }
        return slot.number > number ? .below : .new
    }

    /// Gives what it displaced.
    @discardableResult
    mutating func record(_ session: SessionID, _ number: RequestNumber, entry: EntryName, stamp: LossNumber) -> Slot {
        guard session != .none, number != .none else { return Slot() }
        let i: Int
        if let known = position(of: session) {
            i = known
        } else {
            i = windows.count
            windows.append(
                Window(session: session, slots: Array(repeating: Slot(), count: ReplicationLimits.window)))
            index[session] = i
        }
        recent = i
        let at = place(of: number)
        // An older number than the slot's can only be a late entry that a table already covers.
        if windows[i].slots[at].number > number { return Slot() }
        let displaced = windows[i].slots[at]
        windows[i].slots[at] = Slot(number: number, entry: entry, stamp: stamp)
        return displaced.number == number ? Slot() : displaced
    }

    /// An entry is cut off: what it displaced is known again.
    mutating func takeBack(_ item: LogTail.Item) {
        let (session, number) = (item.entry.session, item.entry.request)
        guard session != .none, number != .none, let i = position(of: session) else { return }
        let at = place(of: number)
        if windows[i].slots[at].number == number { windows[i].slots[at] = item.displaced }
    }

    /// Sets the stamp of a decided entry's answer.
    mutating func stamp(_ session: SessionID, _ number: RequestNumber, entry: EntryName, _ stamp: LossNumber) {
        guard session != .none, number != .none, let i = position(of: session) else { return }
        recent = i
        let at = place(of: number)
        if windows[i].slots[at].number == number, windows[i].slots[at].entry == entry {
            windows[i].slots[at].stamp = stamp
        }
    }

    /// A lost request leaves the window, so that a retry is executed; unless that was done already, behind `name`.
    mutating func forget(_ session: SessionID, _ number: RequestNumber, before name: EntryName? = nil) {
        guard let i = position(of: session) else { return }
        let at = place(of: number)
        let slot = windows[i].slots[at]
        if slot.number == number, name.map({ slot.entry.n < $0.n }) ?? true { windows[i].slots[at] = Slot() }
    }

    /// Drops the windows of sessions that are not live any more: nothing of them is ever executed again.
    mutating func retain(_ isLive: (SessionID) -> Bool) {
        guard windows.contains(where: { !isLive($0.session) }) else { return }
        windows.removeAll { !isLive($0.session) }
        index.removeAll(keepingCapacity: true)
        for (i, w) in windows.enumerated() { index[w.session] = i }
        recent = 0
    }

    mutating func removeAll() {
        windows.removeAll()
        index.removeAll()
        recent = 0
    }

    var sessionCount: Int { windows.count }
    func hasWindow(_ session: SessionID) -> Bool { position(of: session) != nil }
}

/// The last truncation or the removal of each file that the group was told of.
///
/// `decided` is replicated state; `sequenced` holds what entries that are not decided yet change, at the primary only.
struct FileMarks: Sendable {
    struct Mark: Hashable, Sendable {
        var truncation: TruncationMark
        var removed: RangeDeletion.Kind
    }

    /// Keyed look-up only; `order` is what is iterated, oldest first.
    private var decided: [FileID: Mark] = [:]
    private var order: [FileID] = []
    private var sequenced: [FileID: (Mark, EntryName)] = [:]
    private(set) var sequencedCount = 0

    /// Oldest first, those of files that were never cut included: how many there are tells whether others were forgotten.
    var list: [(FileID, Mark)] { order.compactMap { f in decided[f].map { (f, $0) } } }
    var isEmpty: Bool { order.isEmpty && sequencedCount == 0 }

    /// Whether it may have forgotten marks, with this limit.
    func mayHaveForgotten(limit: Int) -> Bool { order.count >= limit * 3 / 4 }

    /// What the disk knows of a file that was forgotten, or never cut. It is only here: others that lead ask their disks.
    mutating func remember(_ file: FileID, _ mark: Mark?, limit: Int) {
        set(file, mark ?? Mark(truncation: .none, removed: .truncation), limit: limit)
    }

    /// Cuts of files that are not here: older than any that is. A file may be listed several times, as it was and as it is.
    mutating func add(older cuts: [ListedCut]) {
        var files: [FileID] = []
        for cut in cuts {
            let known = decided[cut.file]
            let mark = Mark(truncation: cut.truncation, removed: cut.kind)
            guard let merged = FileMarks.merged(known, mark) else { continue }
            decided[cut.file] = merged
            if known == nil { files.append(cut.file) }
        }
        order.insert(contentsOf: files, at: 0)
    }

    /// The newest mark, decided or not.
    func newest(_ file: FileID) -> Mark? {
        if sequencedCount > 0, let s = sequenced[file] { return s.0 }
        return order.isEmpty ? nil : decided[file]
    }

    /// Whether the newest cut of that file hides what this one hides, and whatever comes under it. A later one that leaves more does
    /// not: what it leaves is the group's.
    func covers(_ cut: ListedCut) -> Bool {
        guard let mark = newest(cut.file) else { return false }
        if mark.removed == .removal { return true }
        return cut.kind == .truncation
            && (mark.truncation == cut.truncation
                || mark.truncation.number > cut.truncation.number && mark.truncation.size <= cut.truncation.size)
    }

    /// What an entry changes, if it does.
    static func change(_ body: EntryBody) -> (FileID, Mark)? {
        switch body {
        case .write(let w):
            w.truncation.number == .zero
                ? nil : (w.object.file, Mark(truncation: w.truncation, removed: .truncation))
        case .zero(let z):
            z.truncation.number == .zero
                ? nil : (z.object.file, Mark(truncation: z.truncation, removed: .truncation))
        case .deleteRange(let d): (d.file, Mark(truncation: d.truncation, removed: d.kind))
        case .empty, .restate, .namespace, .scrubMark: nil
        }
    }

    private static func merged(_ old: Mark?, _ new: Mark) -> Mark? {
        guard let old else { return new }
        if old.removed == .removal { return nil }
        if new.removed == .removal { return new }
        return old.truncation.number < new.truncation.number ? new : nil
    }

    mutating func sequence(_ entry: Entry) {
        guard let (file, mark) = FileMarks.change(entry.body),
            let merged = FileMarks.merged(newest(file), mark)
        else { return }
        sequenced[file] = (merged, entry.name)
        sequencedCount = sequenced.count
    }

    mutating func decide(_ entry: Entry, limit: Int) {
        guard let (file, mark) = FileMarks.change(entry.body) else { return }
        if sequencedCount > 0, let s = sequenced[file], s.1 == entry.name {
            sequenced[file] = nil
            sequencedCount = sequenced.count
        }
        set(file, mark, limit: limit)
    }

    mutating func set(_ file: FileID, _ mark: Mark, limit: Int) {
        let old = decided[file]
        guard let merged = FileMarks.merged(old, mark) else { return }
        decided[file] = merged
        if old == nil { order.append(file) }
        if order.count > limit {
            for f in order.prefix(order.count - limit * 3 / 4) { decided[f] = nil }
            order.removeFirst(order.count - limit * 3 / 4)
        }
    }

    mutating func forgetSequenced() {
        sequenced.removeAll()
        sequencedCount = 0
    }

    mutating func removeAll() {
        decided.removeAll()
        order.removeAll()
        forgetSequenced()
    }
}
