import ClusterModel
import Wire

/// A session that writes to an inode (namespace.md, Attributes before tokens).
struct WriterRegistration: Hashable {
    var session: SessionID
    /// The time of the SETATTR of size or times that came after the registration, if any: a settlement of writes up to then
    /// changes nothing, and the times no longer move on this writer's account until it registers again.
    var overruled: Timestamp?
}

/// All that is stored of an inode, but for its names.
struct InodeRow: Hashable {
    var kind: FileKind
    var mode: UInt16
    var linkCount: UInt32
    var uid: UInt32
    var gid: UInt32
    /// Of a regular file, in bytes.
    var size: UInt64 = 0
    var limit: UInt64 = 0
    var truncation = TruncationMark.none
    var layout: Layout
    var device = DeviceNumber(major: 0, minor: 0)
    var generation: UInt64
    var accessTime: Timestamp
    var modificationTime: Timestamp
    var changeTime: Timestamp
    var changeCounter: UInt64
    /// Of an exclusive CREATE; its own column, neither atime nor mtime.
    var verifier: UInt64?
    /// Of a symbolic link.
    var target: [UInt8] = []
    /// Of a directory: where ".." leads, how many names it has, the sum of their lengths, the next cookie.
    var parent = InodeNumber(0)
    var entries: UInt64 = 0
    var nameBytes: UInt64 = 0
    var nextCookie: UInt64 = 0
    /// In order of session.
    var writers: [WriterRegistration] = []
    /// The latest time that was answered while it moved; settled times are never earlier. Zero without writers.
    var answered = Timestamp.zero
    /// Of a regular file: bytes in blocks that hold data, as last measured.
    var used: UInt64 = 0
    var usageMark = UsageMark.zero
    /// Whether `used` may be wrong: then a row `.unmeasured` says so, too.
    var measurement = Measurement.done

    enum Measurement: UInt8, Hashable {
        case done = 0
        case pending = 1
    }

    /// A new one; all its times are `time`.
    init(kind: FileKind, mode: UInt16, uid: UInt32, gid: UInt32, layout: Layout, generation: UInt64, time: Timestamp) {
        self.kind = kind
        self.mode = mode
        linkCount = kind == .directory ? 2 : 1
        self.uid = uid
        self.gid = gid
        self.layout = layout
        self.generation = generation
        accessTime = time
        modificationTime = time
        changeTime = time
        changeCounter = InodeRow.counter(at: time)
        if kind == .directory { nextCookie = NamespaceLimits.firstCookie }
        if kind == .regular { limit = UInt64(layout.stripeUnit) }
    }

    /// The change counter follows the time of entries, so that it stays ahead of what was answered while it moved.
    static func counter(at time: Timestamp) -> UInt64 { UInt64(max(time.nanoseconds, 0)) }

    /// Marks a change of anything: ctime and the counter.
    mutating func change(at time: Timestamp) {
        changeTime = time
        changeCounter = max(changeCounter + 1, InodeRow.counter(at: time))
    }

    /// Marks a change of content (for a directory, of its names).
    mutating func modify(at time: Timestamp) {
        modificationTime = time
        change(at: time)
    }

    /// Whether the times move for `asker`: another session writes, and nobody has set the times since it began.
    func moves(for asker: SessionID) -> Bool {
        writers.contains { $0.session != asker && $0.overruled == nil }
    }

    /// As others see it. With `moving`, the times and the counter are those of that instant.
    func attributes(of file: FileID, moving now: Timestamp? = nil) -> FileAttributes {
        let block = UInt64(Geometry.blockSize)
        func blocks(_ bytes: UInt64) -> UInt64 { (bytes + block - 1) / block * block }
        let shown: UInt64
        let used: UInt64
        switch kind {
        case .regular:
            shown = size
            // Between a write and its measurement a file is never shown without any: archivers take one that has a size and
            // no blocks for one hole.
            let least = measurement == .pending ? min(blocks(size), block) : 0
            used = max(least, min(self.used, blocks(size)))
        case .directory:
            shown = blocks(nameBytes)
            used = shown
        case .symbolicLink:
            shown = UInt64(target.count)
            used = 0
        case .blockDevice, .characterDevice, .fifo, .socket:
            shown = 0
            used = 0
        }
        var attributes = FileAttributes(
            kind: kind, mode: mode, linkCount: linkCount, uid: uid, gid: gid, size: shown, used: used, device: device,
            file: file, generation: generation, accessTime: accessTime, modificationTime: modificationTime,
            changeTime: changeTime, changeCounter: changeCounter)
        if let now {
            attributes.modificationTime = max(now, answered)
            attributes.changeTime = max(now, changeTime)
            attributes.changeCounter = max(changeCounter, InodeRow.counter(at: now))
        }
        return attributes
    }

