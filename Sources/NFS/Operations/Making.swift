import ClusterModel
import ONCRPC
import Wire

extension NFSCall {
    /// What CREATE, MKDIR, SYMLINK and MKNOD have in common: a name, a kind, attributes, one answer.
    func make(_ file: NewFile, at place: NFS3.NameArguments, attributes set: NFS3.SetAttributes) {
        let nothing = NFS3.CacheData()
        let target: Target
        switch resolve(place.directory) {
        case .failure(let status): return answer(NFS3.CreateResult.failed(status, nothing))
        case .success(let resolved): target = resolved
        }
        // "." and ".." are there already.
        if place.name == FileName.dot || place.name == FileName.dotDot {
            return answer(NFS3.CreateResult.failed(.exists, nothing))
        }
        let name: FileName
        switch FileName.checked(place.name) {
        case .failure(let status): return answer(NFS3.CreateResult.failed(status, nothing))
        case .success(let checked): name = checked
        }
        guard let changes = AttributeChanges(set) else { return answer(NFS3.CreateResult.failed(.invalid, nothing)) }
        if let size = changes.size, size > Geometry.maximumFileSize {
            return answer(NFS3.CreateResult.failed(.tooBig, nothing))
        }
        vfs.create(target.context, in: target.file, name: name, file: file, attributes: changes) { result in
            switch result {
            case .failure(let failure): self.fail(failure, NFS3.CreateResult.self, nothing)
            case .success(let result):
                let directory = NFS3.CacheData(result.directory)
                if let failure = result.failure {
                    return self.answer(NFS3.CreateResult.failed(NFS3.Status(failure), directory))
                }
                let made = result.inode?.attributes
                if let made { self.connection.opened(made.file, name: name) }
                self.answer(
                    NFS3.CreateResult.ok(
                        NFS3.Created(
                            file: made.map { self.handle($0, from: target) },
                            attributes: made.map(NFS3.Attributes.init), directory: directory)))
            }
        }
    }

    /// An answer before anything was tried.
    func refuseToMake(_ status: NFS3.Status) { answer(NFS3.CreateResult.failed(status, NFS3.CacheData())) }
}
