import ClusterModel
import Filesystem
import ONCRPC
import Wire

/// LOOKUP (RFC 1813, section 3.3.3).
func lookupOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.NameArguments(from: &reader)
    func refuse(_ status: NFS3.Status) { call.answer(NFS3.LookupResult.failed(status, NFS3.PostAttributes())) }
    let target: NFSCall.Target
    switch call.resolve(arguments.directory) {
    case .failure(let status): return refuse(status)
    case .success(let resolved): target = resolved
    }
    func found(_ inode: FileAttributes, _ directory: FileAttributes?, name: FileName?) {
        call.connection.opened(inode.file, name: name)
        call.answer(
            NFS3.LookupResult.ok(
                NFS3.Found(
                    file: call.handle(inode, from: target), attributes: NFS3.Attributes(inode),
                    directory: directory.map(NFS3.Attributes.init))))
    }
    switch arguments.name {
    case FileName.dot:
        call.vfs.attributes(target.context, of: target.file) { result in
            switch result {
            case .success(let inode) where inode.attributes.kind != .directory: refuse(.notDirectory)
            case .success(let inode): found(inode.attributes, inode.attributes, name: nil)
            case .failure(let failure): call.fail(failure, NFS3.LookupResult.self, NFS3.PostAttributes())
            }
        }
    case FileName.dotDot:
        call.findParent(of: target) { result in
            switch result {
            case .success(let parent): found(parent.inode.attributes, parent.directory, name: nil)
            case .failure(let failure): call.fail(failure, NFS3.LookupResult.self, NFS3.PostAttributes())
            }
        }
    default:
        switch FileName.checked(arguments.name) {
        case .failure(let status): refuse(status)
        case .success(let name):
            call.vfs.lookup(target.context, directory: target.file, name: name) { result in
                switch result {
                case .success(let result): found(result.inode.attributes, result.directory, name: name)
                case .failure(let failure): call.fail(failure, NFS3.LookupResult.self, NFS3.PostAttributes())
                }
            }
        }
    }
}
