import ClusterModel
import Wire

/// Carries a file's cut to all its rows, in memory and in the index, one file at a time, so that their slots become free. A
/// row that is read meanwhile is clipped as it comes in. After a crash it begins anew.
struct PurgeState {
    var queue: [FileState] = []
    var current: FileState?
    var cursor: UInt64 = 0
    var isScanning = false
    /// Rows asked for that have not come, and those that have.
    var missing = 0
    var rows: [HotRow] = []
    /// Of a removed file: rows of objects that the index may not have yet, so that no page has them.
    var unlisted: [HotRow] = []
    /// The current file was cut again.
    var restarts = false
    var isLastPage = false
    /// Files carried to all rows since the last checkpoint began.
    var sinceCheckpoint = 0
}

extension Store {
    func startPurge(_ file: FileState) {
        let group = file.pg
        if !group.row.unpurged.contains(file.file) { group.row.unpurged.append(file.file) }
        group.isDirty = true
        if file.isPurging {
            if purge.current === file { purge.restarts = true }
            return
        }
        file.isPurging = true
        purge.queue.append(file)
    }

    func pumpPurge() {
        guard phase == .running, !purge.isScanning, purge.missing == 0 else { return }
        endPage()
        if let file = purge.current, purge.isLastPage {
            if purge.restarts { begin(file) } else { finish(file) }
        }
        if purge.current == nil, !purge.queue.isEmpty {
            if purge.sinceCheckpoint >= StoreLimits.cutsPerCheckpoint {
                checkpoint.isRequested = true
                return
            }
            begin(purge.queue.removeFirst())
        }
        guard dirtyRows.count * StoreLimits.rowBytes < configuration.dirtyRowBytes else { return }
        guard let file = purge.current else { return pumpGone() }
        purge.isScanning = true
        emit(.scanPurge) {
            .scanRows($0, .objects(file.file, from: purge.cursor, limit: StoreLimits.objectsPerPurge))
        }
    }

    /// Rows that are in memory are clipped now: no page has those of objects that the index does not know yet, and a replay leaves
    /// rows as they are when the index has the cut already. All others are in the index, and so are their objects.
    private func begin(_ file: FileState) {
        purge.current = file
        purge.cursor = 0
        purge.restarts = false
        purge.isLastPage = false
        releaseUnlisted()
        if mutated(.replayFillsRemoved) { return }
        for object in file.objects {
            for case let row? in object.rows {
                freshen(row)
                guard file.cut?.kind == .removal, object.isDirty || object.isFrozen else { continue }
                row.pins += 1
                purge.unlisted.append(row)
            }
        }
    }

    private func releaseUnlisted() {
        for row in purge.unlisted { row.pins -= 1 }
        purge.unlisted = []
    }

    /// A row of the page: it is not evicted before `endPage` has looked at its object.
    func keepForPage(_ row: HotRow) {
        row.pins += 1
        purge.rows.append(row)
    }

    /// All rows of the page have been clipped. A removed object whose rows are all known to be empty goes.
    private func endPage() {
        for row in purge.rows {
            row.pins -= 1
            // What a truncation left of it may lie in rows that this page has not asked for, if it is removed since.
            if row.object.rowCount == Geometry.rowsPerObject || mutated(.deletesWithUnknownRows) {
                deleteIfRemoved(row.object)
            }
        }
        purge.rows = []
    }

    private func deleteIfRemoved(_ object: HotObject) {
        guard object.file.cut?.kind == .removal || isGone(object), !object.isDeleted else { return }
        object.isDeleted = true
        markDirty(object)
    }

    private func finish(_ file: FileState) {
        // A whole scan has gone by since it was removed. If all of it is gone instead, that is for its own scan.
        if file.cut?.kind == .removal || mutated(.deletesWithUnknownRows) {
            for object in file.objects { deleteIfRemoved(object) }
        }
        releaseUnlisted()
        purge.current = nil
        file.isPurging = false
        file.carriedBy = nextCheckpoint
        purge.sinceCheckpoint += 1
        let group = file.pg
        group.row.unpurged.removeAll { $0 == file.file }
        group.isDirty = true
        dropIfIdle(file)
        applyDecided(group)
        pumpQueue(group)
    }

    func purgeScanned(_ rows: [(ObjectID, IndexRecord)]) {
        purge.isScanning = false
        guard let file = purge.current else { return }
        guard let cut = file.cut else {
            // Its fileset is gone meanwhile.
            purge.isLastPage = true
            purge.restarts = false
            return
        }
        var keys: [ContentKey] = []
        for (id, record) in rows where record.group == file.pg.pg && !IndexKey.isFileObject(id) {
            let first = min(cut.firstCutBlock(index: id.index), Geometry.blocksPerObject)
            for m in first / Geometry.blocksPerRow..<max(first / Geometry.blocksPerRow, Geometry.rowsPerObject) {
                let key = ContentKey(object: id, mebibyte: m)
                guard let row = hotRow(key) else {
                    keys.append(key)
                    continue
                }
                freshen(row)
                keepForPage(row)
            }
        }
        if rows.count < StoreLimits.objectsPerPurge || rows.last.map({ IndexKey.isFileObject($0.0) }) ?? true {
            purge.isLastPage = true
        } else if let last = rows.last {
            purge.cursor = last.0.index + 1
        }
        purge.missing = keys.count
        if !keys.isEmpty { request(keys, file.pg, .purge) }
    }

    /// The answer of a scan.
    public func rowsScanned(_ id: EffectID, _ result: IndexScanResult) {
        guard let continuation = take(id) else { return }
        do {
            switch (continuation, result) {
            case (.scanOpening, .opening(let meta, let map, let groups, let tables)):
                for (pg, bytes) in tables { group(pg).tables = bytes }
                try recoveryOpened(meta: meta, map: map, groups: groups)
            case (.scanPurge, .objects(let rows)): purgeScanned(rows)
            case (.scanFilesets, .filesets(let found)): filesetsScanned(found)
            case (.scanGone, .objects(let rows)): goneScanned(rows)
            case (.scanChanges(let token, let pg, let cursor, let limit), .objects(let rows)):
                try changesScanned(token, pg, cursor, limit, rows)
            default: preconditionFailure("a scan is answered by what it asked for")
            }
        } catch {
            failed(StoreFailure("The index of disk \(disk) cannot be read: \(error). Its replicas are elsewhere."))
            return
        }
        pump()
    }
}
