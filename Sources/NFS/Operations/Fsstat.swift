import ONCRPC

/// FSSTAT (RFC 1813, section 3.3.18).
func fsstatOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let handle = try NFS3.HandleArguments(from: &reader)
    switch call.resolve(handle) {
    case .failure(let status): call.answer(NFS3.FsstatResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        // The usage is the fileset's; whether the file itself is still there only its attributes tell.
        call.vfs.attributes(target.context, of: target.file) { result in
            switch result {
            case .failure(let failure): call.fail(failure, NFS3.FsstatResult.self, NFS3.PostAttributes())
            case .success(let inode): answerUsage(call, target, NFS3.Attributes(inode.attributes))
            }
        }
    }
}

private func answerUsage(_ call: NFSCall, _ target: NFSCall.Target, _ attributes: NFS3.Attributes) {
    call.vfs.usage(target.context, of: target.file) { result in
        switch result {
        case .failure(let failure): call.fail(failure, NFS3.FsstatResult.self, NFS3.PostAttributes(attributes))
        case .success(let usage):
            call.answer(
                NFS3.FsstatResult.ok(
                    NFS3.FileSystemUsage(
                        attributes: attributes, totalBytes: usage.totalBytes, freeBytes: usage.freeBytes,
                        availableBytes: usage.availableBytes, totalFiles: usage.totalInodes,
                        freeFiles: usage.freeInodes, availableFiles: usage.freeInodes, invariantSeconds: 0)))
        }
    }
}
