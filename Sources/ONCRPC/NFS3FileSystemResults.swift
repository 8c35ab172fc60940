extension NFS3 {
    /// FSSTAT3resok (RFC 1813, section 3.3.18).
    public struct FileSystemUsage: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var attributes: Attributes?
        /// Bytes in all.
        public var totalBytes: UInt64
        /// Bytes free.
        public var freeBytes: UInt64
        /// Bytes free to the caller.
        public var availableBytes: UInt64
        /// Files in all.
        public var totalFiles: UInt64
        /// Files that can be made.
        public var freeFiles: UInt64
        /// Files that the caller can make.
        public var availableFiles: UInt64
        /// Seconds for which nothing changes; 0 when that is not known.
        public var invariantSeconds: UInt32
        /// Fields as above.
        public init(
            attributes: Attributes?, totalBytes: UInt64, freeBytes: UInt64, availableBytes: UInt64, totalFiles: UInt64,
            freeFiles: UInt64, availableFiles: UInt64, invariantSeconds: UInt32
        ) {
            self.attributes = attributes
            self.totalBytes = totalBytes
            self.freeBytes = freeBytes
            self.availableBytes = availableBytes
            self.totalFiles = totalFiles
            self.freeFiles = freeFiles
            self.availableFiles = availableFiles
            self.invariantSeconds = invariantSeconds
        }
        /// Reads an `FSSTAT3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            totalBytes = try reader.uint64()
            freeBytes = try reader.uint64()
            availableBytes = try reader.uint64()
            totalFiles = try reader.uint64()
            freeFiles = try reader.uint64()
            availableFiles = try reader.uint64()
            invariantSeconds = try reader.uint32()
        }
        /// Appends an `FSSTAT3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            writer.uint64(totalBytes)
            writer.uint64(freeBytes)
            writer.uint64(availableBytes)
            writer.uint64(totalFiles)
            writer.uint64(freeFiles)
            writer.uint64(availableFiles)
            writer.uint32(invariantSeconds)
        }
    }

    /// The properties of FSINFO (RFC 1813, section 3.3.19).
    public struct Properties: OptionSet, Hashable, Sendable {
        /// As on the wire.
        public let rawValue: UInt32
        /// - Parameter rawValue: as on the wire.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// FSF3_LINK: hard links.
        public static let link = Properties(rawValue: 0x01)
        /// FSF3_SYMLINK: symbolic links.
        public static let symlink = Properties(rawValue: 0x02)
        /// FSF3_HOMOGENEOUS: PATHCONF is the same for all files.
        public static let homogeneous = Properties(rawValue: 0x08)
        /// FSF3_CANSETTIME: SETATTR can set times.
        public static let canSetTime = Properties(rawValue: 0x10)
    }

    /// FSINFO3resok (RFC 1813, section 3.3.19).
    public struct FileSystemInfo: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var attributes: Attributes?
        /// The greatest READ, in bytes.
        public var readMaximum: UInt32
        /// The preferred READ.
        public var readPreferred: UInt32
        /// What READ sizes should be a multiple of.
        public var readMultiple: UInt32
        /// The greatest WRITE, in bytes.
        public var writeMaximum: UInt32
        /// The preferred WRITE.
        public var writePreferred: UInt32
        /// What WRITE sizes should be a multiple of.
        public var writeMultiple: UInt32
        /// The preferred READDIR.
        public var directoryPreferred: UInt32
        /// The greatest file, in bytes.
        public var fileMaximum: UInt64
        /// The resolution of times.
        public var timeDelta: Time
        /// What the file system can.
        public var properties: Properties
        /// Fields as above.
        public init(
            attributes: Attributes?, readMaximum: UInt32, readPreferred: UInt32, readMultiple: UInt32,
            writeMaximum: UInt32, writePreferred: UInt32, writeMultiple: UInt32, directoryPreferred: UInt32,
            fileMaximum: UInt64, timeDelta: Time, properties: Properties
        ) {
            self.attributes = attributes
            self.readMaximum = readMaximum
            self.readPreferred = readPreferred
            self.readMultiple = readMultiple
            self.writeMaximum = writeMaximum
            self.writePreferred = writePreferred
            self.writeMultiple = writeMultiple
            self.directoryPreferred = directoryPreferred
            self.fileMaximum = fileMaximum
            self.timeDelta = timeDelta
            self.properties = properties
        }
        /// Reads an `FSINFO3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            readMaximum = try reader.uint32()
            readPreferred = try reader.uint32()
            readMultiple = try reader.uint32()
            writeMaximum = try reader.uint32()
            writePreferred = try reader.uint32()
            writeMultiple = try reader.uint32()
            directoryPreferred = try reader.uint32()
            fileMaximum = try reader.uint64()
            timeDelta = try Time(from: &reader)
            properties = Properties(rawValue: try reader.uint32())
        }
        /// Appends an `FSINFO3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            writer.uint32(readMaximum)
            writer.uint32(readPreferred)
            writer.uint32(readMultiple)
            writer.uint32(writeMaximum)
            writer.uint32(writePreferred)
            writer.uint32(writeMultiple)
            writer.uint32(directoryPreferred)
            writer.uint64(fileMaximum)
            timeDelta.encode(into: &writer)
            writer.uint32(properties.rawValue)
        }
    }

    /// The booleans of PATHCONF (RFC 1813, section 3.3.20).
    public struct PathTraits: OptionSet, Hashable, Sendable {
        /// Four bits, none of them on the wire as such.
        public let rawValue: UInt8
        /// - Parameter rawValue: four bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// no_trunc: a name that is too long is an error.
        public static let noTruncation = PathTraits(rawValue: 1)
        /// chown_restricted: only the privileged change owners.
        public static let chownRestricted = PathTraits(rawValue: 2)
        /// case_insensitive.
        public static let caseInsensitive = PathTraits(rawValue: 4)
        /// case_preserving.
        public static let casePreserving = PathTraits(rawValue: 8)
        /// In the order of the wire.
        static let inOrder: [PathTraits] = [.noTruncation, .chownRestricted, .caseInsensitive, .casePreserving]
    }

    /// PATHCONF3resok (RFC 1813, section 3.3.20).
    public struct PathConfiguration: Hashable, Sendable, XDRCodable {
        /// The file's.
        public var attributes: Attributes?
        /// The most hard links.
        public var linkMaximum: UInt32
        /// The longest name, in bytes.
        public var nameMaximum: UInt32
        /// The four booleans.
        public var traits: PathTraits
        /// Fields as above.
        public init(attributes: Attributes?, linkMaximum: UInt32, nameMaximum: UInt32, traits: PathTraits) {
            self.attributes = attributes
            self.linkMaximum = linkMaximum
            self.nameMaximum = nameMaximum
            self.traits = traits
        }
        /// Reads a `PATHCONF3resok`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            linkMaximum = try reader.uint32()
            nameMaximum = try reader.uint32()
            traits = []
            for trait in PathTraits.inOrder where try reader.bool() { traits.insert(trait) }
        }
        /// Appends a `PATHCONF3resok`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            writer.uint32(linkMaximum)
            writer.uint32(nameMaximum)
            for trait in PathTraits.inOrder { writer.bool(traits.contains(trait)) }
        }
    }

    /// entry3 (RFC 1813, section 3.3.16).
    public struct DirectoryEntry: Hashable, Sendable, XDRCodable {
        /// The file.
        public var fileID: UInt64
        /// Its name.
        public var name: [UInt8]
        /// Goes on behind this entry.
        public var cookie: UInt64
        /// Fields as above.
        public init(fileID: UInt64, name: [UInt8], cookie: UInt64) {
            self.fileID = fileID
            self.name = name
            self.cookie = cookie
        }
        /// Reads an `entry3` without its link.
        public init(from reader: inout XDRReader) throws(XDRError) {
            fileID = try reader.uint64()
            name = try reader.opaque(atMost: RPCLimits.nameBytes)
            cookie = try reader.uint64()
        }
        /// Appends an `entry3` without its link.
        public func encode(into writer: inout XDRWriter) {
            writer.uint64(fileID)
            writer.opaque(name)
            writer.uint64(cookie)
        }
        /// Bytes on the wire with the mark that an entry follows, for a name of `nameCount` bytes.
        public static func encodedBytes(nameCount: Int) -> Int { 4 + 8 + 4 + XDRAlignment.padded(nameCount) + 8 }
    }

    /// entryplus3 (RFC 1813, section 3.3.17).
    public struct DirectoryEntryPlus: Hashable, Sendable, XDRCodable {
        /// As READDIR has it.
        public var entry: DirectoryEntry
        /// The file's.
        public var attributes: Attributes?
        /// The file's.
        public var file: FileHandle?
        /// Fields as above.
        public init(entry: DirectoryEntry, attributes: Attributes?, file: FileHandle?) {
            self.entry = entry
            self.attributes = attributes
            self.file = file
        }
        /// Reads an `entryplus3` without its link.
        public init(from reader: inout XDRReader) throws(XDRError) {
            entry = try DirectoryEntry(from: &reader)
            attributes = try reader.optional(Attributes.self)
            file = try reader.optional(FileHandle.self)
        }
        /// Appends an `entryplus3` without its link.
        public func encode(into writer: inout XDRWriter) {
            entry.encode(into: &writer)
            writer.optional(attributes)
            writer.optional(file)
        }
    }

    /// READDIR3resok and READDIRPLUS3resok.
    public struct DirectoryPage<Entry: XDRCodable & Hashable & Sendable>: Hashable, Sendable, XDRCodable {
        /// The directory's.
        public var attributes: Attributes?
        /// Given back with a cookie.
        public var verifier: Verifier
        /// The entries.
        public var entries: [Entry]
        /// Whether there are no more.
        public var endOfDirectory: Bool
        /// Fields as above.
        public init(attributes: Attributes?, verifier: Verifier, entries: [Entry], endOfDirectory: Bool) {
            self.attributes = attributes
            self.verifier = verifier
            self.entries = entries
            self.endOfDirectory = endOfDirectory
        }
        /// Reads a page; at most `RPCLimits.listEntries` entries.
        public init(from reader: inout XDRReader) throws(XDRError) {
            attributes = try reader.optional(Attributes.self)
            verifier = try Verifier(from: &reader)
            entries = try XDRList<Entry>(from: &reader).elements
            endOfDirectory = try reader.bool()
        }
        /// Appends a page.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(attributes)
            verifier.encode(into: &writer)
            XDRList(entries).encode(into: &writer)
            writer.bool(endOfDirectory)
        }
    }
}
