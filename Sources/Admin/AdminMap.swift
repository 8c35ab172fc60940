import ClusterModel
import Storage
import Wire

/// Questions that change the map: filesets and exports.
extension AdminService {
    func createFileset(_ arguments: AdminArguments, _ done: @escaping Answer<FilesetReport>) throws(AdminFailure) {
        let name = try arguments.text("name")
        guard (1...255).contains(name.utf8.count), FileName(name) != nil else {
            throw AdminFailure(.invalid, "\"\(name)\" is no name of a fileset")
        }
        let path = try arguments.path("path")
        guard let last = path.last else {
            throw AdminFailure(.invalid, "a fileset is joined below the root, e.g. at /\(name)")
        }
        let unit = try arguments.number("stripe-unit", or: 1 << 20)
        let count = try arguments.number("stripe-count", or: 4)
        guard let layout = Layout(stripeUnit: unit, stripeCount: count) else {
            throw AdminFailure(.invalid, "stripe units are powers of two from 64 KiB to 4 MiB, stripe counts 1 … 64")
        }
        let modeText = arguments.optional("mode") ?? "755"
        guard let mode = UInt16(modeText, radix: 8), mode <= 0o7777 else {
            throw AdminFailure(.invalid, "\"\(modeText)\" is no octal mode")
        }
        let uid = try arguments.number("uid", or: UInt32(0))
        let gid = try arguments.number("gid", or: UInt32(0))
        resolve(path.dropLast()) { [self] parent in
            guard case .success(let parent) = parent else {
                return done(parent.map { _ in preconditionFailure("only failures come here") })
            }
            guard parent.attributes.kind == .directory else {
                return done(.failure(AdminFailure(.refused, "\([FileName](path.dropLast()).path) is not a folder")))
            }
            filesystem.lookup(superuser, directory: parent.attributes.file, name: last) { [self] found in
                if case .success = found {
                    return done(.failure(AdminFailure(.refused, "\(path.path) exists already")))
                }
                addFileset(
                    name, Junction(directory: parent.attributes.file, name: last.bytes), layout, (mode, uid, gid), done)
            }
        }
    }

    private func addFileset(
        _ name: String, _ junction: Junction, _ layout: Layout, _ root: (mode: UInt16, uid: UInt32, gid: UInt32),
        _ done: @escaping Answer<FilesetReport>
    ) {
        var refusal: AdminFailure?
        var made: Fileset?
        node.changeMap(
            { [firstRecord] map in
                refusal = nil
                made = nil
                if map.filesets.contains(where: { $0.name == name }) {
                    refusal = AdminFailure(.refused, "there is a fileset \(name) already")
                } else if map.filesets.contains(where: { $0.junction == junction }) {
                    refusal = AdminFailure(.refused, "another fileset is joined there")
                } else if map.filesets.count >= Limits.filesets {
                    refusal = AdminFailure(.refused, "there are \(map.filesets.count) filesets, the most there can be")
                }
                if refusal != nil { return nil }
                var map = map
                map.lastFileset = FilesetID(map.lastFileset.rawValue + 1)
                var fileset = Fileset(id: map.lastFileset, name: name, layout: layout, state: .live, junction: junction)
                fileset.rootMode = root.mode
                fileset.rootUID = root.uid
                fileset.rootGID = root.gid
                map.filesets.append(fileset)
                made = fileset
                return (map, [firstRecord(.metadata(fileset.id), map)])
            },
            done: { [self] result in
                if let refusal { return done(.failure(refusal)) }
                switch changed(result, { _ in made }) {
                case .failure(let failure): done(.failure(failure))
                case .success(let fileset): awaitRoot(fileset, attempts: 200, done)
                }
            })
    }

