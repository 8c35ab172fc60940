import ClusterModel
import Storage

/// What a group's last scrub found.
public struct ScrubSummary: Codable, Sendable, Hashable {
    /// Nanoseconds since 1970.
    public var started: Int64
    public var ended: Int64
    /// All copies held and agreed.
    public var isClean: Bool
    /// Nodes that took part from the beginning to the end.
    public var members: [Int]
    /// By node: bad blocks that were written anew.
    public var mended: [Int: UInt64]
    /// Objects that all members held alike, blocks with content of one copy, rows of a metadata group.
    public var objects: UInt64
    public var blocks: UInt64
    public var rows: UInt64
    /// Objects and ranges of rows that changed too often to be compared.
    public var unsettled: UInt64
    public var findings: [String]

    init(_ note: ScrubNote) {
        started = note.started.nanoseconds
        ended = note.ended.nanoseconds
        isClean = note.standing == .clean
        members = note.members.map { Int($0.rawValue) }
        mended = [:]
        for one in note.mended { mended[Int(one.node.rawValue)] = one.blocks }
        objects = note.objects
        blocks = note.blocks
        rows = note.rows
        unsettled = note.unsettled
        findings = note.findings
    }
}

/// What the last scrub of one fileset's objects in a group found; it says nothing of the group's other objects.
public struct FilesetScrub: Codable, Sendable, Hashable {
    public var fileset: Int
    public var scrub: ScrubSummary
}

/// A scrub that a node leads, or is to lead.
public struct ScrubStatus: Codable, Sendable, Hashable {
    /// "waiting" (for its turn), "running" or "interrupted".
    public var state: String
    /// While it runs: seconds since this node took it on, objects or rows that were looked at, bytes that each member has read
    /// (so many of them before), and what they will have read in the end (of a metadata group: rows; 0: not known).
    public var seconds: Double
    public var earlierBytes: UInt64?
    public var done: UInt64
    public var bytes: UInt64
    public var total: UInt64
    /// Why the last one was interrupted.
    public var interruption: String?
}

/// Which groups a node has taken on, or given up.
public struct ScrubBegun: Codable, Sendable, Hashable {
    public var groups: [String]
    /// The node's wall clock: scrubs that begin from now on are those that were asked for.
    public var time: Int64
}

/// How all groups stand with scrubbing, as far as the coordination store knows.
public struct ScrubOverview: Codable, Sendable, Hashable {
    /// Groups that were never scrubbed to the end.
    public var never: Int
    /// When the last scrub of the group began whose lies furthest back; nanoseconds since 1970.
    public var oldest: Int64?
    /// Groups whose last scrub found something that it could not mend.
    public var faulty: [String]
    /// What this node scrubs now.
    public var running: String?
}

extension AdminService {
    func scrubOverview() -> ScrubOverview {
        var overview = ScrubOverview(never: 0, oldest: nil, faulty: [], running: node.scrubbedNow.map { "\($0)" })
        for pg in node.view.map.placementGroups {
            guard let note = node.scrubNote(pg) else {
                overview.never += 1
                continue
            }
            overview.oldest = min(overview.oldest ?? .max, note.started.nanoseconds)
            if note.standing == .faulty { overview.faulty.append("\(pg)") }
        }
        return overview
    }

    func scrubBegin(_ arguments: AdminArguments) throws(AdminFailure) -> ScrubBegun {
        let groups = try groups(arguments)
        // Before it is begun: what begins in this instant was asked for.
        let time = node.now.nanoseconds
        guard let id = try fileset(arguments) else {
            return ScrubBegun(groups: node.scrubSoon(groups).map(\.description), time: time)
        }
        // Its metadata group has nothing but the fileset.
        let own = node.scrubSoon(groups.filter { $0 == .metadata(id) })
        let data = node.scrubSoon(groups.filter { !$0.isMetadata }, .fileset(id))
        return ScrubBegun(groups: (data + own).map(\.description), time: time)
    }

    func scrubStop(_ arguments: AdminArguments) throws(AdminFailure) -> ScrubBegun {
        let groups = try groups(arguments)
        return ScrubBegun(groups: node.stopScrubs(groups).map(\.description), time: node.now.nanoseconds)
    }

    /// The fileset that "fileset" names; nil without it.
    private func fileset(_ arguments: AdminArguments) throws(AdminFailure) -> FilesetID? {
        guard let name = arguments.optional("fileset") else { return nil }
        guard let fileset = node.view.map.filesets.first(where: { $0.name == name }) else {
            throw AdminFailure(.notFound, "there is no fileset \(name)")
        }
        if fileset.state != .live { throw AdminFailure(.refused, "the fileset \(name) is being deleted") }
        return fileset.id
    }

    func filesetScrub(_ pg: PGID) -> FilesetScrub? {
        node.filesetScrubNote(pg).map { FilesetScrub(fileset: Int($0.fileset.rawValue), scrub: ScrubSummary($0.note)) }
    }

    /// The groups that "groups" names, with spaces between; all without it.
    private func groups(_ arguments: AdminArguments) throws(AdminFailure) -> [PGID] {
        guard let text = arguments.optional("groups") else { return node.view.map.placementGroups }
        var groups: [PGID] = []
        for name in text.split(separator: " ") {
            guard let group = PGID(String(name)) else {
                throw AdminFailure(.invalid, "\"\(name)\" is no group; groups are called d0, d1 … and m1 …")
            }
            groups.append(group)
        }
        return groups
    }

    func scrubStatus(_ pg: PGID) -> ScrubStatus? {
        let standing = node.scrubStanding(pg)
        var status = ScrubStatus(
            state: "interrupted", seconds: 0, earlierBytes: standing.earlier.bytes, done: standing.progress.done,
            bytes: standing.progress.bytes,
            total: standing.total, interruption: standing.interruption)
        switch standing.stage {
        case .waiting: status.state = "waiting"
        case .running:
            status.state = "running"
            status.seconds = max(0, Double(node.now.nanoseconds - standing.started.nanoseconds) / 1e9)
        case nil: if standing.interruption == nil { return nil }
        }
        return status
    }
}
