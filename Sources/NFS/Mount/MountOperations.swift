import ClusterModel
import Filesystem
import ONCRPC
import Wire

/// MNT (RFC 1813, section 5.2.1): an export's root or any directory below it. The walk has the server's own rights, as
/// every mount daemon's: the client's users are checked at each access that follows.
func mountOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let path = try Mount.Path(from: &reader).bytes
    guard let (entry, below) = call.gateway.exports.locate(path) else {
        return call.answer(Mount.Result.failed(.noEntry))
    }
    guard entry.admits(call.caller.address) else {
        call.gateway.complain(
            about: call.caller.address, "\(entry.export.path) may not be mounted from here (its list of clients)")
        return call.answer(Mount.Result.failed(.access))
    }
    var names: [FileName] = []
    for bytes in below {
        guard let name = FileName(bytes) else {
            let status: Mount.Status = bytes.count > FileName.maximumLength ? .nameTooLong : .invalid
            return call.answer(Mount.Result.failed(status))
        }
        names.append(name)
    }
    call.walk(from: entry.export.root, names[...]) { result in
        switch result {
        case .failure(let failure):
            if let status = Mount.Status(failure) {
                call.answer(Mount.Result.failed(status))
            } else {
                call.abandon()
            }
        case .success(let attributes) where attributes.kind != .directory:
            call.answer(Mount.Result.failed(.notDirectory))
        case .success(let attributes):
            call.gateway.mounts.mounted(Mount.Mounted(host: "\(call.caller.address)", path: path))
            let handle = call.gateway.codec.handle(
                HandleContent(export: entry.export.id, file: attributes.file, generation: attributes.generation))
            call.answer(Mount.Result.ok(handle, flavors: [1]))
        }
    }
}

/// DUMP (RFC 1813, section 5.2.2).
func dumpOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    call.answer(XDRList(call.gateway.mounts.entries))
}

/// UMNT (RFC 1813, section 5.2.3).
func unmountOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let path = try Mount.Path(from: &reader).bytes
    call.gateway.mounts.unmounted(Mount.Mounted(host: "\(call.caller.address)", path: path))
    call.answer(NFS3.Nothing())
}

/// UMNTALL (RFC 1813, section 5.2.4).
func unmountAllOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    call.gateway.mounts.unmountedAll(by: "\(call.caller.address)")
    call.answer(NFS3.Nothing())
}

/// EXPORT (RFC 1813, section 5.2.5).
func exportOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    call.answer(
        XDRList(
            call.gateway.exports.entries.map {
                Mount.Export(path: Array($0.export.path.utf8), groups: $0.export.clients)
            }))
}

extension NFSCall {
    fileprivate func walk(
        from file: FileID, _ names: ArraySlice<FileName>, done: @escaping (Result<FileAttributes, VFSFailure>) -> Void
    ) {
        let context = superuser
        guard let name = names.first else {
            return vfs.attributes(context, of: file) { done($0.map(\.attributes)) }
        }
        vfs.lookup(context, directory: file, name: name) { result in
            switch result {
            case .failure(let failure): done(.failure(failure))
            case .success(let found):
                self.walk(from: found.inode.attributes.file, names.dropFirst(), done: done)
            }
        }
    }
}
