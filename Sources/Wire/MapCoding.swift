import ClusterModel

/// The cluster map as the coordination store and the wire carry it.
extension ClusterMap {
    /// 2 has the time of the loss number's last rise at its end, 3 the suspended nodes after it, 4 what drains and the places of
    /// disks that replace others; earlier ones are still read. A map is written in 3 while it needs no more, so that nodes
    /// of the version before can go on beside newer ones.
    private static let format: UInt8 = 4

    private var needsFormat4: Bool {
        nodes.contains { $0.duty == .draining } || disks.contains { $0.place != $0.id || $0.duty == .draining }
    }

    public func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 1024)
        w.u8(needsFormat4 ? ClusterMap.format : 3)
        w.u64(version.rawValue)
        w.u128(cluster.rawValue)
        w.u64(lossNumber.rawValue)
        w.u8(UInt8(policy.copies))
        w.u8(UInt8(policy.minInSync))
        w.u32(dataPGCount)
        w.u32(semantics)
        w.list(nodes) { w, n in
            w.node(n.id)
            w.string(n.name)
            w.string(n.address)
            w.u8(n.roles.rawValue)
            w.list(n.failureDomain) { $0.string($1) }
        }
        w.list(disks) { w, d in
            w.u128(d.id.rawValue)
            w.node(d.node)
            w.u32(d.weight)
            w.string(d.path)
        }
        w.list(sessions) { w, s in
            w.u64(s.id.rawValue)
            w.node(s.node)
            w.u32(s.lease.rawValue)
        }
        w.u64(lastSession.rawValue)
        w.list(filesets) { w, f in
            w.u32(f.id.rawValue)
            w.string(f.name)
            w.layout(f.layout)
            w.u8(f.state.rawValue)
            w.optional(f.junction) {
                $0.file($1.directory)
                $0.blob($1.name)
            }
            w.u16(f.rootMode)
            w.u32(f.rootUID)
            w.u32(f.rootGID)
        }
        w.u32(lastFileset.rawValue)
        w.list(exports) { w, e in
            w.u32(e.id.rawValue)
            w.string(e.path)
            w.file(e.root)
            w.list(e.clients) { $0.string($1) }
            w.u8(e.squash.rawValue)
            w.u32(e.anonymousUID)
            w.u32(e.anonymousGID)
            w.u8(e.access.rawValue)
            w.u8(e.verifierBlind ? 1 : 0)
        }
        w.u32(lastExport.rawValue)
        w.optional(lossRaised) { $0.i64($1.nanoseconds) }
        w.list(nodes.filter { $0.duty == .suspended }) { $0.node($1.id) }
        if needsFormat4 {
            w.list(nodes.filter { $0.duty == .draining }) { $0.node($1.id) }
            w.list(disks.filter { $0.duty == .draining }) { $0.u128($1.id.rawValue) }
            w.list(disks.filter { $0.place != $0.id }) {
                $0.u128($1.id.rawValue)
                $0.u128($1.place.rawValue)
            }
        }
        return w.bytes
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in try ClusterMap(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        guard (1...ClusterMap.format).contains(format) else {
            throw WireError("a cluster map of format \(format); this program knows 1 to \(ClusterMap.format)")
        }
        let version = MapVersion(try r.u64())
        let cluster = ClusterID(try r.u128())
        let loss = LossNumber(try r.u64())
        guard let policy = ReplicationPolicy(copies: Int(try r.u8()), minInSync: Int(try r.u8())) else {
            throw WireError("a replication policy outside its ranges")
        }
        let count = try r.u32()
        if count == 0 || count & (count - 1) != 0 {
            throw WireError("\(count) data placement groups are no power of two")
        }
        self.init(cluster: cluster, policy: policy, dataPGCount: count)
        self.version = version
        lossNumber = loss
        semantics = try r.u32()
        nodes = try r.list(atMost: Limits.nodes, elementBytes: 15) { r throws(WireError) in
            ClusterNode(
                id: try r.node(), name: try r.string(atMost: Limits.text), address: try r.string(atMost: Limits.text),
                roles: NodeRoles(rawValue: try r.u8()),
                failureDomain: try r.list(atMost: Limits.failureDomainLevels, elementBytes: 4) { r throws(WireError) in
                    try r.string(atMost: Limits.text)
                })
        }
        disks = try r.list(atMost: Limits.disks, elementBytes: 26) { r throws(WireError) in
            ClusterDisk(
                id: DiskID(try r.u128()), node: try r.node(), weight: try r.u32(),
                path: try r.string(atMost: Limits.text))
        }
        sessions = try r.list(atMost: Limits.sessions, elementBytes: 14) { r throws(WireError) in
            Session(id: try r.session(), node: try r.node(), lease: LeaseNumber(try r.u32()))
        }
        for (a, b) in zip(sessions, sessions.dropFirst()) where a.id >= b.id {
            throw WireError("sessions out of order")
        }
        lastSession = try r.session()
        filesets = try r.list(atMost: Limits.filesets, elementBytes: 25) { r throws(WireError) in
            let id = FilesetID(try r.u32())
            let name = try r.string(atMost: Limits.text)
            let layout = try r.layout()
            guard let state = Fileset.State(rawValue: try r.u8()) else { throw WireError("an unknown fileset state") }
            let junction = try r.optional { r throws(WireError) in
                let directory = try r.file()
                guard let name = FileName(try r.blob(atMost: FileName.maximumLength)) else {
                    throw WireError("a junction whose name is no file name")
                }
                return Junction(directory: directory, name: name.bytes)
            }
            var fileset = Fileset(id: id, name: name, layout: layout, state: state, junction: junction)
            fileset.rootMode = try r.u16()
            fileset.rootUID = try r.u32()
            fileset.rootGID = try r.u32()
            return fileset
        }
        lastFileset = FilesetID(try r.u32())
        exports = try r.list(atMost: Limits.exports, elementBytes: 34) { r throws(WireError) in
            let id = ExportID(try r.u32())
            let path = try r.string(atMost: Limits.text)
            let root = try r.file()
            let clients = try r.list(atMost: Limits.exportClients, elementBytes: 4) { r throws(WireError) in
                try r.string(atMost: Limits.text)
            }
            guard let squash = Squash(rawValue: try r.u8()) else { throw WireError("an unknown squash option") }
            let uid = try r.u32()
            let gid = try r.u32()
            guard let access = Export.Access(rawValue: try r.u8()) else { throw WireError("an unknown export access") }
            return Export(
                id: id, path: path, root: root, clients: clients, squash: squash, anonymousUID: uid, anonymousGID: gid,
                access: access, verifierBlind: try r.u8() != 0)
        }
        lastExport = ExportID(try r.u32())
        if format >= 2 {
            lossRaised = try r.optional { r throws(WireError) in Timestamp(nanoseconds: try r.i64()) }
        }
        if format >= 3 {
            let suspended = try r.list(atMost: Limits.nodes, elementBytes: 2) { r throws(WireError) in try r.node() }
            for i in nodes.indices where suspended.contains(nodes[i].id) { nodes[i].duty = .suspended }
        }
        if format >= 4 { try takeDraining(from: &r) }
    }
}

