import Filesystem
import ONCRPC
import Wire

extension NFSCall {
    /// What REMOVE and RMDIR have in common: a name and one answer.
    func takeOut(
        _ place: NFS3.NameArguments,
        by act: (CallContext, Target, FileName, @escaping (Result<NamespaceResult, VFSFailure>) -> Void) -> Void
    ) {
        let nothing = NFS3.CacheData()
        let target: Target
        switch resolve(place.directory) {
        case .failure(let status): return answer(NFS3.CacheResult.failed(status, nothing))
        case .success(let resolved): target = resolved
        }
        // RFC 1813, section 3.3.13: "." is INVAL, ".." is EXIST.
        if place.name == FileName.dotDot { return answer(NFS3.CacheResult.failed(.exists, nothing)) }
        let name: FileName
        switch FileName.checked(place.name) {
        case .failure(let status): return answer(NFS3.CacheResult.failed(status, nothing))
        case .success(let checked): name = checked
        }
        act(target.context, target, name) { result in
            switch result {
            case .failure(let failure): self.fail(failure, NFS3.CacheResult.self, nothing)
            case .success(let result):
                let cache = NFS3.CacheData(result.directory)
                if let failure = result.failure {
                    self.answer(NFS3.CacheResult.failed(NFS3.Status(failure), cache))
                } else {
                    self.answer(NFS3.CacheResult.ok(cache))
                }
            }
        }
    }
}
