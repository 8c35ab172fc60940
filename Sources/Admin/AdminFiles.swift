import ClusterModel
import Filesystem
import Foundation
import NIOCore
import Wire

/// Questions about files, through the same file system as NFS.
extension AdminService {
    var superuser: CallContext { CallContext(credentials: .superuser) }
    /// Bytes of one piece of data: base 64 of it and its frame stay below `Limits.adminBytes`.
    public static let pieceBytes = 512 << 10

    /// Walks down from the root of the tree; symbolic links are not followed.
    func resolve(_ path: ArraySlice<FileName>, done: @escaping Answer<Inode>) {
        filesystem.attributes(superuser, of: FileID(fileset: .root, inode: .root)) { [self] root in
            switch root {
            case .success(let inode): walk(inode, path, done)
            case .failure(let failure): done(.failure(Self.failure(failure, "/")))
            }
        }
    }

    private func walk(_ inode: Inode, _ rest: ArraySlice<FileName>, _ done: @escaping Answer<Inode>) {
        guard let name = rest.first else { return done(.success(inode)) }
        filesystem.lookup(superuser, directory: inode.attributes.file, name: name) { [self] found in
            switch found {
            case .success(let result): walk(result.inode, rest.dropFirst(), done)
            case .failure(let failure): done(.failure(Self.failure(failure, "\(name)")))
            }
        }
    }

    static func failure(_ failure: VFSFailure, _ what: String) -> AdminFailure {
        switch failure {
        case .namespace(let reason): AdminFailure(reason.kind, "\(what): \(reason.plainWords)")
        case .unavailable:
            AdminFailure(.unavailable, "\(what): the storage does not answer; `stave why` tells what waits")
        case .ioError: AdminFailure(.refused, "\(what): no replica has readable blocks")
        }
    }

    private static func made(_ result: Result<NamespaceResult, VFSFailure>, _ what: String) -> Result<
        Inode?, AdminFailure
    > {
        switch result {
        case .failure(let failure): .failure(Self.failure(failure, what))
        case .success(let result):
            if let reason = result.failure {
                .failure(AdminFailure(reason.kind, "\(what): \(reason.plainWords)"))
            } else {
                .success(result.inode)
            }
        }
    }

    private func inParent(
        _ path: [FileName], _ done: @escaping (Result<(FileID, FileName), AdminFailure>) -> Void
    ) throws(AdminFailure) {
        guard let name = path.last else { throw AdminFailure(.refused, "/ is the root of the tree") }
        resolve(path.dropLast()) { done($0.map { ($0.attributes.file, name) }) }
    }

    private func fileReport(_ name: String, _ inode: Inode, target: String? = nil) -> FileReport {
        let a = inode.attributes
        return FileReport(
            name: name, fileset: Int(a.file.fileset.rawValue), inode: a.file.inode.rawValue, kind: a.kind.name,
            mode: a.mode,
            links: a.linkCount, uid: a.uid, gid: a.gid, size: a.size, used: a.used, accessed: a.accessTime.nanoseconds,
            modified: a.modificationTime.nanoseconds, changed: a.changeTime.nanoseconds, target: target,
            stripeUnit: inode.hint?.layout.stripeUnit, stripeCount: inode.hint?.layout.stripeCount)
    }

    func look(_ arguments: AdminArguments, _ done: @escaping Answer<FileReport>) throws(AdminFailure) {
        let path = try arguments.path("path")
        resolve(path[...]) { [self] found in
            guard case .success(let inode) = found, inode.attributes.kind == .symbolicLink else {
                return done(found.map { fileReport(path.path, $0) })
            }
            filesystem.readSymbolicLink(superuser, of: inode.attributes.file) { [self] target in
                let text = (try? target.get()).map { String(decoding: $0.0, as: UTF8.self) }
                done(.success(fileReport(path.path, inode, target: text)))
            }
        }
    }

    func list(_ arguments: AdminArguments, _ done: @escaping Answer<ListReport>) throws(AdminFailure) {
        let path = try arguments.path("path")
        let cookie = try arguments.number("cookie", or: UInt64(0))
        resolve(path[...]) { [self] found in
            switch found {
            case .failure(let failure): done(.failure(failure))
            case .success(let inode) where inode.attributes.kind != .directory:
                done(.success(ListReport(entries: [fileReport(path.last?.description ?? "/", inode)], next: nil)))
            case .success(let inode):
                filesystem.list(
                    superuser, directory: inode.attributes.file, cookie: cookie, limit: 512, detail: .namesAndInodes
                ) { [self] listed in
                    switch listed {
                    case .failure(let failure): done(.failure(Self.failure(failure, path.path)))
                    case .success(let page):
                        done(.success(listReport(page, of: inode.attributes.file, first: cookie == 0)))
                    }
                }
            }
        }
    }

    /// The entries of a page; filesets that are joined here come with the first one.
    private func listReport(_ page: ListResult, of directory: FileID, first: Bool) -> ListReport {
        var entries = page.entries.compactMap { entry in entry.details.map { fileReport("\(entry.name)", $0) } }
        if first {
            for fileset in node.view.map.filesets
            where fileset.junction?.directory == directory && fileset.state == .live {
                let name = String(decoding: fileset.junction?.name ?? [], as: UTF8.self)
                if entries.contains(where: { $0.name == name }) { continue }
                entries.append(
                    FileReport(
                        name: name, fileset: Int(fileset.id.rawValue), inode: InodeNumber.root.rawValue, kind: "folder",
                        mode: fileset.rootMode, links: 2, uid: fileset.rootUID, gid: fileset.rootGID, size: 0, used: 0,
                        accessed: 0, modified: 0, changed: 0, target: nil, stripeUnit: nil, stripeCount: nil))
            }
        }
        return ListReport(entries: entries, next: page.end == .more ? page.entries.last?.cookie : nil)
    }

