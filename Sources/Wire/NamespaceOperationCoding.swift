import ClusterModel

/// The kinds of operations on wire and in the log; a number is never given another meaning.
private enum OperationCode: UInt8 {
    case create = 1
    case setAttributes = 2
    case link = 3
    case remove = 4
    case removeDirectory = 5
    case rename = 6
    case raiseLimit = 7
    case extend = 8
    case registerWriter = 9
    case settle = 10
    case settleSession = 11
    case touchAccessTime = 12
    case finishRangeDeletion = 13
    case reserveInodes = 14
    case abandonReservation = 15
    case recordUsage = 16
    case initialize = 17
    case setQuota = 18
    case recordFileUsage = 19
}

extension NamespaceEntry {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.u32(semantics)
        credentials.encode(into: &w)
        operation.encode(into: &w)
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        self.init(
            semantics: try r.u32(), credentials: try Credentials(from: &r), operation: try NamespaceOperation(from: &r))
    }
}

extension NamespaceOperation {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        func code(_ c: OperationCode) { w.u8(c.rawValue) }
        func inode(_ i: InodeNumber) { w.u64(i.rawValue) }
        switch self {
        case .create(let directory, let name, let file, let attributes):
            code(.create)
            inode(directory)
            name.encode(into: &w)
            file.encode(into: &w)
            attributes.encode(into: &w)
        case .setAttributes(let i, let changes, let guardTime):
            code(.setAttributes)
            inode(i)
            changes.encode(into: &w)
            w.optional(guardTime) { w, t in t.encode(into: &w) }
        case .link(let i, let directory, let name):
            code(.link)
            inode(i)
            inode(directory)
            name.encode(into: &w)
        case .remove(let directory, let name):
            code(.remove)
            inode(directory)
            name.encode(into: &w)
        case .removeDirectory(let directory, let name):
            code(.removeDirectory)
            inode(directory)
            name.encode(into: &w)
        case .rename(let from, let name, let to, let newName):
            code(.rename)
            inode(from)
            name.encode(into: &w)
            inode(to)
            newName.encode(into: &w)
        case .raiseLimit(let i, let limit):
            code(.raiseLimit)
            inode(i)
            w.u64(limit)
        case .extend(let i, let size, let truncation):
            code(.extend)
            inode(i)
            w.u64(size)
            w.u64(truncation.rawValue)
        case .registerWriter(let i, let session):
            code(.registerWriter)
            inode(i)
            w.u64(session.rawValue)
        case .settle(let i, let session, let modified, let usage):
            code(.settle)
            inode(i)
            w.u64(session.rawValue)
            modified.encode(into: &w)
            w.optional(usage) { w, u in u.encode(into: &w) }
        case .settleSession(let session):
            code(.settleSession)
            w.u64(session.rawValue)
        case .touchAccessTime(let i):
            code(.touchAccessTime)
            inode(i)
        case .finishRangeDeletion(let i, let truncation):
            code(.finishRangeDeletion)
            inode(i)
            w.u64(truncation.rawValue)
        case .reserveInodes(let through):
            code(.reserveInodes)
            inode(through)
        case .abandonReservation:
            code(.abandonReservation)
        case .recordFileUsage(let i, let usage):
            code(.recordFileUsage)
            inode(i)
            usage.encode(into: &w)
        case .recordUsage(let bytes):
            code(.recordUsage)
            w.u64(bytes)
        case .initialize(let setup):
            code(.initialize)
            w.u16(setup.mode)
            w.u32(setup.uid)
            w.u32(setup.gid)
            w.layout(setup.layout)
        case .setQuota(let quota):
            code(.setQuota)
            quota.encode(into: &w)
        }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        switch try r.raw(OperationCode.self, "namespace operation") {
        case .create:
            self = .create(
                directory: try InodeNumber(from: &r), name: try FileName(from: &r), file: try NewFile(from: &r),
                attributes: try AttributeChanges(from: &r))
        case .setAttributes:
            self = .setAttributes(
                inode: try InodeNumber(from: &r), changes: try AttributeChanges(from: &r),
                guardTime: try r.optional { r throws(WireError) in try Timestamp(from: &r) })
        case .link:
            self = .link(
                inode: try InodeNumber(from: &r), directory: try InodeNumber(from: &r), name: try FileName(from: &r))
        case .remove: self = .remove(directory: try InodeNumber(from: &r), name: try FileName(from: &r))
        case .removeDirectory:
            self = .removeDirectory(directory: try InodeNumber(from: &r), name: try FileName(from: &r))
        case .rename:
            self = .rename(
                from: try InodeNumber(from: &r), name: try FileName(from: &r), to: try InodeNumber(from: &r),
                newName: try FileName(from: &r))
        case .raiseLimit: self = .raiseLimit(inode: try InodeNumber(from: &r), limit: try r.u64())
        case .extend:
            self = .extend(
                inode: try InodeNumber(from: &r), size: try r.u64(), truncation: TruncationNumber(try r.u64()))
        case .registerWriter:
            self = .registerWriter(inode: try InodeNumber(from: &r), session: SessionID(try r.u64()))
        case .settle:
            self = .settle(
                inode: try InodeNumber(from: &r), session: SessionID(try r.u64()), modified: try Timestamp(from: &r),
                usage: try r.optional { r throws(WireError) in try MeasuredUsage(from: &r) })
        case .settleSession: self = .settleSession(session: SessionID(try r.u64()))
        case .touchAccessTime: self = .touchAccessTime(inode: try InodeNumber(from: &r))
        case .finishRangeDeletion:
            self = .finishRangeDeletion(
                inode: try InodeNumber(from: &r), truncation: TruncationNumber(try r.u64()))
        case .reserveInodes: self = .reserveInodes(through: try InodeNumber(from: &r))
        case .abandonReservation: self = .abandonReservation
        case .recordFileUsage:
            self = .recordFileUsage(inode: try InodeNumber(from: &r), try MeasuredUsage(from: &r))
        case .recordUsage: self = .recordUsage(bytes: try r.u64())
        case .initialize:
            self = .initialize(
                FilesetSetup(
                    mode: try WireReader.mode(try r.u16()), uid: try r.u32(), gid: try r.u32(),
                    layout: try r.layout()))
        case .setQuota:
            self = .setQuota(try FilesetQuota(from: &r))
        }
    }
}

