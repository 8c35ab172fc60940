import ClusterModel
import Wire

/// Rows in memory: read when needed, kept by second chance within a bound, never dropped while they differ from the index
/// or someone needs them.
extension Store {
    // MARK: Keys

    /// The rows that a record needs in memory before it is placed, and the file whose cut it needs.
    func needs(_ record: LogRecord) -> (keys: [ContentKey], file: FileID?) {
        func rows(_ object: ObjectID, _ blocks: BlockRange) -> [ContentKey] {
            if blocks.count == 0 { return [] }
            return (blocks.first / Geometry.blocksPerRow...(blocks.end - 1) / Geometry.blocksPerRow).map {
                ContentKey(object: object, mebibyte: $0)
            }
        }
        switch record.body {
        case .entry(let entry, _, _, _):
            switch entry.body {
            case .write(let w): return (rows(w.object, w.blocks), nil)
            case .zero(let z): return (rows(z.object, z.blocks), nil)
            case .deleteRange(let d): return (d.edge.map { rows($0.object, $0.blocks) } ?? [], d.file)
            case .restate(let r): return ([ContentKey(object: r.object, mebibyte: 0)], nil)
            case .empty, .namespace, .scrubMark: return ([], nil)
            }
        case .install(let p):
            // The last piece also says that there is nothing behind it.
            let end = p.completes == nil ? p.blocks.end : Geometry.blocksPerObject
            return (rows(p.object, BlockRange(first: p.blocks.first, count: end - p.blocks.first)), nil)
        case .repair(let r): return (rows(r.object, r.blocks), nil)
        case .deleteObject(let object):
            return ((0..<Geometry.rowsPerObject).map { ContentKey(object: object, mebibyte: $0) }, nil)
        case .installCut(let cut): return ([], cut.file)
        case .state, .cut, .settle, .voids, .corrupt, .boot, .clean, .forget, .decided, .restart, .lostPieces:
            return ([], nil)
        }
    }

    func hotRow(_ key: ContentKey) -> HotRow? { objects[key.object]?.rows[key.mebibyte] }
    func hotFile(_ group: Group, _ file: FileID) -> FileState? { files[FileKey(pg: group.pg, file: file)] }
    private func fileKey(_ group: Group, _ file: FileID) -> ContentKey {
        ContentKey(object: IndexKey.fileObject(file, in: group.pg), mebibyte: 0)
    }

    /// Pins what the record needs, and asks for what is not in memory.
    func attach(_ record: LogRecord) {
        let (keys, file) = needs(record)
        var wanted: [ContentKey] = []
        for key in keys {
            if let row = hotRow(key) {
                pin(row, record)
            } else {
                wanted.append(key)
            }
        }
        if let file {
            if let state = hotFile(record.group, file) {
                pin(state, record)
            } else {
                wanted.append(fileKey(record.group, file))
            }
        }
        record.missing = wanted.count
        if !wanted.isEmpty { request(wanted, record.group, .record(record)) }
    }

    private func pin(_ row: HotRow, _ record: LogRecord) {
        row.pins += 1
        row.wasUsed = true
        record.rows.append(row)
    }
    private func pin(_ file: FileState, _ record: LogRecord) {
        file.pins += 1
        record.file = file
    }
    func detach(_ record: LogRecord) {
        for row in record.rows { row.pins -= 1 }
        record.rows = []
        if let file = record.file {
            file.pins -= 1
            record.file = nil
            dropIfIdle(file)
        }
    }

    // MARK: Reading

    /// Asks for rows that are not in memory; one that is on its way already is not asked for again.
    func request(_ keys: [ContentKey], _ group: Group, _ waiter: Waiter) {
        var wanted: [IndexKey] = []
        for key in keys {
            if let under = loading[key] {
                under.waiters.append(waiter)
                continue
            }
            let entry = Loading(group: group)
            group.loads += 1
            entry.waiters.append(waiter)
            loading[key] = entry
            if IndexKey.isFileObject(key.object) {
                wanted.append(.object(key.object))
                continue
            }
            // The object's version and the file's cut come with every row: either may be forgotten meanwhile.
            wanted.append(.object(IndexKey.fileObject(key.object.file, in: group.pg)))
            wanted.append(.object(key.object))
            wanted.append(.content(key))
        }
        if !wanted.isEmpty { emit(.load(wanted)) { .loadRows($0, wanted) } }
    }

