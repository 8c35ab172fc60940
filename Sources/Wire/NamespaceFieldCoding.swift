import ClusterModel

/// Bounds of what namespace messages may hold; a decoder refuses what exceeds them.
public enum NamespaceWireLimits {
    /// Supplementary groups of a caller. AUTH_SYS has 16; other doors may know more.
    public static let groups = 1024
    /// Bytes of a symbolic link's target.
    public static let symbolicLinkTarget = 4096
    /// Entries of one listing, and rows of one page of pending deletions.
    public static let listedEntries = 512
}

extension WireReader {
    /// A raw value of one of our enums; `what` names the field in the error.
    mutating func raw<E: RawRepresentable>(_ type: E.Type, _ what: StaticString) throws(WireError) -> E
    where E.RawValue == UInt8 {
        let value = try u8()
        guard let result = E(rawValue: value) else { throw WireError("\(value) is no \(what)") }
        return result
    }
}

extension Credentials {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.u32(uid)
        w.u32(gid)
        w.list(groups) { w, g in w.u32(g) }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        let uid = try r.u32()
        let gid = try r.u32()
        let groups = try r.list(atMost: NamespaceWireLimits.groups, elementBytes: 4) { r throws(WireError) in
            try r.u32()
        }
        self.init(uid: uid, gid: gid, groups: groups)
    }
}

extension FileName {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) { w.blob(bytes) }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        guard let name = FileName(try r.blob(atMost: FileName.maximumLength)) else {
            throw WireError("a name that is empty, \".\", \"..\", or has a NUL or a slash in it")
        }
        self = name
    }
}

extension DeviceNumber {
    func encode(into w: inout WireWriter) {
        w.u32(major)
        w.u32(minor)
    }

    init(from r: inout WireReader) throws(WireError) { self.init(major: try r.u32(), minor: try r.u32()) }
}

extension Timestamp {
    func encode(into w: inout WireWriter) { w.i64(nanoseconds) }
    init(from r: inout WireReader) throws(WireError) { self.init(nanoseconds: try r.i64()) }
}

extension FileAttributes {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.u8(kind.rawValue)
        w.u16(mode)
        w.u32(linkCount)
        w.u32(uid)
        w.u32(gid)
        w.u64(size)
        w.u64(used)
        device.encode(into: &w)
        w.file(file)
        w.u64(generation)
        accessTime.encode(into: &w)
        modificationTime.encode(into: &w)
        changeTime.encode(into: &w)
        w.u64(changeCounter)
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        let kind = try r.raw(FileKind.self, "file kind")
        self.init(
            kind: kind, mode: try WireReader.mode(try r.u16()), linkCount: try r.u32(), uid: try r.u32(),
            gid: try r.u32(), size: try r.u64(), used: try r.u64(), device: try DeviceNumber(from: &r),
            file: try r.file(), generation: try r.u64(), accessTime: try Timestamp(from: &r),
            modificationTime: try Timestamp(from: &r), changeTime: try Timestamp(from: &r), changeCounter: try r.u64())
    }

    /// The fewest bytes that attributes take.
    static let encodedBytes = 1 + 2 + 12 + 16 + 8 + 12 + 8 + 24 + 8
}

extension WireReader {
    static func mode(_ value: UInt16) throws(WireError) -> UInt16 {
        guard value <= 0o7777 else { throw WireError("a mode of \(value), which has bits beyond 07777") }
        return value
    }
}

extension FileHint {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.layout(layout)
        w.u64(limit)
        w.truncation(truncation)
        w.u64(usageMark.rawValue)
        w.u8(quota.rawValue)
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        self.init(
            layout: try r.layout(), limit: try r.u64(), truncation: try r.truncation(),
            usageMark: UsageMark(try r.u64()), quota: try r.raw(QuotaStanding.self, "standing of a quota"))
    }
}

extension Inode {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        attributes.encode(into: &w)
        w.optional(hint) { w, h in h.encode(into: &w) }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        let attributes = try FileAttributes(from: &r)
        let hint = try r.optional { r throws(WireError) in try FileHint(from: &r) }
        self.init(attributes: attributes, hint: hint)
    }
}

extension RangeDeletion {
    /// The fewest bytes that one takes.
    static let leastEncodedBytes = 12 + 16 + 5 + 1 + 8 + 1
}
