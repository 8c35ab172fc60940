import ClusterModel
import Wire

/// One fileset's metadata group in memory: what the gateway relies on, executed as plainly as possible.
struct FakeNamespace {
    struct File {
        var attributes: FileAttributes
        var limit: UInt64
        var truncation: TruncationMark
        /// Writers whose times are open, with whether a SETATTR came since.
        var writers: [SessionID: Bool] = [:]
        var answered = Timestamp.zero
        var used: UInt64 = 0
        var mark: UInt64 = 0
        var isPending = false

        mutating func modify(at now: Timestamp) {
            attributes.modificationTime = now
            attributes.changeTime = now
            attributes.changeCounter += 1
        }
    }

    let fileset: FilesetID
    let layout: Layout
    var files: [InodeNumber: File] = [:]
    var names: [FileName: InodeNumber] = [:]
    var deletions: [RangeDeletion] = []
    var nextInode: UInt64 = 2
    var cookies: [FileName: UInt64] = [:]
    var lastMark: UInt64 = 0
    var quota = QuotaStanding.within
    /// Whether a cut waits for the cuts before it; off where a test shows what becomes of it else.
    var cutsWait = true
    /// Settlements that came with a measurement, and without.
    var measured = 0
    var unmeasured = 0

    init(fileset: FilesetID, layout: Layout) {
        self.fileset = fileset
        self.layout = layout
        files[.root] = File(
            attributes: FakeNamespace.attributes(.directory, FileID(fileset: fileset, inode: .root), .zero), limit: 0,
            truncation: .none)
    }

    static func attributes(_ kind: FileKind, _ file: FileID, _ now: Timestamp) -> FileAttributes {
        FileAttributes(
            kind: kind, mode: kind == .directory ? 0o755 : 0o644, linkCount: 1, uid: 1000, gid: 1000, size: 0, used: 0,
            device: DeviceNumber(major: 0, minor: 0), file: file, generation: 1, accessTime: now,
            modificationTime: now, changeTime: now, changeCounter: 0)
    }

    func inode(_ number: InodeNumber) -> Inode? {
        guard let file = files[number] else { return nil }
        let hint = FileHint(
            layout: layout, limit: file.limit, truncation: file.truncation, usageMark: UsageMark(file.mark),
            quota: quota)
        var attributes = file.attributes
        attributes.used = file.used
        return Inode(attributes: attributes, hint: attributes.kind == .regular ? hint : nil)
    }

    /// As a query by `asker` sees it: times move while others write.
    mutating func seen(_ number: InodeNumber, by asker: SessionID, _ now: Timestamp) -> Inode? {
        guard var inode = inode(number), let file = files[number] else { return nil }
        if file.writers.contains(where: { $0.key != asker && !$0.value }) {
            inode.attributes.modificationTime = now
            inode.attributes.changeTime = now
            files[number]?.answered = now
        }
        return inode
    }

    mutating func apply(_ operation: NamespaceOperation, _ now: Timestamp) -> NamespaceResult {
        switch operation {
        case .create(directory: _, let name, file: _, attributes: _):
            if names[name] != nil { return NamespaceResult(failure: .exists) }
            let number = InodeNumber(nextInode)
            nextInode += 1
            files[number] = File(
                attributes: FakeNamespace.attributes(.regular, FileID(fileset: fileset, inode: number), now),
                limit: UInt64(layout.stripeUnit), truncation: .none)
            names[name] = number
            return NamespaceResult(inode: inode(number))
        case .setAttributes(let number, let changes, guardTime: _):
            guard files[number] != nil else { return NamespaceResult(failure: .stale) }
            return setAttributes(number, changes, now)
        case .remove(directory: _, let name):
            guard let number = names.removeValue(forKey: name) else { return NamespaceResult(failure: .notFound) }
            return NamespaceResult(deletion: drop(number))
        case .rename(from: _, let name, to: _, let newName):
            guard let number = names.removeValue(forKey: name) else { return NamespaceResult(failure: .notFound) }
            let replaced = names[newName]
            names[newName] = number
            return NamespaceResult(deletion: replaced.flatMap { drop($0) })
        case .raiseLimit(let number, let limit):
            guard let known = files[number]?.limit else { return NamespaceResult(failure: .stale) }
            files[number]?.limit = max(known, limit)
            return NamespaceResult(inode: inode(number))
        case .extend(let number, let size, let truncation):
            guard let file = files[number] else { return NamespaceResult(failure: .stale) }
            if file.truncation.number == truncation, size > file.attributes.size {
                precondition(size <= file.limit, "a size beyond the limit: data was sent beyond it")
                files[number]?.attributes.size = size
                files[number]?.modify(at: now)
            }
            return NamespaceResult(inode: inode(number))
        case .registerWriter(let number, let session):
            guard files[number] != nil else { return NamespaceResult(failure: .stale) }
            files[number]?.writers[session] = false
            unmeasure(number)
            return NamespaceResult(inode: inode(number))
        case .settle(let number, let session, let modified, let usage):
            guard let file = files[number] else { return NamespaceResult(failure: .stale) }
            if let isOverruled = files[number]?.writers.removeValue(forKey: session), !isOverruled {
                let time = max(modified, file.answered)
                files[number]?.attributes.modificationTime = time
                files[number]?.attributes.changeTime = max(file.attributes.changeTime, time)
                files[number]?.attributes.changeCounter += 1
            }
            if usage == nil { unmeasured += 1 } else { measured += 1 }
            if let usage { record(number, usage) }
            if files[number]?.isPending == true { unmeasure(number) }
            return NamespaceResult(inode: inode(number))
        case .recordFileUsage(let number, let usage):
            record(number, usage)
            return NamespaceResult()
        case .touchAccessTime(let number):
            files[number]?.attributes.accessTime = now
            return NamespaceResult(inode: inode(number))
        case .finishRangeDeletion(let number, let truncation):
            deletions.removeAll { $0.file.inode == number && $0.truncation.number == truncation }
            unmeasure(number)
            return NamespaceResult()
        default: return NamespaceResult(failure: .invalid)
        }
    }

