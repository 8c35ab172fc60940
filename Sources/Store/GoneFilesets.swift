import ClusterModel
import Wire

/// Removes what a disk has of filesets that were deleted, in all its data groups at once, a page of objects at a time.
///
/// This is no replicated operation: that a fileset is gone is said by the cluster map, for good, and each disk acts on it by
/// itself, whenever it learns of it. So a disk that was away needs nobody to tell it what to remove.
///
/// Invariants:
/// - what is gone stays gone: entries, pieces and cuts of it that come later are applied as nothing;
/// - a row is emptied as soon as it is in memory, and the scan brings every row of the index there: after the last page, and
///   the checkpoint behind it, neither index nor slots have anything of the fileset;
/// - the scan begins behind a checkpoint, so that the index has a row of every object that is in memory; an object's row goes
///   when all of its content is in memory and empty, and in the index after it: what a crash leaves is found again by the
///   scan of the next opening.
struct GoneState {
    /// Filesets that the index had rows of when it was looked at.
    var queue: [FilesetID] = []
    var current: FilesetID?
    /// Where its next page begins.
    var next: ObjectID?
    /// The index is to be looked at, again, once so many checkpoints have been completed.
    var wantedAfter: Int?
}

extension Store {
    /// The map has changed, to a later one than before.
    public func filesetsChanged(_ filesets: LiveFilesets) {
        let earlier = self.filesets
        self.filesets = filesets
        guard filesets.hasLost(since: earlier) else { return }
        considerGone()
        pump()
    }

    /// Empties what is in memory, and has the index looked at.
    func considerGone() {
        guard phase == .running else { return }
        for row in cachedRows where isGone(row.object) { freshen(row) }
        for file in dirtyFiles + checkpoint.files.map(\.file) { forgetIfGone(file) }
        wantScan()
    }

    /// The index is looked at behind the next checkpoint that begins.
    func wantScan() {
        gone.wantedAfter = nextCheckpoint
        checkpoint.isRequested = true
    }

    func isGone(_ object: ObjectID) -> Bool { filesets.isGone(object.file.fileset) }

    /// Whether an entry changes something that is gone.
    func isGone(_ body: EntryBody) -> Bool {
        switch body {
        case .write(let write): isGone(write.object)
        case .zero(let zero): isGone(zero.object)
        case .deleteRange(let deletion): filesets.isGone(deletion.file.fileset)
        case .restate(let restatement): isGone(restatement.object)
        case .empty, .namespace, .scrubMark: false
        }
    }

    /// A file's last cut keeps late writes off; of what is gone none is applied, and the row can go.
    func forgetIfGone(_ file: FileState) {
        guard file.cut != nil, file.pg.isErased || filesets.isGone(file.file.fileset) else { return }
        file.cut = nil
        markDirty(file)
    }

    /// The next scan, if one is due.
    func pumpGone() {
        if gone.current == nil, !gone.queue.isEmpty {
            let fileset = gone.queue.removeFirst()
            gone.current = fileset
            gone.next = ObjectID(file: FileID(fileset: fileset, inode: InodeNumber(0)), index: 0)
        }
        if gone.current == nil { leavingScanEnded() }
        if let next = gone.next {
            purge.isScanning = true
            emit(.scanGone) { .scanRows($0, .fileset(from: next, limit: StoreLimits.objectsPerPurge)) }
        } else if let target = gone.wantedAfter {
            guard checkpoint.completed >= target else {
                if checkpoint.phase == .idle { requestCheckpoint() }
                return
            }
            gone.wantedAfter = nil
            purge.isScanning = true
            emit(.scanFilesets) { .scanRows($0, .filesets) }
        }
    }

    func filesetsScanned(_ found: [FilesetID]) {
        purge.isScanning = false
        let all = leavingScanBegan()
        for fileset in found where (all || filesets.isGone(fileset)) && !gone.queue.contains(fileset) {
            gone.queue.append(fileset)
        }
    }

    /// A page of objects and files of the fileset, of all groups if it is gone, of those that leave the disk otherwise. What is
    /// not in memory is asked for; `endPage` deletes the objects when all of the page is empty.
    func goneScanned(_ rows: [(ObjectID, IndexRecord)]) {
        purge.isScanning = false
        var wanted: [(group: Group, keys: [ContentKey])] = []
        func want(_ key: ContentKey, _ group: Group) {
            if let i = wanted.firstIndex(where: { $0.group === group }) {
                wanted[i].keys.append(key)
            } else {
                wanted.append((group, [key]))
            }
        }
        for (id, record) in rows {
            guard isGone(id) || groups[record.group]?.isErased == true else { continue }
            let group = group(record.group)
            if IndexKey.isFileObject(id) {
                if let file = hotFile(group, id.file) {
                    forgetIfGone(file)
                } else {
                    want(ContentKey(object: id, mebibyte: 0), group)
                }
                continue
            }
            for m in 0..<Geometry.rowsPerObject {
                let key = ContentKey(object: id, mebibyte: m)
                if let row = hotRow(key) {
                    freshen(row)
                    keepForPage(row)
                } else {
                    want(key, group)
                }
            }
        }
        if rows.count == StoreLimits.objectsPerPurge, let last = rows.last?.0 {
            gone.next = last.successor
        } else {
            gone.current = nil
            gone.next = nil
        }
        purge.missing = wanted.reduce(0) { $0 + $1.keys.count }
        for one in wanted { request(one.keys, one.group, .purge) }
    }

    /// Forgets a group that the cluster does not have any more: its row goes with the next checkpoint, and its records hold
    /// the log no longer. Records that the log still has make it known again at the next opening; then it is forgotten anew.
    public func forgetGroup(_ pg: PGID) {
        guard phase == .running, let group = groups[pg] else { return }
        groups[pg] = nil
        orderedGroups.removeAll { $0 === group }
        groupsWaitingForSlots.removeAll { $0 === group }
        forgottenGroups.append(pg)
    }
}

extension ObjectID {
    /// The first key after this one. Object numbers and inode numbers stay below 2^63.
    fileprivate var successor: ObjectID {
        index < UInt64(Int64.max)
            ? ObjectID(file: file, index: index + 1)
            : ObjectID(
                file: FileID(fileset: file.fileset, inode: InodeNumber(file.inode.rawValue + 1)), index: 0)
    }
}