    /// `records` in the order of the keys, nil where there is no row. Row effects complete in the order of the effects.
    public func rowsLoaded(_ id: EffectID, _ records: [IndexRecord?]) {
        guard case .load(let keys)? = take(id) else { return }
        do {
            try insert(keys, records)
        } catch {
            failed(StoreFailure("The index of disk \(disk) cannot be read: \(error). Its replicas are elsewhere."))
            return
        }
        pump()
    }

    private func insert(_ keys: [IndexKey], _ records: [IndexRecord?]) throws {
        precondition(keys.count == records.count, "one record for each key")
        var fileRow = FileRow()
        var object: IndexRecord?
        var woken: [(waiter: Waiter, key: ContentKey, group: Group)] = []
        for (key, record) in zip(keys, records) {
            switch key {
            case .object(let id) where IndexKey.isFileObject(id):
                fileRow = try record.map { try FileRow.decode($0.value) } ?? FileRow()
                let wanted = ContentKey(object: id, mebibyte: 0)
                if let under = loading.removeValue(forKey: wanted) {
                    under.group.loads -= 1
                    _ = file(under.group, id.file, fileRow)
                    woken += under.waiters.map { ($0, wanted, under.group) }
                }
            case .object: object = record
            case .content(let content):
                guard let under = loading.removeValue(forKey: content) else { continue }
                under.group.loads -= 1
                let row = try record.map { try RowContent.decode($0.value, crc: crc) } ?? RowContent()
                let state = file(under.group, content.object.file, fileRow)
                let hot = hotObject(content.object, state, version: object?.version ?? .zero)
                if hot.rows[content.mebibyte] == nil {
                    let new = HotRow(object: hot, mebibyte: content.mebibyte, content: row)
                    hot.rows[content.mebibyte] = new
                    hot.rowCount += 1
                    cachedRows.append(new)
                    freshen(new)
                }
                woken += under.waiters.map { ($0, content, under.group) }
            }
        }
        // All rows are pinned by who waits before anyone goes on.
        for item in woken {
            if case .record(let record) = item.waiter { loaded(item.key, record) }
            if case .caller = item.waiter { keepForCaller(item.key, item.group) }
            if case .purge = item.waiter, let row = hotRow(item.key) { keepForPage(row) }
        }
        for item in woken { wake(item.waiter, item.group) }
        if phase == .recovering { recoveryRowsArrived() }
    }

    /// What was read for a caller stays until some other rows were, so that the call finds it.
    private func keepForCaller(_ key: ContentKey, _ group: Group) {
        if IndexKey.isFileObject(key.object) {
            guard let file = hotFile(group, key.object.file) else { return }
            file.pins += 1
            keptFiles.append(file)
            if keptFiles.count > StoreLimits.keptForCallers {
                let old = keptFiles.removeFirst()
                old.pins -= 1
                dropIfIdle(old)
            }
        } else if let row = hotRow(key) {
            row.pins += 1
            keptRows.append(row)
            if keptRows.count > StoreLimits.keptForCallers { keptRows.removeFirst().pins -= 1 }
        }
    }

    private func loaded(_ key: ContentKey, _ record: LogRecord) {
        record.missing -= 1
        if IndexKey.isFileObject(key.object) {
            if let file = hotFile(record.group, key.object.file) { pin(file, record) }
        } else if let row = hotRow(key) {
            pin(row, record)
        }
    }