extension ClusterMap {
    /// What format 4 adds.
    fileprivate mutating func takeDraining(from r: inout WireReader) throws(WireError) {
        let drained = try r.list(atMost: Limits.nodes, elementBytes: 2) { r throws(WireError) in try r.node() }
        for i in nodes.indices where drained.contains(nodes[i].id) { nodes[i].duty = .draining }
        let emptied = try r.list(atMost: Limits.disks, elementBytes: 16) { r throws(WireError) in DiskID(try r.u128()) }
        for i in disks.indices where emptied.contains(disks[i].id) { disks[i].duty = .draining }
        let places = try r.list(atMost: Limits.disks, elementBytes: 32) { r throws(WireError) in
            (disk: DiskID(try r.u128()), place: DiskID(try r.u128()))
        }
        for i in disks.indices {
            if let found = places.first(where: { $0.disk == disks[i].id }) { disks[i].place = found.place }
        }
    }
}

extension PGRecord {
    public func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 256)
        w.u8(1)
        w.record(self)
        return w.bytes
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in
            let format = try r.u8()
            if format != 1 { throw WireError("a placement group record of format \(format); this program knows 1") }
            return try r.record()
        }
    }
}

/// Decodes `bytes` with `body` and demands that nothing is left over.
public func decodeWhole<T>(
    _ bytes: [UInt8], _ body: (inout WireReader) throws(WireError) -> T
) throws(WireError) -> T {
    var result: Result<T, WireError>?
    bytes.withUnsafeBytes { raw in
        do throws(WireError) {
            var reader = WireReader(raw)
            let value = try body(&reader)
            try reader.finish()
            result = .success(value)
        } catch {
            result = .failure(error)
        }
    }
    guard let result else { throw WireError("nothing to decode") }
    return try result.get()
}