    private func file(_ arguments: AdminArguments) throws(AdminFailure) -> FileID {
        FileID(fileset: FilesetID(try arguments.number("fileset")), inode: InodeNumber(try arguments.number("inode")))
    }

    func read(_ arguments: AdminArguments, _ done: @escaping Answer<DataReport>) throws(AdminFailure) {
        let file = try file(arguments)
        let offset: UInt64 = try arguments.number("offset")
        let count = min(try arguments.number("count", or: Self.pieceBytes), Self.pieceBytes)
        guard count >= 0 else { throw AdminFailure(.invalid, "count is negative") }
        filesystem.read(superuser, from: file, offset: offset, count: count) { result in
            switch result {
            case .failure(let failure): done(.failure(Self.failure(failure, "\(file)")))
            case .success(let read):
                let text = Data(read.data.readableBytesView).base64EncodedString()
                done(.success(DataReport(data: text, isEnd: read.end == .reached)))
            }
        }
    }

    /// Makes a file, or empties the one that is there.
    func create(_ arguments: AdminArguments, _ done: @escaping Answer<FileHandleReport>) throws(AdminFailure) {
        let path = try arguments.path("path")
        let text = arguments.optional("mode") ?? "644"
        guard let mode = UInt16(text, radix: 8), mode <= 0o7777 else {
            throw AdminFailure(.invalid, "\"\(text)\" is no octal mode")
        }
        try inParent(path) { [self] parent in
            guard case .success(let (folder, name)) = parent else {
                return done(parent.map { _ in preconditionFailure("only failures come here") })
            }
            filesystem.create(
                superuser, in: folder, name: name, file: .regular(.unchecked),
                attributes: AttributeChanges(mode: mode, size: 0)
            ) { result in
                switch Self.made(result, path.path) {
                case .failure(let failure): done(.failure(failure))
                case .success(nil):
                    done(.failure(AdminFailure(.refused, "\(path.path): it was made and removed at once")))
                case .success(let inode?):
                    let file = inode.attributes.file
                    done(.success(FileHandleReport(fileset: file.fileset.rawValue, inode: file.inode.rawValue)))
                }
            }
        }
    }

    func write(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let file = try file(arguments)
        let offset: UInt64 = try arguments.number("offset")
        guard let data = Data(base64Encoded: try arguments.text("data")), data.count <= Self.pieceBytes, !data.isEmpty
        else {
            throw AdminFailure(.invalid, "data is not 1 … \(Self.pieceBytes) bytes in base 64")
        }
        write(file, offset, ByteBuffer(bytes: data), done)
    }

    /// A file system may take less than it is given.
    private func write(_ file: FileID, _ offset: UInt64, _ data: ByteBuffer, _ done: @escaping Answer<Done>) {
        filesystem.write(superuser, to: file, offset: offset, data: data, durability: .stable) { [self] result in
            switch result {
            case .failure(let failure): done(.failure(Self.failure(failure, "\(file)")))
            case .success(let written):
                var rest = data
                rest.moveReaderIndex(forwardBy: min(written.count, data.readableBytes))
                if rest.readableBytes == 0 { return done(.success(Done())) }
                if written.count == 0 { return done(.failure(AdminFailure(.refused, "\(file): nothing was written"))) }
                write(file, offset + UInt64(written.count), rest, done)
            }
        }
    }

    func makeFolder(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let path = try arguments.path("path")
        let text = arguments.optional("mode") ?? "755"
        guard let mode = UInt16(text, radix: 8), mode <= 0o7777 else {
            throw AdminFailure(.invalid, "\"\(text)\" is no octal mode")
        }
        try inParent(path) { [self] parent in
            guard case .success(let (folder, name)) = parent else {
                return done(parent.map { _ in preconditionFailure("only failures come here") })
            }
            filesystem.create(
                superuser, in: folder, name: name, file: .directory, attributes: AttributeChanges(mode: mode)
            ) { result in done(Self.made(result, path.path).map { _ in Done() }) }
        }
    }

    /// Removes a file, or an empty folder.
    func remove(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let path = try arguments.path("path")
        try inParent(path) { [self] parent in
            guard case .success(let (folder, name)) = parent else {
                return done(parent.map { _ in preconditionFailure("only failures come here") })
            }
            filesystem.lookup(superuser, directory: folder, name: name) { [self] found in
                let removed: (Result<NamespaceResult, VFSFailure>) -> Void = {
                    done(Self.made($0, path.path).map { _ in Done() })
                }
                switch found {
                case .failure(let failure): done(.failure(Self.failure(failure, path.path)))
                case .success(let found) where found.inode.attributes.kind == .directory:
                    filesystem.removeDirectory(superuser, in: folder, name: name, done: removed)
                case .success: filesystem.remove(superuser, in: folder, name: name, done: removed)
                }
            }
        }
    }
}