    private func wake(_ waiter: Waiter, _ group: Group) {
        switch waiter {
        case .record(let record): if record.missing == 0, phase != .recovering { pumpQueue(record.group) }
        case .caller(let token): notify(.readAgain(token))
        case .purge: purge.missing -= 1
        case .file(let id):
            if let state = hotFile(group, id) { startPurge(state) }
        }
    }

    private func file(_ group: Group, _ id: FileID, _ row: FileRow) -> FileState {
        let key = FileKey(pg: group.pg, file: id)
        if let state = files[key] { return state }
        let state = FileState(pg: group, file: id, row: row)
        files[key] = state
        group.filesInMemory += 1
        forgetIfGone(state)
        return state
    }

    private func hotObject(_ id: ObjectID, _ file: FileState, version: EntryName) -> HotObject {
        if let object = objects[id] { return object }
        let object = HotObject(id: id, file: file, version: version)
        objects[id] = object
        file.objects.append(object)
        return object
    }

    // MARK: Changing

    func markDirty(_ row: HotRow) {
        if !row.isDirty {
            row.isDirty = true
            dirtyRows.append(row)
        }
        markDirty(row.object)
    }
    func markDirty(_ object: HotObject) {
        if !object.isDirty {
            object.isDirty = true
            dirtyObjects.append(object)
        }
    }
    func markDirty(_ file: FileState) {
        if !file.isDirty {
            file.isDirty = true
            dirtyFiles.append(file)
        }
    }

    // MARK: Forgetting

    private var rowLimit: Int { configuration.rowCacheBytes / StoreLimits.rowBytes }

    /// Keeps the rows within their bound: a row is dropped when the hand passes it unused twice.
    func trimCache() {
        guard cachedRows.count > rowLimit else { return }
        var steps = 2 * cachedRows.count
        while cachedRows.count > rowLimit, steps > 0 {
            steps -= 1
            if clockHand >= cachedRows.count { clockHand = 0 }
            let row = cachedRows[clockHand]
            if !row.isEvictable {
                clockHand += 1
            } else if row.wasUsed {
                row.wasUsed = false
                clockHand += 1
            } else {
                cachedRows.swapAt(clockHand, cachedRows.count - 1)
                cachedRows.removeLast()
                forget(row)
            }
        }
    }

    /// Drops a group's rows from memory, those kept for callers included; whether nothing of it is left there.
    func evict(_ group: Group) -> Bool {
        var rows = Queue<HotRow>()
        while !keptRows.isEmpty {
            let row = keptRows.removeFirst()
            if row.object.file.pg === group { row.pins -= 1 } else { rows.append(row) }
        }
        keptRows = rows
        var files = Queue<FileState>()
        while !keptFiles.isEmpty {
            let file = keptFiles.removeFirst()
            if file.pg === group {
                file.pins -= 1
                dropIfIdle(file)
            } else {
                files.append(file)
            }
        }
        keptFiles = files
        var kept: [HotRow] = []
        for row in cachedRows {
            if row.object.file.pg === group, row.isEvictable { forget(row) } else { kept.append(row) }
        }
        cachedRows = kept
        clockHand = 0
        return group.filesInMemory == 0 && group.loads == 0
    }

    private func forget(_ row: HotRow) {
        let object = row.object
        object.rows[row.mebibyte] = nil
        object.rowCount -= 1
        dropIfIdle(object)
    }

    func dropIfIdle(_ object: HotObject) {
        guard object.rowCount == 0, !object.isDirty, !object.isFrozen else { return }
        let file = object.file
        objects[object.id] = nil
        if let i = file.objects.firstIndex(where: { $0 === object }) {
            file.objects.swapAt(i, file.objects.count - 1)
            file.objects.removeLast()
        }
        dropIfIdle(file)
    }
    func dropIfIdle(_ file: FileState) {
        guard file.isIdle, !checkpoint.holds(file) else { return }
        if files.removeValue(forKey: FileKey(pg: file.pg.pg, file: file.file)) != nil { file.pg.filesInMemory -= 1 }
    }
}
