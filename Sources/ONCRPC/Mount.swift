/// The MOUNT protocol, version 3 (RFC 1813, appendix I) and what of version 1 is in use (RFC 1094, appendix A):
/// EXPORT and DUMP, whose forms are the same in both.
public enum Mount {
    /// The procedures.
    public enum Procedure: UInt32, Sendable, CaseIterable {
        /// Does nothing.
        case null = 0
        /// Path to file handle.
        case mount = 1
        /// The list of mounts.
        case dump = 2
        /// Takes one mount off the list.
        case unmount = 3
        /// Takes all mounts of a client off the list.
        case unmountAll = 4
        /// The list of exports.
        case export = 5
    }

    /// mountstat3 (RFC 1813, section 5.1.5).
    public enum Status: UInt32, Hashable, Sendable, CaseIterable {
        /// MNT3_OK.
        case ok = 0
        /// MNT3ERR_PERM: not owner.
        case perm = 1
        /// MNT3ERR_NOENT: no such file or directory.
        case noEntry = 2
        /// MNT3ERR_IO.
        case io = 5
        /// MNT3ERR_ACCES: permission denied.
        case access = 13
        /// MNT3ERR_NOTDIR: not a directory.
        case notDirectory = 20
        /// MNT3ERR_INVAL: invalid argument.
        case invalid = 22
        /// MNT3ERR_NAMETOOLONG.
        case nameTooLong = 63
        /// MNT3ERR_NOTSUPP.
        case notSupported = 10004
        /// MNT3ERR_SERVERFAULT.
        case serverFault = 10006
    }

    /// dirpath, the argument of MNT and UMNT.
    public struct Path: Hashable, Sendable, XDRCodable {
        /// At most 1,024 bytes.
        public var bytes: [UInt8]
        /// - Parameter bytes: at most 1,024.
        public init(_ bytes: [UInt8]) { self.bytes = bytes }
        /// Reads a `dirpath`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            bytes = try reader.opaque(atMost: RPCLimits.mountPathBytes)
        }
        /// Appends a `dirpath`.
        public func encode(into writer: inout XDRWriter) { writer.opaque(bytes) }
    }

    /// mountres3, the result of version 3's MNT.
    public enum Result: Hashable, Sendable, XDRCodable {
        /// The handle and the authentication flavors that the server takes.
        case ok(NFS3.FileHandle, flavors: [UInt32])
        /// The mount was refused.
        case failed(Status)

        /// Reads a `mountres3`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            let code = try reader.uint32()
            guard let status = Status(rawValue: code) else {
                throw XDRError("a mount status \(code) that is not defined")
            }
            guard status == .ok else {
                self = .failed(status)
                return
            }
            let handle = try NFS3.FileHandle(from: &reader)
            let count = try reader.uint32()
            guard count <= 32 else { throw XDRError("\(count) authentication flavors where at most 32 are looked at") }
            var flavors: [UInt32] = []
            for _ in 0..<count { flavors.append(try reader.uint32()) }
            self = .ok(handle, flavors: flavors)
        }

        /// Appends a `mountres3`.
        public func encode(into writer: inout XDRWriter) {
            switch self {
            case .ok(let handle, let flavors):
                writer.uint32(Status.ok.rawValue)
                handle.encode(into: &writer)
                writer.uint32(UInt32(flavors.count))
                for flavor in flavors { writer.uint32(flavor) }
            case .failed(let status): writer.uint32(status.rawValue)
            }
        }
    }

    /// mountbody, an element of DUMP.
    public struct Mounted: Hashable, Sendable, XDRCodable {
        /// The client.
        public var host: String
        /// What it mounted.
        public var path: [UInt8]
        /// - Parameters:
        ///   - host: the client, at most 255 bytes.
        ///   - path: at most 1,024 bytes.
        public init(host: String, path: [UInt8]) {
            self.host = host
            self.path = path
        }
        /// Reads a `mountbody`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            host = try reader.text(atMost: RPCLimits.mountNameBytes)
            path = try reader.opaque(atMost: RPCLimits.mountPathBytes)
        }
        /// Appends a `mountbody`.
        public func encode(into writer: inout XDRWriter) {
            writer.text(host)
            writer.opaque(path)
        }
    }

    /// A `name` of the protocol: a group of clients.
    public struct Group: Hashable, Sendable, XDRCodable {
        /// Such as "10.0.0.0/8".
        public var name: String
        /// - Parameter name: at most 255 bytes.
        public init(_ name: String) { self.name = name }
        /// Reads a `name`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            name = try reader.text(atMost: RPCLimits.mountNameBytes)
        }
        /// Appends a `name`.
        public func encode(into writer: inout XDRWriter) { writer.text(name) }
    }

    /// exportnode, an element of EXPORT.
    public struct Export: Hashable, Sendable, XDRCodable {
        /// The exported path.
        public var path: [UInt8]
        /// Who may mount it; empty for everybody.
        public var groups: [String]
        /// - Parameters:
        ///   - path: at most 1,024 bytes.
        ///   - groups: each at most 255 bytes.
        public init(path: [UInt8], groups: [String]) {
            self.path = path
            self.groups = groups
        }
        /// Reads an `exportnode`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            path = try reader.opaque(atMost: RPCLimits.mountPathBytes)
            groups = try XDRList<Group>(from: &reader).elements.map(\.name)
        }
        /// Appends an `exportnode`.
        public func encode(into writer: inout XDRWriter) {
            writer.opaque(path)
            XDRList(groups.map(Group.init)).encode(into: &writer)
        }
    }
}