    /// Answers when the new fileset's group has made its root folder; before that, its files are stale.
    private func awaitRoot(_ fileset: Fileset, attempts: Int, _ done: @escaping Answer<FilesetReport>) {
        filesystem.attributes(superuser, of: FileID(fileset: fileset.id, inode: .root)) { [self] result in
            if case .success = result { return done(.success(filesetReport(fileset))) }
            guard attempts > 0 else {
                return done(
                    .failure(
                        AdminFailure(
                            .unavailable, "the fileset \(fileset.name) is in the map, but its group does not serve yet")
                    ))
            }
            node.loop.assumeIsolated().scheduleTask(in: .milliseconds(50)) {
                self.awaitRoot(fileset, attempts: attempts - 1, done)
            }
        }
    }

    func deleteFileset(_ arguments: AdminArguments, _ done: @escaping Answer<FilesetReport>) throws(AdminFailure) {
        let name = try arguments.text("name")
        var refusal: AdminFailure?
        node.changeMap(
            { map in
                refusal = nil
                guard let index = map.filesets.firstIndex(where: { $0.name == name }) else {
                    refusal = AdminFailure(.notFound, "there is no fileset \(name)")
                    return nil
                }
                let fileset = map.filesets[index]
                if let reason = Self.obstacle(to: fileset, map) {
                    refusal = AdminFailure(.refused, reason)
                    return nil
                }
                if fileset.state == .deleting { return nil }
                var map = map
                map.filesets[index].state = .deleting
                return (map, [])
            },
            done: { [self] result in
                if let refusal { return done(.failure(refusal)) }
                switch changed(result, { map in map.filesets.first { $0.name == name } }) {
                case .failure(let failure): done(.failure(failure))
                case .success(let fileset): removeFolder(of: fileset, done)
                }
            })
    }

    /// The empty folder that stands for the fileset in its parent's listings goes with it.
    private func removeFolder(of fileset: Fileset, _ done: @escaping Answer<FilesetReport>) {
        guard let junction = fileset.junction, let name = FileName(junction.name) else {
            return done(.success(filesetReport(fileset)))
        }
        filesystem.removeDirectory(superuser, in: junction.directory, name: name) { [self] result in
            switch result {
            case .success(let result) where result.failure == nil || result.failure == .notFound:
                done(.success(filesetReport(fileset)))
            case .success(let result):
                done(
                    .failure(
                        AdminFailure(
                            .refused,
                            "the fileset \(fileset.name) is being deleted, but its folder \(name) stays: "
                                + (result.failure?.plainWords ?? ""))))
            case .failure(let failure): done(.failure(Self.failure(failure, "\(name)")))
            }
        }
    }

    /// Why a fileset cannot be deleted; nil if it can.
    static func obstacle(to fileset: Fileset, _ map: ClusterMap) -> String? {
        if fileset.id == .root { return "the root fileset holds the tree together and stays" }
        if let export = map.exports.first(where: { $0.root.fileset == fileset.id }) {
            return "the export \(export.path) shows it; delete the export first"
        }
        if let child = map.filesets.first(where: { $0.junction?.directory.fileset == fileset.id }) {
            return "the fileset \(child.name) is joined into it; delete that first"
        }
        return nil
    }

    /// Puts the newest metadata semantics in force; that they are so already is no fault.
    func upgrade(_ done: @escaping Answer<Done>) {
        change(
            { [node] map throws(ClusterMap.Refusal) in try map.upgraded(ready: node.speakers(of: .ofNewestSemantics)) },
            done)
    }

    /// Suspends or drains a node, or has it do all again; that it is so already is no fault.
    func setDuty(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let id = NodeID(try arguments.number("node", UInt16.self))
        let text = try arguments.text("duty")
        guard let duty = ClusterNode.Duty(name: text) else {
            throw AdminFailure(.invalid, "a node's duty is full, suspended or draining, not \"\(text)\"")
        }
        guard node.view.map.node(id) != nil else { throw AdminFailure(.notFound, "there is no node \(id.rawValue)") }
        change({ map throws(ClusterMap.Refusal) in try map.changing(id, to: duty) }) { [self] result in
            if case .success = result { node.noteDuty(of: id, duty) }
            done(result)
        }
    }

