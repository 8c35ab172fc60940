import ClusterModel
import ONCRPC
import Wire

/// ACCESS (RFC 1813, section 3.3.4). The bits of the wire are those of the file system.
func accessOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.AccessArguments(from: &reader)
    switch call.resolve(arguments.file) {
    case .failure(let status): call.answer(NFS3.AccessResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        var asked = AccessRights(rawValue: arguments.access.rawValue & 0x3f)
        switch target.export.access {
        case .readWrite: break
        case .readOnly: asked.subtract([.modify, .extend, .delete])
        }
        call.vfs.access(target.context, to: target.file, rights: asked) { result in
            switch result {
            case .success(let (granted, attributes)):
                call.answer(
                    NFS3.AccessResult.ok(
                        NFS3.Granted(
                            attributes: NFS3.Attributes(attributes),
                            access: NFS3.AccessBits(rawValue: granted.rawValue & asked.rawValue))))
            case .failure(let failure): call.fail(failure, NFS3.AccessResult.self, NFS3.PostAttributes())
            }
        }
    }
}
