extension NFS3 {
    /// The argument of GETATTR, READLINK, FSSTAT, FSINFO and PATHCONF: one handle.
    public typealias HandleArguments = FileHandle

    /// diropargs3: a name in a directory; the argument of LOOKUP, REMOVE and RMDIR (RFC 1813, section 2.5).
    public struct NameArguments: Hashable, Sendable, XDRCodable {
        /// The directory.
        public var directory: FileHandle
        /// The name, any bytes: what is no name is refused by the operation with a status, not by the decoder.
        public var name: [UInt8]
        /// - Parameters:
        ///   - directory: the directory.
        ///   - name: at most 4,096 bytes.
        public init(directory: FileHandle, name: [UInt8]) {
            self.directory = directory
            self.name = name
        }
        /// Reads a `diropargs3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            directory = try FileHandle(from: &reader)
            name = try reader.opaque(atMost: RPCLimits.nameBytes)
        }
        /// Appends a `diropargs3`.
        public func encode(into writer: inout XDRWriter) {
            directory.encode(into: &writer)
            writer.opaque(name)
        }
    }

    /// SETATTR3args (section 3.3.2).
    public struct SetattrArguments: Hashable, Sendable, XDRCodable {
        /// The file.
        public var file: FileHandle
        /// What to set.
        public var attributes: SetAttributes
        /// Act only if this is the file's change time.
        public var guardTime: Time?
        /// - Parameters:
        ///   - file: the file.
        ///   - attributes: what to set.
        ///   - guardTime: act only if this is the file's change time.
        public init(file: FileHandle, attributes: SetAttributes, guardTime: Time? = nil) {
            self.file = file
            self.attributes = attributes
            self.guardTime = guardTime
        }
        /// Reads a `SETATTR3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try FileHandle(from: &reader)
            attributes = try SetAttributes(from: &reader)
            guardTime = try reader.optional(Time.self)
        }
        /// Appends a `SETATTR3args`.
        public func encode(into writer: inout XDRWriter) {
            file.encode(into: &writer)
            attributes.encode(into: &writer)
            writer.optional(guardTime)
        }
    }

    /// ACCESS3args (section 3.3.4).
    public struct AccessArguments: Hashable, Sendable, XDRCodable {
        /// The file.
        public var file: FileHandle
        /// What is asked for.
        public var access: AccessBits
        /// - Parameters:
        ///   - file: the file.
        ///   - access: what is asked for.
        public init(file: FileHandle, access: AccessBits) {
            self.file = file
            self.access = access
        }
        /// Reads an `ACCESS3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try FileHandle(from: &reader)
            access = AccessBits(rawValue: try reader.uint32())
        }
        /// Appends an `ACCESS3args`.
        public func encode(into writer: inout XDRWriter) {
            file.encode(into: &writer)
            writer.uint32(access.rawValue)
        }
    }

    /// READ3args (section 3.3.6) and COMMIT3args (section 3.3.21): a range of a file.
    public struct RangeArguments: Hashable, Sendable, XDRCodable {
        /// The file.
        public var file: FileHandle
        /// Bytes.
        public var offset: UInt64
        /// Bytes; 0 in COMMIT means to the end.
        public var count: UInt32
        /// - Parameters:
        ///   - file: the file.
        ///   - offset: bytes.
        ///   - count: bytes; 0 in COMMIT means to the end.
        public init(file: FileHandle, offset: UInt64, count: UInt32) {
            self.file = file
            self.offset = offset
            self.count = count
        }
        /// Reads a `READ3args` or `COMMIT3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try FileHandle(from: &reader)
            offset = try reader.uint64()
            count = try reader.uint32()
        }
        /// Appends a `READ3args` or `COMMIT3args`.
        public func encode(into writer: inout XDRWriter) {
            file.encode(into: &writer)
            writer.uint64(offset)
            writer.uint32(count)
        }
    }

    /// WRITE3args (section 3.3.7) without the data, which stays where it arrived.
    public struct WriteArguments: Hashable, Sendable {
        /// The file.
        public var file: FileHandle
        /// Bytes.
        public var offset: UInt64
        /// How much to write, in bytes; not more than there is data.
        public var count: UInt32
        /// How durable it must be before the answer.
        public var stability: Stability
        /// Where the data lies, counted from the beginning of the reader's memory.
        public var data: Range<Int>

        /// Reads a `WRITE3args`; at most 1 MiB of data.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try FileHandle(from: &reader)
            offset = try reader.uint64()
            count = try reader.uint32()
            stability = try Stability(from: &reader)
            data = try reader.opaqueRange(atMost: RPCLimits.dataBytes)
        }

        /// Appends a `WRITE3args` up to the length of its data, which with its padding follows.
        public static func encodeHead(
            file: FileHandle, offset: UInt64, stability: Stability, dataCount: Int, into writer: inout XDRWriter
        ) {
            file.encode(into: &writer)
            writer.uint64(offset)
            writer.uint32(UInt32(dataCount))
            writer.uint32(stability.rawValue)
            writer.opaqueHeader(count: dataCount)
        }
    }

    /// createhow3 (section 3.3.8).
    public enum CreateMode: Hashable, Sendable, XDRCodable {
        /// UNCHECKED: an existing file is no fault.
        case unchecked(SetAttributes)
        /// GUARDED: an existing file is EXIST.
        case guarded(SetAttributes)
        /// EXCLUSIVE: an existing file is EXIST unless this verifier made it.
        case exclusive(Verifier)

        /// Reads a `createhow3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            switch try reader.uint32() {
            case 0: self = .unchecked(try SetAttributes(from: &reader))
            case 1: self = .guarded(try SetAttributes(from: &reader))
            case 2: self = .exclusive(try Verifier(from: &reader))
            case let other: throw XDRError("a way \(other) to create where 0 to 2 are defined")
            }
        }
        /// Appends a `createhow3`.
        public func encode(into writer: inout XDRWriter) {
            switch self {
            case .unchecked(let attributes):
                writer.uint32(0)
                attributes.encode(into: &writer)
            case .guarded(let attributes):
                writer.uint32(1)
                attributes.encode(into: &writer)
            case .exclusive(let verifier):
                writer.uint32(2)
                verifier.encode(into: &writer)
            }
        }
    }

    /// CREATE3args (section 3.3.8).
    public struct CreateArguments: Hashable, Sendable, XDRCodable {
        /// Directory and name.
        public var place: NameArguments
        /// What if it exists, and its attributes.
        public var mode: CreateMode
        /// - Parameters:
        ///   - place: directory and name.
        ///   - mode: what if it exists, and its attributes.
        public init(place: NameArguments, mode: CreateMode) {
            self.place = place
            self.mode = mode
        }
        /// Reads a `CREATE3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            place = try NameArguments(from: &reader)
            mode = try CreateMode(from: &reader)
        }
        /// Appends a `CREATE3args`.
        public func encode(into writer: inout XDRWriter) {
            place.encode(into: &writer)
            mode.encode(into: &writer)
        }
    }

    /// MKDIR3args (section 3.3.9).
    public struct MkdirArguments: Hashable, Sendable, XDRCodable {
        /// Directory and name.
        public var place: NameArguments
        /// Of the new directory.
        public var attributes: SetAttributes
        /// - Parameters:
        ///   - place: directory and name.
        ///   - attributes: of the new directory.
        public init(place: NameArguments, attributes: SetAttributes) {
            self.place = place
            self.attributes = attributes
        }
        /// Reads a `MKDIR3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            place = try NameArguments(from: &reader)
            attributes = try SetAttributes(from: &reader)
        }
        /// Appends a `MKDIR3args`.
        public func encode(into writer: inout XDRWriter) {
            place.encode(into: &writer)
            attributes.encode(into: &writer)
        }
    }

    /// SYMLINK3args (section 3.3.10).
    public struct SymlinkArguments: Hashable, Sendable, XDRCodable {
        /// Directory and name.
        public var place: NameArguments
        /// Of the link itself.
        public var attributes: SetAttributes
        /// Where it points, any bytes.
        public var target: [UInt8]
        /// - Parameters:
        ///   - place: directory and name.
        ///   - attributes: of the link itself.
        ///   - target: at most 8,192 bytes.
        public init(place: NameArguments, attributes: SetAttributes, target: [UInt8]) {
            self.place = place
            self.attributes = attributes
            self.target = target
        }
        /// Reads a `SYMLINK3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            place = try NameArguments(from: &reader)
            attributes = try SetAttributes(from: &reader)
            target = try reader.opaque(atMost: RPCLimits.pathBytes)
        }
        /// Appends a `SYMLINK3args`.
        public func encode(into writer: inout XDRWriter) {
            place.encode(into: &writer)
            attributes.encode(into: &writer)
            writer.opaque(target)
        }
    }

    /// mknoddata3 (section 3.3.11).
    public enum NodeKind: Hashable, Sendable, XDRCodable {
        /// NF3CHR.
        case characterDevice(SetAttributes, DeviceNumber)
        /// NF3BLK.
        case blockDevice(SetAttributes, DeviceNumber)
        /// NF3SOCK.
        case socket(SetAttributes)
        /// NF3FIFO.
        case fifo(SetAttributes)
        /// A type that MKNOD does not make; it is answered BADTYPE.
        case other(FileType)

        /// Reads a `mknoddata3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            let code = try reader.uint32()
            guard let type = FileType(rawValue: code) else {
                throw XDRError("a file type \(code) where 1 to 7 are defined")
            }
            switch type {
            case .characterDevice:
                self = .characterDevice(try SetAttributes(from: &reader), try DeviceNumber(from: &reader))
            case .blockDevice: self = .blockDevice(try SetAttributes(from: &reader), try DeviceNumber(from: &reader))
            case .socket: self = .socket(try SetAttributes(from: &reader))
            case .fifo: self = .fifo(try SetAttributes(from: &reader))
            case .regular, .directory, .symbolicLink: self = .other(type)
            }
        }
        /// Appends a `mknoddata3`.
        public func encode(into writer: inout XDRWriter) {
            switch self {
            case .characterDevice(let attributes, let device):
                writer.uint32(FileType.characterDevice.rawValue)
                attributes.encode(into: &writer)
                device.encode(into: &writer)
            case .blockDevice(let attributes, let device):
                writer.uint32(FileType.blockDevice.rawValue)
                attributes.encode(into: &writer)
                device.encode(into: &writer)
            case .socket(let attributes):
                writer.uint32(FileType.socket.rawValue)
                attributes.encode(into: &writer)
            case .fifo(let attributes):
                writer.uint32(FileType.fifo.rawValue)
                attributes.encode(into: &writer)
            case .other(let type): writer.uint32(type.rawValue)
            }
        }
    }

    /// MKNOD3args (section 3.3.11).
    public struct MknodArguments: Hashable, Sendable, XDRCodable {
        /// Directory and name.
        public var place: NameArguments
        /// What to make.
        public var kind: NodeKind
        /// - Parameters:
        ///   - place: directory and name.
        ///   - kind: what to make.
        public init(place: NameArguments, kind: NodeKind) {
            self.place = place
            self.kind = kind
        }
        /// Reads a `MKNOD3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            place = try NameArguments(from: &reader)
            kind = try NodeKind(from: &reader)
        }
        /// Appends a `MKNOD3args`.
        public func encode(into writer: inout XDRWriter) {
            place.encode(into: &writer)
            kind.encode(into: &writer)
        }
    }

    /// RENAME3args (section 3.3.14).
    public struct RenameArguments: Hashable, Sendable, XDRCodable {
        /// What it is called.
        public var from: NameArguments
        /// What it shall be called.
        public var to: NameArguments
        /// - Parameters:
        ///   - from: what it is called.
        ///   - to: what it shall be called.
        public init(from: NameArguments, to: NameArguments) {
            self.from = from
            self.to = to
        }
        /// Reads a `RENAME3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            from = try NameArguments(from: &reader)
            to = try NameArguments(from: &reader)
        }
        /// Appends a `RENAME3args`.
        public func encode(into writer: inout XDRWriter) {
            from.encode(into: &writer)
            to.encode(into: &writer)
        }
    }

    /// LINK3args (section 3.3.15).
    public struct LinkArguments: Hashable, Sendable, XDRCodable {
        /// The file.
        public var file: FileHandle
        /// Its further name.
        public var place: NameArguments
        /// - Parameters:
        ///   - file: the file.
        ///   - place: its further name.
        public init(file: FileHandle, place: NameArguments) {
            self.file = file
            self.place = place
        }
        /// Reads a `LINK3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            file = try FileHandle(from: &reader)
            place = try NameArguments(from: &reader)
        }
        /// Appends a `LINK3args`.
        public func encode(into writer: inout XDRWriter) {
            file.encode(into: &writer)
            place.encode(into: &writer)
        }
    }

    /// READDIR3args (section 3.3.16).
    public struct ReaddirArguments: Hashable, Sendable, XDRCodable {
        /// The directory.
        public var directory: FileHandle
        /// Where to go on; 0 at the beginning.
        public var cookie: UInt64
        /// From the answer that gave the cookie; 0 at the beginning.
        public var verifier: Verifier
        /// The most bytes of the READDIR3resok.
        public var count: UInt32
        /// Fields as above.
        public init(directory: FileHandle, cookie: UInt64, verifier: Verifier, count: UInt32) {
            self.directory = directory
            self.cookie = cookie
            self.verifier = verifier
            self.count = count
        }
        /// Reads a `READDIR3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            directory = try FileHandle(from: &reader)
            cookie = try reader.uint64()
            verifier = try Verifier(from: &reader)
            count = try reader.uint32()
        }
        /// Appends a `READDIR3args`.
        public func encode(into writer: inout XDRWriter) {
            directory.encode(into: &writer)
            writer.uint64(cookie)
            verifier.encode(into: &writer)
            writer.uint32(count)
        }
    }

    /// READDIRPLUS3args (section 3.3.17).
    public struct ReaddirplusArguments: Hashable, Sendable, XDRCodable {
        /// The directory.
        public var directory: FileHandle
        /// Where to go on; 0 at the beginning.
        public var cookie: UInt64
        /// From the answer that gave the cookie; 0 at the beginning.
        public var verifier: Verifier
        /// The most bytes of file ids, names and cookies.
        public var directoryCount: UInt32
        /// The most bytes of the READDIRPLUS3resok.
        public var maximumCount: UInt32
        /// Fields as above.
        public init(
            directory: FileHandle, cookie: UInt64, verifier: Verifier, directoryCount: UInt32, maximumCount: UInt32
        ) {
            self.directory = directory
            self.cookie = cookie
            self.verifier = verifier
            self.directoryCount = directoryCount
            self.maximumCount = maximumCount
        }
        /// Reads a `READDIRPLUS3args`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            directory = try FileHandle(from: &reader)
            cookie = try reader.uint64()
            verifier = try Verifier(from: &reader)
            directoryCount = try reader.uint32()
            maximumCount = try reader.uint32()
        }
        /// Appends a `READDIRPLUS3args`.
        public func encode(into writer: inout XDRWriter) {
            directory.encode(into: &writer)
            writer.uint64(cookie)
            verifier.encode(into: &writer)
            writer.uint32(directoryCount)
            writer.uint32(maximumCount)
        }
    }
}
