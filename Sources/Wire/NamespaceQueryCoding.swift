import ClusterModel

private enum QueryCode: UInt8 {
    case lookup = 1
    case parent = 2
    case attributes = 3
    case access = 4
    case readSymbolicLink = 5
    case list = 6
    case usage = 7
    case pendingDeletions = 8
    case measurable = 9
    case allocation = 10
}

extension NamespaceQuestion {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        credentials.encode(into: &w)
        w.u64(session.rawValue)
        query.encode(into: &w)
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        self.init(
            credentials: try Credentials(from: &r), session: SessionID(try r.u64()), query: try NamespaceQuery(from: &r)
        )
    }
}

extension NamespaceQuery {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        func code(_ c: QueryCode) { w.u8(c.rawValue) }
        switch self {
        case .lookup(let directory, let name):
            code(.lookup)
            w.u64(directory.rawValue)
            name.encode(into: &w)
        case .parent(let directory):
            code(.parent)
            w.u64(directory.rawValue)
        case .attributes(let inode):
            code(.attributes)
            w.u64(inode.rawValue)
        case .access(let inode, let rights):
            code(.access)
            w.u64(inode.rawValue)
            w.u32(rights.rawValue)
        case .readSymbolicLink(let inode):
            code(.readSymbolicLink)
            w.u64(inode.rawValue)
        case .list(let directory, let cookie, let limit, let detail):
            code(.list)
            w.u64(directory.rawValue)
            w.u64(cookie)
            w.u16(UInt16(clamping: limit))
            w.u8(detail.rawValue)
        case .usage: code(.usage)
        case .pendingDeletions(let after, let limit):
            code(.pendingDeletions)
            w.u64(after.rawValue)
            w.u16(UInt16(clamping: limit))
        case .measurable(let after, let limit, let scope):
            code(.measurable)
            w.u64(after.rawValue)
            w.u16(UInt16(clamping: limit))
            w.u8(scope.rawValue)
        case .allocation(let file):
            code(.allocation)
            w.file(file)
        }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        switch try r.raw(QueryCode.self, "namespace query") {
        case .lookup: self = .lookup(directory: try InodeNumber(from: &r), name: try FileName(from: &r))
        case .parent: self = .parent(directory: try InodeNumber(from: &r))
        case .attributes: self = .attributes(inode: try InodeNumber(from: &r))
        case .access: self = .access(inode: try InodeNumber(from: &r), rights: AccessRights(rawValue: try r.u32()))
        case .readSymbolicLink: self = .readSymbolicLink(inode: try InodeNumber(from: &r))
        case .list:
            self = .list(
                directory: try InodeNumber(from: &r), cookie: try r.u64(), limit: try r.listLimit(),
                detail: try r.raw(ListDetail.self, "detail of a listing"))
        case .usage: self = .usage
        case .pendingDeletions:
            self = .pendingDeletions(after: try InodeNumber(from: &r), limit: try r.listLimit())
        case .measurable:
            self = .measurable(
                after: try InodeNumber(from: &r), limit: try r.listLimit(),
                try r.raw(MeasuringScope.self, "scope of a measurement"))
        case .allocation: self = .allocation(try r.file())
        }
    }
}

extension WireReader {
    fileprivate mutating func listLimit() throws(WireError) -> Int {
        let limit = Int(try u16())
        guard (1...NamespaceWireLimits.listedEntries).contains(limit) else {
            throw WireError("\(limit) entries asked for where 1 to \(NamespaceWireLimits.listedEntries) are allowed")
        }
        return limit
    }
}

private enum AnswerCode: UInt8 {
    case failed = 1
    case found = 2
    case inode = 3
    case access = 4
    case symbolicLink = 5
    case entries = 6
    case usage = 7
    case deletions = 8
    case measurable = 9
    case allocation = 10
}

extension NamespaceAnswer {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        func code(_ c: AnswerCode) { w.u8(c.rawValue) }
        switch self {
        case .failed(let failure):
            code(.failed)
            w.u8(failure.rawValue)
        case .found(let inode, let directory):
            code(.found)
            inode.encode(into: &w)
            directory.encode(into: &w)
        case .inode(let inode):
            code(.inode)
            inode.encode(into: &w)
        case .access(let rights, let attributes):
            code(.access)
            w.u32(rights.rawValue)
            attributes.encode(into: &w)
        case .symbolicLink(let target, let attributes):
            code(.symbolicLink)
            w.blob(target)
            attributes.encode(into: &w)
        case .entries(let entries, let directory, let end):
            code(.entries)
            w.list(entries) { w, e in e.encode(into: &w) }
            directory.encode(into: &w)
            w.u8(end.rawValue)
        case .usage(let usage, let quota):
            code(.usage)
            w.u64(usage.inodes)
            w.u64(usage.bytes)
            quota.encode(into: &w)
        case .deletions(let deletions):
            code(.deletions)
            w.list(deletions) { w, d in w.rangeDeletion(d) }
        case .measurable(let files, let next):
            code(.measurable)
            w.list(files) { w, f in f.encode(into: &w) }
            w.optional(next) { w, i in w.u64(i.rawValue) }
        case .allocation(let allocation):
            code(.allocation)
            allocation.encode(into: &w)
        }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        switch try r.raw(AnswerCode.self, "namespace answer") {
        case .failed: self = .failed(try r.raw(NamespaceFailure.self, "failure of the namespace"))
        case .found: self = .found(try Inode(from: &r), directory: try FileAttributes(from: &r))
        case .inode: self = .inode(try Inode(from: &r))
        case .access: self = .access(AccessRights(rawValue: try r.u32()), try FileAttributes(from: &r))
        case .symbolicLink:
            self = .symbolicLink(
                target: try r.blob(atMost: NamespaceWireLimits.symbolicLinkTarget), try FileAttributes(from: &r))
        case .entries:
            let entries = try r.list(
                atMost: NamespaceWireLimits.listedEntries, elementBytes: DirectoryEntry.leastEncodedBytes
            ) { r throws(WireError) in try DirectoryEntry(from: &r) }
            self = .entries(
                entries, directory: try FileAttributes(from: &r), end: try r.raw(ListEnd.self, "end of a listing"))
        case .usage:
            self = .usage(FilesetUsage(inodes: try r.u64(), bytes: try r.u64()), try FilesetQuota(from: &r))
        case .deletions:
            self = .deletions(
                try r.list(atMost: NamespaceWireLimits.listedEntries, elementBytes: RangeDeletion.leastEncodedBytes) {
                    r throws(WireError) in try r.rangeDeletion()
                })
        case .measurable:
            self = .measurable(
                try r.list(atMost: NamespaceWireLimits.listedEntries, elementBytes: MeasurableFile.leastEncodedBytes) {
                    r throws(WireError) in try MeasurableFile(from: &r)
                }, next: try r.optional { r throws(WireError) in try InodeNumber(from: &r) })
        case .allocation: self = .allocation(try FileAllocation(from: &r))
        }
    }
}

extension DirectoryEntry {
    func encode(into w: inout WireWriter) {
        name.encode(into: &w)
        w.u64(inode.rawValue)
        w.u64(cookie)
        w.optional(details) { w, i in i.encode(into: &w) }
    }

    init(from r: inout WireReader) throws(WireError) {
        self.init(
            name: try FileName(from: &r), inode: try InodeNumber(from: &r), cookie: try r.u64(),
            details: try r.optional { r throws(WireError) in try Inode(from: &r) })
    }

    static let leastEncodedBytes = 5 + 8 + 8 + 1
}
