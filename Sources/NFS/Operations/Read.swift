import ClusterModel
import ONCRPC

/// READ (RFC 1813, section 3.3.6). The data goes from the file system's buffer to the socket without a copy. No
/// attributes come with it: the size and times at hand are a hint, and the client would take them for settled.
func readOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.RangeArguments(from: &reader)
    func refuse(_ status: NFS3.Status) { call.answer(NFS3.ReadResult.failed(status, NFS3.PostAttributes())) }
    switch call.resolve(arguments.file) {
    case .failure(let status): refuse(status)
    case .success(let target):
        // Beyond the greatest file it is the end of any file: no bytes and no error.
        let offset = min(arguments.offset, Geometry.maximumFileSize)
        let room = Geometry.maximumFileSize - offset
        let count = min(Int(arguments.count), Geometry.maximumTransfer, Int(clamping: room))
        call.expectAnswer(bytes: count)
        call.vfs.read(target.context, from: target.file, offset: offset, count: count) { result in
            switch result {
            case .success(let read):
                call.gateway.metrics.readBytes.increment(by: read.data.readableBytes)
                let endOfFile: Bool
                switch read.end {
                case .reached: endOfFile = true
                case .notReached: endOfFile = false
                }
                let head = NFS3.ReadHead(
                    attributes: nil, endOfFile: endOfFile, dataCount: UInt32(read.data.readableBytes))
                call.answer(NFS3.ReadResult.ok(head), data: read.data)
            case .failure(let failure): call.fail(failure, NFS3.ReadResult.self, NFS3.PostAttributes())
            }
        }
    }
}
