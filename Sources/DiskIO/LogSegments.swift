/// The number of a log segment: higher is later; never used again on a disk.
public struct LogSegmentNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: LogSegmentNumber, b: LogSegmentNumber) -> Bool { a.rawValue < b.rawValue }
    public var description: String { "segment \(rawValue)" }
}

/// The log's files in a disk's folder: `log-` and 16 hexadecimal digits of the segment's number, 64 MiB each.
///
/// Invariant: a segment under its name has all its bytes written and is itself durable, so that a sync of it writes no
/// metadata (212 µs instead of 429) and cannot meet ENOSPC. What it holds beyond the log's records is zeros or an old
/// segment's records, which the seeds of the checksums tell apart.
public struct LogSegments: Sendable {
    public let folder: DiskFolder
    private static let prefix = "log-"
    private static let temporaryPrefix = "new-log-"

    /// The segments of a disk; removes what an interrupted `create` left.
    public init(in folder: DiskFolder) throws(DiskError) {
        self.folder = folder
        for name in try folder.names() where name.hasPrefix(LogSegments.temporaryPrefix) {
            try folder.remove(name)
        }
    }

    static func name(_ number: LogSegmentNumber) -> String {
        let digits = String(number.rawValue, radix: 16)
        return prefix + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The segments that exist, by number. A file that is called like one and is none is refused.
    public func list() throws(DiskError) -> [LogSegmentNumber] {
        var found: [LogSegmentNumber] = []
        for name in try folder.names() where name.hasPrefix(LogSegments.prefix) {
            let digits = name.dropFirst(LogSegments.prefix.count)
            guard let number = UInt64(digits, radix: 16), LogSegments.name(LogSegmentNumber(number)) == name else {
                throw DiskError(.list, path: folder.path + "/" + name, .malformed("not the name of a log segment"))
            }
            guard found.count < DiskLimits.logSegments else {
                throw DiskError(.list, path: folder.path, .limit("more than \(DiskLimits.logSegments) log segments"))
            }
            found.append(LogSegmentNumber(number))
        }
        return found.sorted()
    }

    /// Opens a segment; one that is not 64 MiB long is refused.
    public func open(_ number: LogSegmentNumber) throws(DiskError) -> DiskFile {
        let file = try folder.open(LogSegments.name(number))
        let size = try file.size()
        guard size == DiskLimits.logSegmentBytes else {
            throw DiskError(
                .open, path: file.path, .malformed("a log segment of \(size) bytes, not \(DiskLimits.logSegmentBytes)"))
        }
        return file
    }

    /// Creates a segment of zeros, durable when it returns: for an I/O thread, ahead of need (about 0.1 s).
    /// `isNoSpace` leaves nothing behind.
    public func create(_ number: LogSegmentNumber) throws(DiskError) -> DiskFile {
        let name = LogSegments.name(number)
        let temporary = "new-" + name
        let file = try folder.open(temporary, .new)
        do throws(DiskError) {
            try fill(file)
            try folder.rename(temporary, to: name)
        } catch {
            try? folder.remove(temporary)
            throw error
        }
        try folder.sync()
        return try open(number)
    }

    /// Makes a segment that is no longer needed the next one; durable when it returns. Its bytes stay.
    public func recycle(_ old: LogSegmentNumber, as new: LogSegmentNumber) throws(DiskError) -> DiskFile {
        precondition(old < new, "segment numbers only rise")
        try folder.rename(LogSegments.name(old), to: LogSegments.name(new))
        try folder.sync()
        return try open(new)
    }

    /// Removes a segment that is neither needed nor worth recycling.
    public func remove(_ number: LogSegmentNumber) throws(DiskError) {
        try folder.remove(LogSegments.name(number))
        try folder.sync()
    }

    private func fill(_ file: DiskFile) throws(DiskError) {
        // Space first: a full disk must say so before the first write, whose failure would fail the disk.
        try file.allocate(0, length: DiskLimits.logSegmentBytes)
        let step = 1 << 20
        let zeros = [UInt8](repeating: 0, count: step)
        var offset: Int64 = 0
        while offset < DiskLimits.logSegmentBytes {
            let at = offset
            try zeros.withDiskBytes { (raw) throws(DiskError) in try file.write(raw, at: at) }
            // Written out as it goes, so that a checkpoint beside it does not meet 64 MiB of dirty pages at once.
            try file.startWriteback(at, length: Int64(step))
            offset += Int64(step)
        }
        try file.sync()
    }
}
