/// NFS version 3 (RFC 1813): procedures, statuses and the types that arguments and results are made of.
public enum NFS3 {
    /// The procedures (RFC 1813, section 3).
    public enum Procedure: UInt32, Hashable, Sendable, CaseIterable {
        /// Section 3.3.0.
        case null = 0
        /// Section 3.3.1.
        case getattr = 1
        /// Section 3.3.2.
        case setattr = 2
        /// Section 3.3.3.
        case lookup = 3
        /// Section 3.3.4.
        case access = 4
        /// Section 3.3.5.
        case readlink = 5
        /// Section 3.3.6.
        case read = 6
        /// Section 3.3.7.
        case write = 7
        /// Section 3.3.8.
        case create = 8
        /// Section 3.3.9.
        case mkdir = 9
        /// Section 3.3.10.
        case symlink = 10
        /// Section 3.3.11.
        case mknod = 11
        /// Section 3.3.12.
        case remove = 12
        /// Section 3.3.13.
        case rmdir = 13
        /// Section 3.3.14.
        case rename = 14
        /// Section 3.3.15.
        case link = 15
        /// Section 3.3.16.
        case readdir = 16
        /// Section 3.3.17.
        case readdirplus = 17
        /// Section 3.3.18.
        case fsstat = 18
        /// Section 3.3.19.
        case fsinfo = 19
        /// Section 3.3.20.
        case pathconf = 20
        /// Section 3.3.21.
        case commit = 21
    }

    /// nfsstat3 (RFC 1813, section 2.6).
    public enum Status: UInt32, Hashable, Sendable, CaseIterable {
        /// NFS3_OK.
        case ok = 0
        /// NFS3ERR_PERM: the caller is neither privileged nor the owner.
        case perm = 1
        /// NFS3ERR_NOENT.
        case noEntry = 2
        /// NFS3ERR_IO.
        case io = 5
        /// NFS3ERR_NXIO.
        case noDevice = 6
        /// NFS3ERR_ACCES: permission bits.
        case access = 13
        /// NFS3ERR_EXIST.
        case exists = 17
        /// NFS3ERR_XDEV: a link or rename across file systems.
        case crossDevice = 18
        /// NFS3ERR_NODEV.
        case noSuchDevice = 19
        /// NFS3ERR_NOTDIR.
        case notDirectory = 20
        /// NFS3ERR_ISDIR.
        case isDirectory = 21
        /// NFS3ERR_INVAL.
        case invalid = 22
        /// NFS3ERR_FBIG.
        case tooBig = 27
        /// NFS3ERR_NOSPC.
        case noSpace = 28
        /// NFS3ERR_ROFS.
        case readOnly = 30
        /// NFS3ERR_MLINK.
        case tooManyLinks = 31
        /// NFS3ERR_NAMETOOLONG.
        case nameTooLong = 63
        /// NFS3ERR_NOTEMPTY.
        case notEmpty = 66
        /// NFS3ERR_DQUOT.
        case quota = 69
        /// NFS3ERR_STALE: the file of the handle is gone.
        case stale = 70
        /// NFS3ERR_REMOTE.
        case remote = 71
        /// NFS3ERR_BADHANDLE: the handle was never one of ours.
        case badHandle = 10001
        /// NFS3ERR_NOT_SYNC: the guard of SETATTR did not match.
        case notSync = 10002
        /// NFS3ERR_BAD_COOKIE.
        case badCookie = 10003
        /// NFS3ERR_NOTSUPP.
        case notSupported = 10004
        /// NFS3ERR_TOOSMALL: a buffer of the client's is too small.
        case tooSmall = 10005
        /// NFS3ERR_SERVERFAULT.
        case serverFault = 10006
        /// NFS3ERR_BADTYPE.
        case badType = 10007
        /// NFS3ERR_JUKEBOX: begun, ask again later.
        case jukebox = 10008
    }

    /// ftype3 (RFC 1813, section 2.5).
    public enum FileType: UInt32, Hashable, Sendable, CaseIterable {
        /// NF3REG.
        case regular = 1
        /// NF3DIR.
        case directory = 2
        /// NF3BLK.
        case blockDevice = 3
        /// NF3CHR.
        case characterDevice = 4
        /// NF3LNK.
        case symbolicLink = 5
        /// NF3SOCK.
        case socket = 6
        /// NF3FIFO.
        case fifo = 7
    }

    /// nfs_fh3: at most 64 opaque bytes, kept in place without allocation (RFC 1813, section 2.5).
    public struct FileHandle: Hashable, Sendable, XDRCodable {
        private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
        /// Bytes in use: 0 … 64.
        public let count: Int

        /// The greatest handle (RFC 1813, section 2.4: NFS3_FHSIZE).
        public static let maximumBytes = 64

        /// - Precondition: at most 64 bytes.
        public init(_ bytes: UnsafeRawBufferPointer) {
            precondition(bytes.count <= FileHandle.maximumBytes, "a handle has at most 64 bytes")
            words = (0, 0, 0, 0, 0, 0, 0, 0)
            count = bytes.count
            withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
        }

