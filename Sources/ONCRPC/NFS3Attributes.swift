extension NFS3 {
    /// fattr3 (RFC 1813, section 2.5): 84 bytes.
    public struct Attributes: Hashable, Sendable, XDRCodable {
        /// The kind of file.
        public var type: FileType
        /// Permission bits, 12 of them.
        public var mode: UInt32
        /// Hard links.
        public var linkCount: UInt32
        /// Owner.
        public var uid: UInt32
        /// Owning group.
        public var gid: UInt32
        /// Bytes.
        public var size: UInt64
        /// Bytes of disk space.
        public var used: UInt64
        /// Of a device.
        public var device: DeviceNumber
        /// The file system.
        public var fileSystemID: UInt64
        /// The file within it.
        public var fileID: UInt64
        /// Last read.
        public var accessTime: Time
        /// Last change of content.
        public var modifyTime: Time
        /// Last change of attributes.
        public var changeTime: Time

        /// All fields, in the order of the RFC.
        public init(
            type: FileType, mode: UInt32, linkCount: UInt32, uid: UInt32, gid: UInt32, size: UInt64, used: UInt64,
            device: DeviceNumber, fileSystemID: UInt64, fileID: UInt64, accessTime: Time, modifyTime: Time,
            changeTime: Time
        ) {
            self.type = type
            self.mode = mode
            self.linkCount = linkCount
            self.uid = uid
            self.gid = gid
            self.size = size
            self.used = used
            self.device = device
            self.fileSystemID = fileSystemID
            self.fileID = fileID
            self.accessTime = accessTime
            self.modifyTime = modifyTime
            self.changeTime = changeTime
        }

        /// Reads a `fattr3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            let code = try reader.uint32()
            guard let type = FileType(rawValue: code) else {
                throw XDRError("a file type \(code) where 1 to 7 are defined")
            }
            self.type = type
            mode = try reader.uint32()
            linkCount = try reader.uint32()
            uid = try reader.uint32()
            gid = try reader.uint32()
            size = try reader.uint64()
            used = try reader.uint64()
            device = try DeviceNumber(from: &reader)
            fileSystemID = try reader.uint64()
            fileID = try reader.uint64()
            accessTime = try Time(from: &reader)
            modifyTime = try Time(from: &reader)
            changeTime = try Time(from: &reader)
        }

        /// Appends a `fattr3`.
        public func encode(into writer: inout XDRWriter) {
            writer.uint32(type.rawValue)
            writer.uint32(mode)
            writer.uint32(linkCount)
            writer.uint32(uid)
            writer.uint32(gid)
            writer.uint64(size)
            writer.uint64(used)
            device.encode(into: &writer)
            writer.uint64(fileSystemID)
            writer.uint64(fileID)
            accessTime.encode(into: &writer)
            modifyTime.encode(into: &writer)
            changeTime.encode(into: &writer)
        }
    }

    /// set_atime and set_mtime (RFC 1813, section 2.5).
    public enum SetTime: Hashable, Sendable, XDRCodable {
        /// DONT_CHANGE.
        case keep
        /// SET_TO_SERVER_TIME.
        case serverTime
        /// SET_TO_CLIENT_TIME.
        case to(Time)

        /// Reads a `set_atime` or `set_mtime`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            switch try reader.uint32() {
            case 0: self = .keep
            case 1: self = .serverTime
            case 2: self = .to(try Time(from: &reader))
            case let other: throw XDRError("a way \(other) to set a time where 0 to 2 are defined")
            }
        }

        /// Appends a `set_atime` or `set_mtime`.
        public func encode(into writer: inout XDRWriter) {
            switch self {
            case .keep: writer.uint32(0)
            case .serverTime: writer.uint32(1)
            case .to(let time):
                writer.uint32(2)
                time.encode(into: &writer)
            }
        }
    }

    /// sattr3: what to set; nil keeps (RFC 1813, section 2.5).
    public struct SetAttributes: Hashable, Sendable, XDRCodable {
        /// Permission bits.
        public var mode: UInt32?
        /// Owner.
        public var uid: UInt32?
        /// Owning group.
        public var gid: UInt32?
        /// Bytes.
        public var size: UInt64?
        /// Last read.
        public var accessTime: SetTime
        /// Last change of content.
        public var modifyTime: SetTime

        /// What to set; the default keeps everything.
        public init(
            mode: UInt32? = nil, uid: UInt32? = nil, gid: UInt32? = nil, size: UInt64? = nil,
            accessTime: SetTime = .keep, modifyTime: SetTime = .keep
        ) {
            self.mode = mode
            self.uid = uid
            self.gid = gid
            self.size = size
            self.accessTime = accessTime
            self.modifyTime = modifyTime
        }

        /// Reads an `sattr3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            mode = try reader.bool() ? try reader.uint32() : nil
            uid = try reader.bool() ? try reader.uint32() : nil
            gid = try reader.bool() ? try reader.uint32() : nil
            size = try reader.bool() ? try reader.uint64() : nil
            accessTime = try SetTime(from: &reader)
            modifyTime = try SetTime(from: &reader)
        }

        /// Appends an `sattr3`.
        public func encode(into writer: inout XDRWriter) {
            for field in [mode, uid, gid] {
                writer.bool(field != nil)
                if let field { writer.uint32(field) }
            }
            writer.bool(size != nil)
            if let size { writer.uint64(size) }
            accessTime.encode(into: &writer)
            modifyTime.encode(into: &writer)
        }
    }

    /// wcc_attr: attributes before an operation (RFC 1813, section 2.6).
    public struct WeakAttributes: Hashable, Sendable, XDRCodable {
        /// Bytes.
        public var size: UInt64
        /// Last change of content.
        public var modifyTime: Time
        /// Last change of attributes.
        public var changeTime: Time
        /// - Parameters:
        ///   - size: bytes.
        ///   - modifyTime: last change of content.
        ///   - changeTime: last change of attributes.
        public init(size: UInt64, modifyTime: Time, changeTime: Time) {
            self.size = size
            self.modifyTime = modifyTime
            self.changeTime = changeTime
        }
        /// Reads a `wcc_attr`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            size = try reader.uint64()
            modifyTime = try Time(from: &reader)
            changeTime = try Time(from: &reader)
        }
        /// Appends a `wcc_attr`.
        public func encode(into writer: inout XDRWriter) {
            writer.uint64(size)
            modifyTime.encode(into: &writer)
            changeTime.encode(into: &writer)
        }
    }

    /// wcc_data: attributes before and after, each or none (RFC 1813, section 2.6).
    public struct CacheData: Hashable, Sendable, XDRCodable {
        /// Before, only if no other operation can have come between.
        public var before: WeakAttributes?
        /// After.
        public var after: Attributes?
        /// - Parameters:
        ///   - before: only if no other operation can have come between.
        ///   - after: after the operation.
        public init(before: WeakAttributes? = nil, after: Attributes? = nil) {
            self.before = before
            self.after = after
        }
        /// Reads a `wcc_data`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            before = try reader.optional(WeakAttributes.self)
            after = try reader.optional(Attributes.self)
        }
        /// Appends a `wcc_data`.
        public func encode(into writer: inout XDRWriter) {
            writer.optional(before)
            writer.optional(after)
        }
    }

    /// post_op_attr: attributes after an operation, or none (RFC 1813, section 2.6).
    public struct PostAttributes: Hashable, Sendable, XDRCodable {
        /// Nil when the server does not say.
        public var attributes: Attributes?
        /// - Parameter attributes: nil when the server does not say.
        public init(_ attributes: Attributes? = nil) { self.attributes = attributes }
        /// Reads a `post_op_attr`.
        public init(from reader: inout XDRReader) throws(XDRError) { attributes = try reader.optional(Attributes.self) }
        /// Appends a `post_op_attr`.
        public func encode(into writer: inout XDRWriter) { writer.optional(attributes) }
    }
}