extension FilesetQuota {
    func encode(into w: inout WireWriter) {
        w.optional(bytes) { w, v in w.u64(v) }
        w.optional(inodes) { w, v in w.u64(v) }
    }
    init(from r: inout WireReader) throws(WireError) {
        self.init(
            bytes: try r.optional { r throws(WireError) in try r.u64() },
            inodes: try r.optional { r throws(WireError) in try r.u64() })
    }
}

extension InodeNumber {
    init(from r: inout WireReader) throws(WireError) { self.init(try r.u64()) }
}

extension TimeChange {
    fileprivate func encode(into w: inout WireWriter) {
        switch self {
        case .now: w.u8(0)
        case .to(let time):
            w.u8(1)
            time.encode(into: &w)
        }
    }

    fileprivate init(from r: inout WireReader) throws(WireError) {
        switch try r.u8() {
        case 0: self = .now
        case 1: self = .to(try Timestamp(from: &r))
        case let other: throw WireError("\(other) is no change of a time")
        }
    }
}

extension AttributeChanges {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.optional(mode) { w, v in w.u16(v) }
        w.optional(uid) { w, v in w.u32(v) }
        w.optional(gid) { w, v in w.u32(v) }
        w.optional(size) { w, v in w.u64(v) }
        w.optional(accessTime) { w, v in v.encode(into: &w) }
        w.optional(modificationTime) { w, v in v.encode(into: &w) }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        self.init()
        mode = try r.optional { r throws(WireError) in try WireReader.mode(try r.u16()) }
        uid = try r.optional { r throws(WireError) in try r.u32() }
        gid = try r.optional { r throws(WireError) in try r.u32() }
        size = try r.optional { r throws(WireError) in try r.u64() }
        accessTime = try r.optional { r throws(WireError) in try TimeChange(from: &r) }
        modificationTime = try r.optional { r throws(WireError) in try TimeChange(from: &r) }
    }
}

/// How a new file's kind is told apart; regular files carry their way of creation in it.
private enum NewFileCode: UInt8 {
    case unchecked = 1
    case guarded = 2
    case exclusive = 3
    case directory = 4
    case symbolicLink = 5
    case device = 6
    case fifo = 7
    case socket = 8
}

extension NewFile {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        switch self {
        case .regular(.unchecked): w.u8(NewFileCode.unchecked.rawValue)
        case .regular(.guarded): w.u8(NewFileCode.guarded.rawValue)
        case .regular(.exclusive(let verifier)):
            w.u8(NewFileCode.exclusive.rawValue)
            w.u64(verifier)
        case .directory: w.u8(NewFileCode.directory.rawValue)
        case .symbolicLink(let target):
            w.u8(NewFileCode.symbolicLink.rawValue)
            w.blob(target)
        case .device(let kind, let number):
            w.u8(NewFileCode.device.rawValue)
            w.u8(kind.rawValue)
            number.encode(into: &w)
        case .fifo: w.u8(NewFileCode.fifo.rawValue)
        case .socket: w.u8(NewFileCode.socket.rawValue)
        }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        switch try r.raw(NewFileCode.self, "kind of a new file") {
        case .unchecked: self = .regular(.unchecked)
        case .guarded: self = .regular(.guarded)
        case .exclusive: self = .regular(.exclusive(verifier: try r.u64()))
        case .directory: self = .directory
        case .symbolicLink: self = .symbolicLink(target: try r.blob(atMost: NamespaceWireLimits.symbolicLinkTarget))
        case .device: self = .device(try r.raw(FileKind.self, "file kind"), try DeviceNumber(from: &r))
        case .fifo: self = .fifo
        case .socket: self = .socket
        }
    }
}
