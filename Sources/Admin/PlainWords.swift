import ClusterModel
import Filesystem
import Storage
import Wire

// How states are called in reports.

extension WaitReason {
    /// What a replica waits for, as a person would say it.
    var plainWords: String {
        switch self {
        case .record: "its record in the coordination store"
        case .lease: "this node's lease: the node has none now"
        case .leaseToEnd(let node, let lease):
            "the lease \(lease.rawValue) of the former primary, node \(node.rawValue), to end"
        case .proposal: "the outcome of a change of its record"
        case .handover(let node):
            "node \(node.rawValue) to take the group over; `stave node list` tells whether it answers"
        case .members(let nodes):
            "acknowledgements of \(names(nodes)): not running, stopped, or behind; `stave cluster up` starts what does not "
                + "run; if a disk is destroyed for good, see `stave pg accept-loss --help`"
        case .powerLoss(let nodes):
            "\(names(nodes)) after a loss of power: their disks may hold what was acknowledged; start them, or, if a disk is "
                + "destroyed for good, see `stave pg accept-loss --help`"
        case .mapVersion(let version): "version \(version.rawValue) of the cluster map"
        case .entriesInFlight: "entries that are under way"
        case .log: "its own disk's log"
        case .learning: "content: this replica is catching up"
        case .wholeReplica(let nodes):
            "a replica that lacks nothing, for this one lacks content"
                + (nodes.isEmpty ? "" : ": start \(names(nodes))") + "; if there is none any more, see "
                + "`stave pg accept-loss --help`"
        }
    }

    private func names(_ nodes: [NodeID]) -> String { plainNames(nodes) }
}

func plainNames(_ nodes: [NodeID]) -> String {
    (nodes.count == 1 ? "node " : "nodes ") + nodes.map { "\($0.rawValue)" }.joined(separator: ", ")
}

extension GatewayWait.Reason {
    var plainWords: String {
        switch self {
        case .numbers: "earlier requests: 256 to this group are unfinished"
        case .primary: "the group to have a primary"
        case .attributes: "fresh attributes of the file"
        case .pause: "a pause to end: it was refused or lost, and will be sent again"
        case .answer: "the answer of the group's primary"
        case .ownReplica: "this node's own replica"
        case .session: "a session: this node's lease has ended and is being taken anew"
        }
    }
}

extension NodeRoles {
    var names: [String] {
        [(NodeRoles.storage, "storage"), (.interface, "interface"), (.management, "management")].filter {
            contains($0.0)
        }.map(\.1)
    }
}

extension EventLog.Subject {
    var text: String {
        switch self {
        case .group(let pg): "group \(pg)"
        case .disk(let id): "disk \(id)"
        case .leaseLapsed: "lease"
        case .sessionDropped: "session"
        case .node: "node"
        }
    }
}

extension ClusterNode.Duty {
    var name: String {
        switch self {
        case .full: "full"
        case .suspended: "suspended"
        case .draining: "draining"
        }
    }

    init?(name: String) {
        switch name {
        case "full": self = .full
        case "suspended": self = .suspended
        case "draining": self = .draining
        default: return nil
        }
    }
}

extension ClusterDisk.Duty {
    var name: String {
        switch self {
        case .full: "full"
        case .draining: "draining"
        }
    }

    init?(name: String) {
        switch name {
        case "full": self = .full
        case "draining": self = .draining
        default: return nil
        }
    }
}

extension Squash {
    var name: String {
        switch self {
        case .none: "none"
        case .root: "root"
        case .all: "all"
        }
    }

    init?(name: String) {
        switch name {
        case "none": self = .none
        case "root": self = .root
        case "all": self = .all
        default: return nil
        }
    }
}

extension Export.Access {
    var name: String {
        switch self {
        case .readOnly: "read-only"
        case .readWrite: "read-write"
        }
    }

    init?(name: String) {
        switch name {
        case "read-only": self = .readOnly
        case "read-write": self = .readWrite
        default: return nil
        }
    }
}

extension FileKind {
    var name: String {
        switch self {
        case .regular: "file"
        case .directory: "folder"
        case .symbolicLink: "link"
        case .blockDevice: "block"
        case .characterDevice: "character"
        case .fifo: "fifo"
        case .socket: "socket"
        }
    }
}

extension NamespaceFailure {
    var plainWords: String {
        switch self {
        case .notFound: "no such file or folder"
        case .exists: "it exists already"
        case .notDirectory: "not a folder"
        case .isDirectory: "a folder"
        case .notEmpty: "the folder is not empty"
        case .accessDenied: "access denied"
        case .notPermitted: "not permitted"
        case .stale: "the file is gone"
        case .invalid: "an invalid argument"
        case .nameTooLong: "the name is too long"
        case .noSpace: "no space left"
        case .quotaExceeded: "the fileset's quota is reached"
        case .crossDevice: "it lies in another fileset"
        case .tooManyLinks: "too many links"
        case .fileTooBig: "the file would be too big"
        case .notSynchronized: "it changed meanwhile"
        case .readOnly: "read-only"
        case .badCookie: "the listing's place is gone"
        case .badType: "an unknown kind of file"
        case .symlinkLoop: "too many symbolic links"
        case .ioError: "an input/output error"
        case .cutUnfinished: "an earlier cut of the file is not finished"
        }
    }

    var kind: AdminFailure.Kind { self == .notFound ? .notFound : .refused }
}