        /// - Precondition: at most 64 bytes.
        public init(_ bytes: [UInt8]) { self = bytes.withUnsafeBytes(FileHandle.init) }

        /// Reads an `nfs_fh3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            let range = try reader.opaqueRange(atMost: FileHandle.maximumBytes)
            self.init(reader.bytes(in: range))
        }

        /// Appends an `nfs_fh3`.
        public func encode(into writer: inout XDRWriter) {
            writer.opaqueHeader(count: count)
            withBytes { writer.fixed($0) }
        }

        /// The bytes in use.
        public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
            withUnsafeBytes(of: words) { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }

        /// Equal when the bytes in use are.
        public static func == (a: FileHandle, b: FileHandle) -> Bool {
            a.count == b.count && a.words.0 == b.words.0 && a.words.1 == b.words.1 && a.words.2 == b.words.2
                && a.words.3 == b.words.3 && a.words.4 == b.words.4 && a.words.5 == b.words.5
                && a.words.6 == b.words.6 && a.words.7 == b.words.7
        }

        /// Hashes the bytes in use.
        public func hash(into hasher: inout Hasher) { withBytes { hasher.combine(bytes: $0) } }
    }

    /// nfstime3 (RFC 1813, section 2.5): unsigned seconds since 1970 and nanoseconds.
    public struct Time: Hashable, Sendable, XDRCodable {
        /// Seconds since 1970-01-01 00:00 UTC; ends in 2106.
        public var seconds: UInt32
        /// 0 ..< 10⁹; clients may send more.
        public var nanoseconds: UInt32
        /// - Parameters:
        ///   - seconds: since 1970.
        ///   - nanoseconds: 0 ..< 10⁹.
        public init(seconds: UInt32, nanoseconds: UInt32) {
            self.seconds = seconds
            self.nanoseconds = nanoseconds
        }
        /// Reads an `nfstime3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            seconds = try reader.uint32()
            nanoseconds = try reader.uint32()
        }
        /// Appends an `nfstime3`.
        public func encode(into writer: inout XDRWriter) {
            writer.uint32(seconds)
            writer.uint32(nanoseconds)
        }
    }

    /// specdata3: a device's major and minor number (RFC 1813, section 2.5).
    public struct DeviceNumber: Hashable, Sendable, XDRCodable {
        /// specdata1.
        public var major: UInt32
        /// specdata2.
        public var minor: UInt32
        /// - Parameters:
        ///   - major: specdata1.
        ///   - minor: specdata2.
        public init(major: UInt32, minor: UInt32) {
            self.major = major
            self.minor = minor
        }
        /// Reads a `specdata3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            major = try reader.uint32()
            minor = try reader.uint32()
        }
        /// Appends a `specdata3`.
        public func encode(into writer: inout XDRWriter) {
            writer.uint32(major)
            writer.uint32(minor)
        }
    }

    /// Eight opaque bytes: cookieverf3, createverf3 and writeverf3 (RFC 1813, section 2.5).
    public struct Verifier: Hashable, Sendable, XDRCodable {
        /// The bytes as one number, the first in the highest place.
        public var rawValue: UInt64
        /// - Parameter rawValue: the bytes as one number, the first in the highest place.
        public init(_ rawValue: UInt64) { self.rawValue = rawValue }
        /// Reads eight bytes.
        public init(from reader: inout XDRReader) throws(XDRError) { rawValue = try reader.uint64() }
        /// Appends eight bytes.
        public func encode(into writer: inout XDRWriter) { writer.uint64(rawValue) }
    }

    /// stable_how (RFC 1813, section 3.3.7).
    public enum Stability: UInt32, Hashable, Sendable, CaseIterable {
        /// UNSTABLE: durable after COMMIT.
        case unstable = 0
        /// DATA_SYNC: the data is durable before the answer.
        case dataSync = 1
        /// FILE_SYNC: data and attributes are durable before the answer.
        case fileSync = 2

        init(from reader: inout XDRReader) throws(XDRError) {
            let code = try reader.uint32()
            guard let value = Stability(rawValue: code) else {
                throw XDRError("a stability \(code) where 0 to 2 are defined")
            }
            self = value
        }
    }

    /// The bits of ACCESS (RFC 1813, section 3.3.4).
    public struct AccessBits: OptionSet, Hashable, Sendable {
        /// As on the wire.
        public let rawValue: UInt32
        /// - Parameter rawValue: as on the wire.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// ACCESS3_READ.
        public static let read = AccessBits(rawValue: 0x01)
        /// ACCESS3_LOOKUP: search a directory.
        public static let lookup = AccessBits(rawValue: 0x02)
        /// ACCESS3_MODIFY: rewrite what is there.
        public static let modify = AccessBits(rawValue: 0x04)
        /// ACCESS3_EXTEND: write new data or add entries.
        public static let extend = AccessBits(rawValue: 0x08)
        /// ACCESS3_DELETE: delete an entry.
        public static let delete = AccessBits(rawValue: 0x10)
        /// ACCESS3_EXECUTE.
        public static let execute = AccessBits(rawValue: 0x20)
    }
}