    func createExport(_ arguments: AdminArguments, _ done: @escaping Answer<ExportReport>) throws(AdminFailure) {
        let path = try arguments.path("path").path
        let folder = try arguments.optional("folder") == nil ? arguments.path("path") : arguments.path("folder")
        let clients = try arguments.text("clients").split(separator: ",").map(String.init)
        guard !clients.isEmpty, clients.count <= Limits.exportClients else {
            throw AdminFailure(.invalid, "an export lists 1 … \(Limits.exportClients) clients, e.g. 10.1.0.0/16")
        }
        for client in clients where !Self.isNetwork(client) {
            throw AdminFailure(.invalid, "\"\(client)\" is no IPv4 address or network such as 10.1.0.0/16")
        }
        let squashName = arguments.optional("squash") ?? "root"
        guard let squash = Squash(name: squashName) else {
            throw AdminFailure(.invalid, "squash is none, root or all, not \"\(squashName)\"")
        }
        let accessName = arguments.optional("access") ?? "read-write"
        guard let access = Export.Access(name: accessName) else {
            throw AdminFailure(.invalid, "access is read-only or read-write, not \"\(accessName)\"")
        }
        let uid = try arguments.number("anonymous-uid", or: UInt32(65534))
        let gid = try arguments.number("anonymous-gid", or: UInt32(65534))
        resolve(folder[...]) { [self] found in
            guard case .success(let inode) = found else {
                return done(found.map { _ in preconditionFailure("only failures come here") })
            }
            guard inode.attributes.kind == .directory else {
                return done(.failure(AdminFailure(.refused, "\(folder.path) is not a folder")))
            }
            var refusal: AdminFailure?
            node.changeMap(
                { map in
                    refusal = nil
                    if map.exports.contains(where: { $0.path == path }) {
                        refusal = AdminFailure(.refused, "there is an export \(path) already")
                    } else if map.exports.count >= Limits.exports {
                        refusal = AdminFailure(
                            .refused, "there are \(map.exports.count) exports, the most there can be")
                    }
                    if refusal != nil { return nil }
                    var map = map
                    map.lastExport = ExportID(map.lastExport.rawValue + 1)
                    map.exports.append(
                        Export(
                            id: map.lastExport, path: path, root: inode.attributes.file, clients: clients,
                            squash: squash,
                            anonymousUID: uid, anonymousGID: gid, access: access))
                    return (map, [])
                },
                done: { [self] result in
                    if let refusal { return done(.failure(refusal)) }
                    done(changed(result) { [self] map in map.exports.first { $0.path == path }.map(exportReport) })
                })
        }
    }

    func deleteExport(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let path = try arguments.path("path").path
        var refusal: AdminFailure?
        node.changeMap(
            { map in
                refusal = nil
                guard map.exports.contains(where: { $0.path == path }) else {
                    refusal = AdminFailure(.notFound, "there is no export \(path)")
                    return nil
                }
                var map = map
                map.exports.removeAll { $0.path == path }
                return (map, [])
            },
            done: { [self] result in
                if let refusal { return done(.failure(refusal)) }
                done(changed(result) { _ in Done() })
            })
    }

    private func changed<T>(
        _ result: Result<ClusterMap, StorageFailure>, _ value: (ClusterMap) -> T?
    ) -> Result<T, AdminFailure> {
        switch result {
        case .failure(let failure): return .failure(AdminFailure(.unavailable, failure.description))
        case .success(let map):
            guard let value = value(map) else {
                return .failure(AdminFailure(.refused, "another change of the map was faster; look again"))
            }
            return .success(value)
        }
    }

    /// "a.b.c.d" or "a.b.c.d/n".
    static func isNetwork(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return false }
        let bytes = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        guard bytes.count == 4, bytes.allSatisfy({ UInt8($0) != nil && $0.first != "+" }) else { return false }
        if parts.count == 1 { return true }
        return UInt8(parts[1]).map { $0 <= 32 } ?? false
    }
}
