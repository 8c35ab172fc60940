extension NFS3 {
    /// The result of a procedure: every one is a union over the status, with one form for NFS3_OK and one for all else
    /// (RFC 1813, section 3.3).
    public enum Result<Success: XDRCodable & Hashable & Sendable, Failure: XDRCodable & Hashable & Sendable>: Hashable,
        Sendable, XDRCodable
    {
        /// NFS3_OK.
        case ok(Success)
        /// Any other status.
        case failed(Status, Failure)

        /// Reads the union.
        public init(from reader: inout XDRReader) throws(XDRError) {
            let code = try reader.uint32()
            guard let status = Status(rawValue: code) else { throw XDRError("a status \(code) that is not defined") }
            self = status == .ok ? .ok(try Success(from: &reader)) : .failed(status, try Failure(from: &reader))
        }

        /// Appends the union.
        public func encode(into writer: inout XDRWriter) {
            switch self {
            case .ok(let success):
                writer.uint32(Status.ok.rawValue)
                success.encode(into: &writer)
            case .failed(let status, let failure):
                precondition(status != .ok, "a failure has a status other than NFS3_OK")
                writer.uint32(status.rawValue)
                failure.encode(into: &writer)
            }
        }
    }

    /// No fields.
    public struct Nothing: Hashable, Sendable, XDRCodable {
        /// Nothing.
        public init() {}
        /// Reads nothing.
        public init(from reader: inout XDRReader) throws(XDRError) {}
        /// Appends nothing.
        public func encode(into writer: inout XDRWriter) {}
    }

    /// GETATTR3res.
    public typealias GetattrResult = Result<Attributes, Nothing>
    /// SETATTR3res, REMOVE3res and RMDIR3res: of the object or its directory.
    public typealias CacheResult = Result<CacheData, CacheData>
    /// LOOKUP3res; a failure tells the directory's attributes.
    public typealias LookupResult = Result<Found, PostAttributes>
    /// ACCESS3res.
    public typealias AccessResult = Result<Granted, PostAttributes>
    /// READLINK3res.
    public typealias ReadlinkResult = Result<LinkTarget, PostAttributes>
    /// READ3res; the data of a success follows the head.
    public typealias ReadResult = Result<ReadHead, PostAttributes>
    /// WRITE3res.
    public typealias WriteResult = Result<Written, CacheData>
    /// CREATE3res, MKDIR3res, SYMLINK3res and MKNOD3res; a failure tells the directory's attributes.
    public typealias CreateResult = Result<Created, CacheData>
    /// RENAME3res.
    public typealias RenameResult = Result<Renamed, Renamed>
    /// LINK3res.
    public typealias LinkResult = Result<Linked, Linked>
    /// READDIR3res.
    public typealias ReaddirResult = Result<DirectoryPage<DirectoryEntry>, PostAttributes>
    /// READDIRPLUS3res.
    public typealias ReaddirplusResult = Result<DirectoryPage<DirectoryEntryPlus>, PostAttributes>
    /// FSSTAT3res.
    public typealias FsstatResult = Result<FileSystemUsage, PostAttributes>
    /// FSINFO3res.
    public typealias FsinfoResult = Result<FileSystemInfo, PostAttributes>
    /// PATHCONF3res.
    public typealias PathconfResult = Result<PathConfiguration, PostAttributes>
    /// COMMIT3res.
    public typealias CommitResult = Result<Committed, CacheData>

    /// LOOKUP3resok.
    public struct Found: Hashable, Sendable, XDRCodable {
        /// The file.
        public var file: FileHandle
        /// Its attributes.
        public var attributes: Attributes?
        /// Its directory's.
        public var directory: Attributes?
        /// Fields as above.
        public init(file: FileHandle, attributes: Attributes?, directory: Attributes?) {
            self.file = file
            self.attributes = attributes
            self.directory = directory
        }
        /// Reads a `LOOKUP3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try FileHandle(from: &reader)
            attributes = try reader.optional(Attributes.self)
            directory = try reader.optional(Attributes.self)
        }
        /// Appends a `LOOKUP3resok`.
        public func encode(into writer: inout XDRWriter) {
            file.encode(into: &writer)
            writer.optional(attributes)
            writer.optional(directory)
        }
    }

    /// ACCESS3resok.
    public struct Granted: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var attributes: Attributes?
        /// Those of the bits asked for that are allowed.
        public var access: AccessBits
        /// Fields as above.
        public init(attributes: Attributes?, access: AccessBits) {
            self.attributes = attributes
            self.access = access
        }
        /// Reads an `ACCESS3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            access = AccessBits(rawValue: try reader.uint32())
        }
        /// Appends an `ACCESS3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            writer.uint32(access.rawValue)
        }
    }

    /// READLINK3resok.
    public struct LinkTarget: Hashable, Sendable, XDRCodable {
        /// The link's.
        public var attributes: Attributes?
        /// Where it points.
        public var target: [UInt8]
        /// Fields as above.
        public init(attributes: Attributes?, target: [UInt8]) {
            self.attributes = attributes
            self.target = target
        }
        /// Reads a `READLINK3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            target = try reader.opaque(atMost: RPCLimits.pathBytes)
        }
        /// Appends a `READLINK3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            writer.opaque(target)
        }
    }

    /// READ3resok up to the length of its data: `dataCount` bytes and padding follow.
    public struct ReadHead: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var attributes: Attributes?
        /// Whether the data reaches the end of the file.
        public var endOfFile: Bool
        /// Bytes of data.
        public var dataCount: UInt32
        /// Fields as above.
        public init(attributes: Attributes?, endOfFile: Bool, dataCount: UInt32) {
            self.attributes = attributes
            self.endOfFile = endOfFile
            self.dataCount = dataCount
        }
        /// Reads a `READ3resok` up to its data.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            let count = try reader.uint32()
            endOfFile = try reader.bool()
            dataCount = try reader.uint32()
            guard dataCount == count else {
                throw XDRError("\(dataCount) bytes of data where the count says \(count)")
            }
            guard dataCount <= UInt32(RPCLimits.dataBytes) else {
                throw XDRError("\(dataCount) bytes of data where at most \(RPCLimits.dataBytes) are allowed")
            }
        }
        /// Appends a `READ3resok` up to its data.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            writer.uint32(dataCount)
            writer.bool(endOfFile)
            writer.opaqueHeader(count: Int(dataCount))
        }
    }

    /// WRITE3resok.
    public struct Written: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var cache: CacheData
        /// Bytes.
        public var count: UInt32
        /// How durable they are.
        public var committed: Stability
        /// Changes when unstable data may have been lost.
        public var verifier: Verifier
        /// Fields as above.
        public init(cache: CacheData, count: UInt32, committed: Stability, verifier: Verifier) {
            self.cache = cache
            self.count = count
            self.committed = committed
            self.verifier = verifier
        }
        /// Reads a `WRITE3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            cache = try CacheData(from: &reader)
            count = try reader.uint32()
            committed = try Stability(from: &reader)
            verifier = try Verifier(from: &reader)
        }
        /// Appends a `WRITE3resok`.
        public func encode(into writer: inout XDRWriter) {
            cache.encode(into: &writer)
            writer.uint32(count)
            writer.uint32(committed.rawValue)
            verifier.encode(into: &writer)
        }
    }

    /// CREATE3resok, MKDIR3resok, SYMLINK3resok, MKNOD3resok.
    public struct Created: Hashable, Sendable, XDRCodable {
        /// The new file.
        public var file: FileHandle?
        /// Its attributes.
        public var attributes: Attributes?
        /// Its directory's.
        public var directory: CacheData
        /// Fields as above.
        public init(file: FileHandle?, attributes: Attributes?, directory: CacheData) {
            self.file = file
            self.attributes = attributes
            self.directory = directory
        }
        /// Reads a `CREATE3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try reader.optional(FileHandle.self)
            attributes = try reader.optional(Attributes.self)
            directory = try CacheData(from: &reader)
        }
        /// Appends a `CREATE3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(file)
            writer.optional(attributes)
            directory.encode(into: &writer)
        }
    }

    /// RENAME3resok and RENAME3resfail.
    public struct Renamed: Hashable, Sendable, XDRCodable {
        /// The directory of the old name.
        public var from: CacheData
        /// The directory of the new name.
        public var to: CacheData
        /// Fields as above.
        public init(from: CacheData, to: CacheData) {
            self.from = from
            self.to = to
        }
        /// Reads a `RENAME3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            from = try CacheData(from: &reader)
            to = try CacheData(from: &reader)
        }
        /// Appends a `RENAME3resok`.
        public func encode(into writer: inout XDRWriter) {
            from.encode(into: &writer)
            to.encode(into: &writer)
        }
    }

    /// LINK3resok and LINK3resfail.
    public struct Linked: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var attributes: Attributes?
        /// The directory of the new name.
        public var directory: CacheData
        /// Fields as above.
        public init(attributes: Attributes?, directory: CacheData) {
            self.attributes = attributes
            self.directory = directory
        }
        /// Reads a `LINK3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            directory = try CacheData(from: &reader)
        }
        /// Appends a `LINK3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            directory.encode(into: &writer)
        }
    }

    /// COMMIT3resok.
    public struct Committed: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var cache: CacheData
        /// Compared by the client with those of its WRITEs.
        public var verifier: Verifier
        /// Fields as above.
        public init(cache: CacheData, verifier: Verifier) {
            self.cache = cache
            self.verifier = verifier
        }
        /// Reads a `COMMIT3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            cache = try CacheData(from: &reader)
            verifier = try Verifier(from: &reader)
        }
        /// Appends a `COMMIT3resok`.
        public func encode(into writer: inout XDRWriter) {
            cache.encode(into: &writer)
            verifier.encode(into: &writer)
        }
    }
}