    func hint(_ quota: QuotaStanding) -> FileHint? {
        guard kind == .regular else { return nil }
        return FileHint(layout: layout, limit: limit, truncation: truncation, usageMark: usageMark, quota: quota)
    }
}

extension InodeRow {
    /// The form of the row; a new one gets a new number.
    private static let format: UInt8 = 2

    func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 192 + target.count)
        w.u8(InodeRow.format)
        w.u8(kind.rawValue)
        w.u16(mode)
        w.u32(linkCount)
        w.u32(uid)
        w.u32(gid)
        w.layout(layout)
        w.u64(generation)
        w.i64(accessTime.nanoseconds)
        w.i64(modificationTime.nanoseconds)
        w.i64(changeTime.nanoseconds)
        w.u64(changeCounter)
        switch kind {
        case .regular:
            w.u64(size)
            w.u64(limit)
            w.truncation(truncation)
            w.u64(used)
            w.u64(usageMark.rawValue)
            w.u8(measurement.rawValue)
            w.optional(verifier) { w, v in w.u64(v) }
            w.list(writers) { w, writer in
                w.u64(writer.session.rawValue)
                w.optional(writer.overruled) { w, t in w.i64(t.nanoseconds) }
            }
            if !writers.isEmpty { w.i64(answered.nanoseconds) }
        case .directory:
            w.u64(parent.rawValue)
            w.u64(entries)
            w.u64(nameBytes)
            w.u64(nextCookie)
        case .symbolicLink: w.blob(target)
        case .blockDevice, .characterDevice:
            w.u32(device.major)
            w.u32(device.minor)
        case .fifo, .socket: break
        }
        return w.bytes
    }

    init(_ bytes: [UInt8]) throws {
        self = try decodeRow(bytes) { r throws(WireError) in try InodeRow(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        guard format == InodeRow.format else { throw WireError("an inode's row of format \(format)") }
        let code = try r.u8()
        guard let kind = FileKind(rawValue: code) else { throw WireError("an inode of kind \(code)") }
        self.kind = kind
        mode = try r.u16()
        linkCount = try r.u32()
        uid = try r.u32()
        gid = try r.u32()
        layout = try r.layout()
        generation = try r.u64()
        accessTime = Timestamp(nanoseconds: try r.i64())
        modificationTime = Timestamp(nanoseconds: try r.i64())
        changeTime = Timestamp(nanoseconds: try r.i64())
        changeCounter = try r.u64()
        switch kind {
        case .regular:
            size = try r.u64()
            limit = try r.u64()
            truncation = try r.truncation()
            used = try r.u64()
            usageMark = UsageMark(try r.u64())
            guard let measurement = Measurement(rawValue: try r.u8()) else {
                throw WireError("an inode's row with an unknown state of measurement")
            }
            self.measurement = measurement
            verifier = try r.optional { r throws(WireError) in try r.u64() }
            writers = try r.list(atMost: NamespaceLimits.writersPerInode, elementBytes: 9) { r throws(WireError) in
                WriterRegistration(
                    session: SessionID(try r.u64()),
                    overruled: try r.optional { r throws(WireError) in Timestamp(nanoseconds: try r.i64()) })
            }
            if !writers.isEmpty { answered = Timestamp(nanoseconds: try r.i64()) }
        case .directory:
            parent = InodeNumber(try r.u64())
            entries = try r.u64()
            nameBytes = try r.u64()
            nextCookie = try r.u64()
        case .symbolicLink: target = try r.blob(atMost: NamespaceLimits.symbolicLinkTarget)
        case .blockDevice, .characterDevice: device = DeviceNumber(major: try r.u32(), minor: try r.u32())
        case .fifo, .socket: break
        }
    }
}
