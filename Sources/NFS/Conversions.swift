import ClusterModel
import Filesystem
import ONCRPC
import Wire

extension NFS3.Status {
    /// The one place where failures of the file system become statuses of the wire. Nil for a request whose outcome may
    /// not be told: its connection is closed instead, and the client asks again.
    init?(_ failure: VFSFailure) {
        switch failure {
        case .namespace(let failure): self.init(failure)
        case .unavailable: return nil
        case .ioError: self = .io
        }
    }

    /// As above, for failures of the namespace.
    init(_ failure: NamespaceFailure) {
        switch failure {
        case .notFound: self = .noEntry
        case .exists: self = .exists
        case .notDirectory: self = .notDirectory
        case .isDirectory: self = .isDirectory
        case .notEmpty: self = .notEmpty
        case .accessDenied: self = .access
        case .notPermitted: self = .perm
        case .stale: self = .stale
        case .invalid: self = .invalid
        case .nameTooLong: self = .nameTooLong
        case .noSpace: self = .noSpace
        case .quotaExceeded: self = .quota
        case .crossDevice: self = .crossDevice
        case .tooManyLinks: self = .tooManyLinks
        case .fileTooBig: self = .tooBig
        case .notSynchronized: self = .notSync
        case .readOnly: self = .readOnly
        case .badCookie: self = .badCookie
        case .badType: self = .badType
        case .symlinkLoop: self = .invalid
        case .ioError, .cutUnfinished: self = .io
        }
    }
}

extension Mount.Status {
    /// As for NFS; nil likewise.
    init?(_ failure: VFSFailure) {
        switch failure {
        case .unavailable: return nil
        case .ioError: self = .io
        case .namespace(let failure):
            switch failure {
            case .notFound, .stale: self = .noEntry
            case .notDirectory: self = .notDirectory
            case .accessDenied: self = .access
            case .notPermitted: self = .perm
            case .nameTooLong: self = .nameTooLong
            case .invalid: self = .invalid
            case .exists, .isDirectory, .notEmpty, .noSpace, .quotaExceeded, .crossDevice, .tooManyLinks, .fileTooBig,
                .notSynchronized, .readOnly, .badCookie, .badType, .symlinkLoop, .ioError, .cutUnfinished:
                self = .io
            }
        }
    }
}

extension NFS3.Time {
    /// The nearest time that the wire can carry: 1970 to 2106.
    init(_ time: Timestamp) {
        let (seconds, rest) = time.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        if time.nanoseconds < 0 {
            self.init(seconds: 0, nanoseconds: 0)
        } else if seconds > Int64(UInt32.max) {
            self.init(seconds: .max, nanoseconds: 999_999_999)
        } else {
            self.init(seconds: UInt32(seconds), nanoseconds: UInt32(rest))
        }
    }

    /// Nil when the nanoseconds are a second or more.
    var timestamp: Timestamp? {
        guard nanoseconds < 1_000_000_000 else { return nil }
        return Timestamp(nanoseconds: Int64(seconds) * 1_000_000_000 + Int64(nanoseconds))
    }
}

extension NFS3.FileType {
    init(_ kind: FileKind) {
        switch kind {
        case .regular: self = .regular
        case .directory: self = .directory
        case .symbolicLink: self = .symbolicLink
        case .blockDevice: self = .blockDevice
        case .characterDevice: self = .characterDevice
        case .fifo: self = .fifo
        case .socket: self = .socket
        }
    }
}

extension NFS3.Attributes {
    /// fsid is the fileset and fileid the inode (namespace.md, The namespace).
    init(_ a: FileAttributes) {
        self.init(
            type: NFS3.FileType(a.kind), mode: UInt32(a.mode), linkCount: a.linkCount, uid: a.uid, gid: a.gid,
            size: a.size, used: a.used, device: NFS3.DeviceNumber(major: a.device.major, minor: a.device.minor),
            fileSystemID: UInt64(a.file.fileset.rawValue), fileID: a.file.inode.rawValue,
            accessTime: NFS3.Time(a.accessTime), modifyTime: NFS3.Time(a.modificationTime),
            changeTime: NFS3.Time(a.changeTime))
    }
}

extension NFS3.CacheData {
    init(_ change: DirectoryChange?) {
        self.init(before: change?.before, after: change?.after)
    }

    init(before: FileAttributes?, after: FileAttributes?) {
        self.init(
            before: before.map {
                NFS3.WeakAttributes(
                    size: $0.size, modifyTime: NFS3.Time($0.modificationTime), changeTime: NFS3.Time($0.changeTime))
            }, after: after.map(NFS3.Attributes.init))
    }
}

extension AttributeChanges {
    /// What an sattr3 asks for; nil when a time of it is none.
    init?(_ set: NFS3.SetAttributes) {
        self.init(
            mode: set.mode.map { UInt16($0 & 0o7777) }, uid: set.uid, gid: set.gid, size: set.size)
        switch set.accessTime {
        case .keep: break
        case .serverTime: accessTime = .now
        case .to(let time):
            guard let stamp = time.timestamp else { return nil }
            accessTime = .to(stamp)
        }
        switch set.modifyTime {
        case .keep: break
        case .serverTime: modificationTime = .now
        case .to(let time):
            guard let stamp = time.timestamp else { return nil }
            modificationTime = .to(stamp)
        }
    }
}

extension FileName {
    /// A name as a call gives it, or the status that it is answered with.
    static func checked(_ bytes: [UInt8]) -> Result<FileName, NFS3.Status> {
        if let name = FileName(bytes) { return .success(name) }
        return .failure(bytes.count > FileName.maximumLength ? .nameTooLong : .invalid)
    }

    static let dot: [UInt8] = [0x2E]
    static let dotDot: [UInt8] = [0x2E, 0x2E]
}

extension NFS3.Status: Error {}