    mutating func unmeasure(_ number: InodeNumber) {
        guard files[number]?.attributes.kind == .regular else { return }
        lastMark += 1
        files[number]?.mark = lastMark
        files[number]?.isPending = true
    }

    private mutating func record(_ number: InodeNumber, _ usage: MeasuredUsage) {
        guard let file = files[number], file.mark == usage.mark.rawValue else { return }
        files[number]?.used = usage.bytes
        if usage.standing == .settled, file.writers.isEmpty { files[number]?.isPending = false }
    }

    private mutating func setAttributes(
        _ number: InodeNumber, _ changes: AttributeChanges, _ now: Timestamp
    ) -> NamespaceResult {
        guard var file = files[number] else { return NamespaceResult(failure: .stale) }
        var deletion: RangeDeletion?
        if let size = changes.size {
            if size < file.attributes.size {
                if let earlier = deletions.first(where: { $0.file.inode == number }), cutsWait {
                    return NamespaceResult(failure: .cutUnfinished, deletion: earlier)
                }
                file.truncation = TruncationMark(number: file.truncation.number.next, size: size)
                let cut = RangeDeletion(
                    file: file.attributes.file, truncation: file.truncation, layout: layout, kind: .truncation,
                    limit: file.limit, edge: nil)
                file.limit = min(file.limit, max(size, UInt64(layout.stripeUnit)))
                deletions.append(cut)
                deletion = cut
            }
            file.attributes.size = size
            file.attributes.modificationTime = now
        }
        if deletion != nil {
            lastMark += 1
            file.mark = lastMark
            file.isPending = true
        }
        if let mode = changes.mode { file.attributes.mode = mode }
        if case .to(let time) = changes.modificationTime { file.attributes.modificationTime = time }
        if changes.size != nil || changes.modificationTime != nil {
            for s in file.writers.keys { file.writers[s] = true }
        }
        file.attributes.changeTime = now
        file.attributes.changeCounter += 1
        files[number] = file
        return NamespaceResult(inode: inode(number), deletion: deletion)
    }

    private mutating func drop(_ number: InodeNumber) -> RangeDeletion? {
        guard let file = files.removeValue(forKey: number) else { return nil }
        // It covers what earlier cuts were still to do, beyond the limit that they lowered.
        let limit = deletions.filter { $0.file.inode == number }.reduce(file.limit) { max($0, $1.limit) }
        let removal = RangeDeletion(
            file: file.attributes.file, truncation: TruncationMark(number: file.truncation.number.next, size: 0),
            layout: layout, kind: .removal, limit: limit, edge: nil)
        deletions.removeAll { $0.file.inode == number }
        deletions.append(removal)
        return removal
    }

    mutating func answer(_ question: NamespaceQuestion, _ now: Timestamp) -> NamespaceAnswer {
        switch question.query {
        case .lookup(directory: _, let name):
            guard let number = names[name], let found = seen(number, by: question.session, now),
                let root = files[.root]
            else { return .failed(.notFound) }
            return .found(found, directory: root.attributes)
        case .attributes(let number):
            guard let found = seen(number, by: question.session, now) else { return .failed(.stale) }
            return .inode(found)
        case .access(let number, let rights):
            guard let found = seen(number, by: question.session, now) else { return .failed(.stale) }
            return .access(rights, found.attributes)
        case .list:
            guard let root = files[.root] else { return .failed(.stale) }
            let entries = names.sorted { $0.value < $1.value }.map { name, number in
                DirectoryEntry(name: name, inode: number, cookie: number.rawValue + 3, details: inode(number))
            }
            return .entries(entries, directory: root.attributes, end: .reached)
        case .pendingDeletions(let after, let limit):
            return .deletions(
                Array(deletions.filter { $0.file.inode > after }.sorted { $0.file < $1.file }.prefix(limit)))
        case .measurable(let after, let limit, let scope):
            let all = files.keys.sorted().filter {
                $0 > after && files[$0]?.attributes.kind == .regular && (scope == .all || files[$0]?.isPending == true)
            }
            let page = all.prefix(limit).compactMap { number -> MeasurableFile? in
                guard let file = files[number], let hint = inode(number)?.hint else { return nil }
                return MeasurableFile(
                    inode: number, hint: hint, used: file.used, writers: UInt32(file.writers.count),
                    scope: file.isPending ? .pending : .all)
            }
            return .measurable(page, next: all.count > limit ? page.last?.inode : nil)
        default: return .failed(.invalid)
        }
    }
}
