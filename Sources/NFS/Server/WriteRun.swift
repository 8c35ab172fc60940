import ClusterModel
import Filesystem
import NIOCore
import ONCRPC

/// WRITEs of one connection that arrived in one read cycle and touch: one write of the file system, an answer for each.
/// Some clients cut a guest's scatter list into such pieces (namespace.md, The NFS door).
///
/// Invariants:
/// - all parts have the same file, identity and durability, and each begins where the one before it ends;
/// - a run is handed over before any other call of its connection is, and at the end of the read cycle, so nothing waits
///   for bytes that may never come;
/// - each part keeps its own answer: if the write was cut short, those beyond the cut are told so.
struct WriteRun {
    /// One WRITE.
    struct Part {
        let call: NFSCall
        let target: NFSCall.Target
        let offset: UInt64
        let data: ByteBuffer
        let durability: Durability
        let history: VerifierHistory.Key?
    }

    private(set) var parts: [Part]
    private var bytes: Int

    init(_ part: Part) {
        parts = [part]
        bytes = part.data.readableBytes
    }

    /// Takes a part that continues the run; false when it does not, or is not small.
    mutating func take(_ part: Part) -> Bool {
        let count = part.data.readableBytes
        guard let first = parts.first, part.offset == first.offset + UInt64(bytes), count > 0, bytes > 0,
            count <= NFSLimits.mergedPartBytes, bytes + count <= Geometry.maximumTransfer,
            part.target.file == first.target.file, part.durability == first.durability,
            part.target.context.credentials == first.target.context.credentials
        else { return false }
        parts.append(part)
        bytes += count
        return true
    }

    /// Whether a run can grow from a part of this size at all.
    static func canBegin(with part: Part) -> Bool { part.data.readableBytes <= NFSLimits.mergedPartBytes }

    /// Hands the run to the file system.
    func submit() {
        guard let first = parts.first else { return }
        var data = first.data
        if parts.count > 1 {
            data = first.call.gateway.allocator.buffer(capacity: bytes)
            for part in parts { data.writeImmutableBuffer(part.data) }
            first.call.gateway.metrics.mergedWrites.increment(by: parts.count - 1)
        }
        let parts = self.parts
        first.call.vfs.write(
            first.target.context, to: first.target.file, offset: first.offset, data: data, durability: first.durability
        ) { result in
            var rest: Int
            switch result {
            case .success(let written): rest = written.count
            case .failure: rest = 0
            }
            for part in parts {
                let count = min(part.data.readableBytes, rest)
                rest -= count
                part.answer(result, count: count)
            }
        }
    }
}

extension WriteRun.Part {
    fileprivate func answer(_ result: Result<WriteResult, VFSFailure>, count: Int) {
        let nothing = NFS3.CacheData()
        switch result {
        case .failure(let failure): call.fail(failure, NFS3.WriteResult.self, nothing)
        case .success(let written):
            // Nothing of a part that was not empty can be written only because what came before it was cut short.
            if count == 0 && data.readableBytes > 0 {
                return call.answer(NFS3.WriteResult.failed(.io, nothing))
            }
            call.gateway.metrics.writtenBytes.increment(by: count)
            let committed: NFS3.Stability
            switch durability {
            case .unstable:
                committed = .unstable
                if let history { call.gateway.history.wrote(history, stamp: written.stamp) }
            case .stable: committed = .fileSync
            }
            call.answer(
                NFS3.WriteResult.ok(
                    NFS3.Written(
                        cache: nothing, count: UInt32(count), committed: committed,
                        verifier: NFS3.Verifier(written.stamp.rawValue))))
        }
    }
}
