import ClusterModel
import NIOCore
import Store
import Wire

/// One read of a byte range of an object: plan, blocks, verification, and the cut that a truncation makes which the object
/// has not seen yet.
final class ObjectRead {
    private let host: DiskHost
    private let pg: PGID
    private let range: ObjectRange
    private let truncation: TruncationMark
    private let done: (Result<DiskHost.Found, StoreFailure>) -> Void
    private let reading: MendingRead
    private var attempts = 0

    init(
        host: DiskHost, pg: PGID, range: ObjectRange, truncation: TruncationMark,
        done: @escaping (Result<DiskHost.Found, StoreFailure>) -> Void
    ) {
        self.host = host
        self.pg = pg
        self.range = range
        self.truncation = truncation
        self.done = done
        reading = MendingRead(host: host, pg: pg, object: range.object)
    }

    func start() {
        attempts += 1
        if let failure = host.failure { return done(.failure(StoreFailure(failure))) }
        if attempts > StorageLimits.readAttempts {
            return done(
                .failure(StoreFailure("blocks of \(range.object) moved \(attempts) times while they were read")))
        }
        var cut: Int?
        if truncation.number > .zero {
            guard let number = host.truncationNumber(pg, range.object, again: { self.start() }) else { return }
            if number < truncation.number { cut = host.cutLength(range.object, truncation) }
        }
        guard let plan = host.plan(pg, range.object, range.blocks, again: { self.start() }) else { return }
        if plan.pieces.allSatisfy({ $0.source == .absent || $0.source == .zero }) {
            host.finished(plan)
            var zeros = ByteBufferAllocator().buffer(capacity: range.length)
            zeros.writeRepeatingByte(0, count: range.length)
            return done(.success((zeros, plan.presence)))
        }
        reading.read(plan) { outcome in self.took(outcome, plan, cut) }
    }

    private func took(_ outcome: MendingRead.Outcome, _ plan: ReadPlan, _ cut: Int?) {
        switch outcome {
        case .read(let whole):
            let skip = range.offset - range.blocks.first * Geometry.blockSize
            guard var bytes = whole.getSlice(at: whole.readerIndex + skip, length: range.length) else {
                return done(.failure(StoreFailure("a read of \(range.object) gave too few bytes")))
            }
            if let cut, cut < range.offset + range.length {
                let kept = max(cut - range.offset, 0)
                bytes.moveWriterIndex(to: bytes.readerIndex + kept)
                bytes.writeRepeatingByte(0, count: range.length - kept)
            }
            done(.success((bytes, plan.presence)))
        case .notRead: done(.failure(StoreFailure("the disk of \(range.object) takes no more reads", isOverload: true)))
        case .again: start()
        case .mended:
            attempts -= 1
            start()
        case .lost(let block):
            done(.failure(StoreFailure("block \(block) of \(range.object) is not whole on any replica")))
        }
    }
}
