import CSupport
import ClusterModel
import DiskIO
import NIOCore
import Store
import Transport

/// Executes one store's effects on its files and threads, in order, and reports how each ended. Lives on the disk's loop.
///
/// The log is written on the loop itself, one write per cycle; syncs, slot writes, cold reads and rows go to threads.
final class DiskExecutor {
    private let disk: OpenDisk
    private let loop: any EventLoop
    private let home: CompletionHome
    private let payloads: PayloadTable
    private let syncThread: SyncThread
    private let ioThread: DiskThread
    private let indexLine: JobLine
    private let index: ThreadBound<IndexRows>
    private let indexLog: DiskFile
    private var segments: [SegmentNumber: DiskFile]
    private let segmentFiles: LogSegments
    /// Set before the first effect.
    var completed: (StoreCompletion) -> Void = { _ in }
    /// The log batch is put together here: most batches are a few KiB, and one copy is cheaper than a long vector.
    private let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: DiskExecutor.stagingSize, alignment: 4096)
    private static let stagingSize = 1 << 20
    private(set) var metrics = DiskMetrics()
    private let allocator = ByteBufferAllocator()

    init(
        disk: OpenDisk, loop: any EventLoop, home: CompletionHome, payloads: PayloadTable, threads: DiskThreads,
        index: ThreadBound<IndexRows>, indexLog: DiskFile, segmentFiles: LogSegments,
        segments: [SegmentNumber: DiskFile]
    ) {
        self.disk = disk
        self.loop = loop
        self.home = home
        self.payloads = payloads
        syncThread = threads.sync
        ioThread = threads.io
        indexLine = JobLine(thread: threads.index, home: home, loop: loop)
        self.index = index
        self.indexLog = indexLog
        self.segmentFiles = segmentFiles
        self.segments = segments
    }

    deinit { staging.deallocate() }

    /// Runs one effect; `.notify` is not for this.
    func run(_ effect: StoreEffect) {
        switch effect {
        case .writeLog(let id, let write): writeLog(id, write)
        case .syncLog(let id, let numbers): syncLog(id, numbers)
        case .syncData(let id):
            metrics.dataSyncs += 1
            request(disk.data) { .dataSynced(id) }
        case .prepareSegment(let id, let number, let source): prepareSegment(id, number, source)
        case .removeSegment(let id, let number): removeSegment(id, number)
        case .writeSlots(let id, let payload, let writes): writeSlots(id, payload, writes)
        case .growData(let id, let slots): growData(id, slots)
        case .copyBlocks(let id, let copies): copyBlocks(id, copies)
        case .readLog(let id, let number, let offset, let length): readLog(id, number, offset, length)
        case .checkBlocks(let id, let checks): checkBlocks(id, checks)
        case .loadRows(let id, let keys):
            onIndex { rows throws(DiskError) in .rowsLoaded(id, try IndexAdapter.load(keys, from: rows)) }
        case .scanRows(let id, let scan):
            onIndex { rows throws(DiskError) in .rowsScanned(id, try IndexAdapter.scan(scan, in: rows)) }
        case .commitRows(let id, let writes):
            metrics.rowWrites += UInt64(writes.count)
            onIndex { rows throws(DiskError) in
                try rows.apply(writes.flatMap(IndexAdapter.changes))
                return .rowsCommitted(id)
            }
        case .syncRows(let id): syncRows(id)
        case .dropPayload(let handle): payloads.drop(handle)
        case .notify: preconditionFailure("notices are the caller's")
        }
    }

    // MARK: - Log

    private func file(_ number: SegmentNumber) -> DiskFile {
        guard let file = segments[number] else {
            preconditionFailure("the store named \(number), which was never prepared")
        }
        return file
    }

    private func writeLog(_ id: EffectID, _ write: LogWrite) {
        let file = file(write.segment)
        var position = Int64(write.offset)
        var filled = 0
        func flush() throws(DiskError) {
            guard filled > 0 else { return }
            try file.write(UnsafeRawBufferPointer(rebasing: staging[..<filled]), at: position)
            position += Int64(filled)
            filled = 0
        }
        func put(_ bytes: UnsafeRawBufferPointer) throws(DiskError) {
            var rest = bytes
            while !rest.isEmpty {
                if filled == staging.count { try flush() }
                let count = min(rest.count, staging.count - filled)
                UnsafeMutableRawBufferPointer(rebasing: staging[filled..<filled + count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
                filled += count
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
        let start = cs_boot_time_ns()
        do throws(DiskError) {
            for piece in write.pieces {
                switch piece {
                case .bytes(let bytes): try bytes.withBytes(put)
                case .payload(let handle, let offset, let length):
                    guard let payload = payloads.payload(of: handle) else {
                        preconditionFailure("the store wrote payload \(handle.id) after it had dropped it")
                    }
                    try payload.withBytes(offset..<offset + length) { (parts) throws(DiskError) in
                        for part in parts { try put(part) }
                    }
                case .zeros(let count):
                    var left = count
                    while left > 0 {
                        if filled == staging.count { try flush() }
                        let some = min(left, staging.count - filled)
                        UnsafeMutableRawBufferPointer(rebasing: staging[filled..<filled + some])
                            .initializeMemory(as: UInt8.self, repeating: 0)
                        filled += some
                        left -= some
                    }
                }
            }
            try flush()
        } catch {
            return completed(.failed("\(error)"))
        }
        metrics.logWrites += 1
        metrics.logBytes += UInt64(write.length)
        let took = cs_boot_time_ns() - start
        metrics.logWriteNanoseconds += UInt64(took)
        LayerTimers.logWrite.recordNanoseconds(took)
        completed(.logWritten(id))
    }

    private func syncLog(_ id: EffectID, _ numbers: [SegmentNumber]) {
        metrics.logSyncs += 1
        let start = cs_boot_time_ns()
        var left = numbers.count
        for number in numbers {
            request(file(number)) { [unowned self] in
                left -= 1
                if left > 0 { return nil }
                let took = cs_boot_time_ns() - start
                metrics.logSyncNanoseconds += UInt64(took)
                LayerTimers.logSync.recordNanoseconds(took)
                return .logSynced(id)
            }
        }
    }

    private func prepareSegment(_ id: EffectID, _ number: SegmentNumber, _ source: SegmentSource) {
        let files = segmentFiles
        let owner = LoopBound(self, loop: loop)
        submit(
            ioThread,
            work: { () throws(DiskError) -> DiskFile? in
                switch source {
                case .new:
                    do throws(DiskError) {
                        return try files.create(LogSegmentNumber(number.rawValue))
                    } catch {
                        if error.isNoSpace { return nil }
                        throw error
                    }
                case .recycled(let old):
                    return try files.recycle(LogSegmentNumber(old.rawValue), as: LogSegmentNumber(number.rawValue))
                }
            },
            completion: { file in
                let executor = owner.value
                guard let file else {
                    // Whatever else fills the file system may leave it again; until then what needs the log waits.
                    executor.loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak executor] in
                        executor?.prepareSegment(id, number, source)
                    }
                    return nil
                }
                if case .recycled(let old) = source { executor.segments[old] = nil }
                executor.segments[number] = file
                return .segmentPrepared(id)
            })
    }

    private func removeSegment(_ id: EffectID, _ number: SegmentNumber) {
        let files = segmentFiles
        let owner = LoopBound(self, loop: loop)
        submit(
            ioThread,
            work: { () throws(DiskError) in try files.remove(LogSegmentNumber(number.rawValue)) },
            completion: {
                owner.value.segments[number] = nil
                return .segmentRemoved(id)
            })
    }

    private func readLog(_ id: EffectID, _ number: SegmentNumber, _ offset: Int, _ length: Int) {
        let file = file(number)
        submit(
            ioThread,
            work: { () throws(DiskError) -> [UInt8] in
                var bytes = [UInt8](repeating: 0, count: length)
                try bytes.withMutableBytes { (raw) throws(DiskError) in
                    try file.readExactly(into: raw, at: Int64(offset))
                }
                return bytes
            }, completion: { .logRead(id, $0) })
    }

    // MARK: - Data file

    private func writeSlots(_ id: EffectID, _ handle: PayloadHandle, _ writes: [SlotWrite]) {
        guard let payload = payloads.payload(of: handle) else {
            preconditionFailure("the store wrote slots of payload \(handle.id) after it had dropped it")
        }
        let file = disk.data
        let length = writes.reduce(0) { $0 + $1.length }
        metrics.slotBytes += UInt64(length)
        submit(
            ioThread,
            work: { () throws(DiskError) in
                for write in writes {
                    let range = write.payloadOffset..<write.payloadOffset + write.length
                    try payload.withBytes(range) { (parts) throws(DiskError) in
                        try file.write(parts, at: Int64(write.dataOffset))
                    }
                    // Large data goes out soon, so that a later sync does not meet seconds of it. (Begun for the whole file every
                    // 64 MiB it cost 7.6 instead of 2.8 ms of CPU a MiB.)
                    try file.startWriteback(Int64(write.dataOffset), length: Int64(write.length))
                }
            }, completion: { .slotsWritten(id) })
    }

    private func growData(_ id: EffectID, _ slots: Int) {
        let file = disk.data
        submit(
            ioThread,
            work: { () throws(DiskError) -> Store.Growth in
                do throws(DiskError) {
                    try file.allocate(0, length: Int64(slots) * Int64(Geometry.slotSize))
                    return .grown
                } catch {
                    if error.isNoSpace { return .noSpace }
                    throw error
                }
            }, completion: { .dataGrown(id, $0) })
    }

    /// The file system's free bytes, of the `total` that the disk may use.
    func askFreeBytes(of total: UInt64, found: @escaping (UInt64) -> Void) {
        let folder = disk.folder
        let data = disk.data
        let log = UInt64(segments.count) * UInt64(DiskLimits.logSegmentBytes)
        submit(
            ioThread,
            work: { () throws(DiskError) -> UInt64 in
                let used = UInt64(try data.size()) + log
                return min(try folder.space().free, total > used ? total - used : 0)
            },
            completion: {
                found($0)
                return nil
            })
    }

    private func copyBlocks(_ id: EffectID, _ copies: [BlockCopy]) {
        let data = disk.data
        let sources = copies.map { file($0.segment) }
        metrics.copiedBlocks += UInt64(copies.count)
        submit(
            ioThread,
            work: { () throws(DiskError) in try BlockCopier.copy(copies, from: sources, to: data) },
            completion: { .copied(id, bad: $0) })
    }

    private func checkBlocks(_ id: EffectID, _ checks: [BlockCheck]) {
        let data = disk.data
        submit(
            ioThread,
            work: { () throws(DiskError) -> [Int] in
                let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Geometry.blockSize, alignment: 4096)
                defer { bytes.deallocate() }
                var mismatches: [Int] = []
                for (i, check) in checks.enumerated() {
                    // Beyond the end of the file is what was lost with power.
                    let got = try data.read(into: bytes, at: Int64(check.dataOffset))
                    let checksum = CRC32C.hardware.block(
                        check.object, block: check.block, bytes: UnsafeRawBufferPointer(bytes))
                    if got != Geometry.blockSize || checksum != check.checksum { mismatches.append(i) }
                }
                return mismatches
            }, completion: { .blocksChecked(id, mismatches: $0) })
    }

    // MARK: - Reads

    /// Where the blocks of a plan lie; zero and absent pieces have no file.
    func reader(for plan: ReadPlan, held: HeldBlocks = HeldBlocks()) -> BlockReader {
        if held.isEmpty { return BlockReader(object: plan.object, pieces: plan.pieces.map { place($0, nil) }) }
        return BlockReader(
            object: plan.object, pieces: plan.pieces.flatMap { held.split($0).map { place($0.piece, $0.held) } })
    }

    private func place(_ piece: ReadPiece, _ held: ByteBuffer?) -> BlockReader.Piece {
        let place: (file: DiskFile?, offset: Int64) =
            switch piece.source {
            case .log(let segment, let offset): (file(segment), Int64(offset))
            case .data(let offset): (disk.data, Int64(offset))
            case .zero, .absent: (nil, 0)
            case .payload: preconditionFailure("plans of applied content name no payload")
            }
        return BlockReader.Piece(
            file: place.file, offset: place.offset, first: piece.blocks.first, count: piece.blocks.count,
            checksums: piece.checksums, held: held)
    }

    /// Reads every piece by itself, on the I/O thread; nil for one that does not match. Nothing if the thread takes no work.
    func readEach(_ reader: BlockReader, done: @escaping ([ByteBuffer?]) -> Void) {
        let allocator = allocator
        let owner = LoopBound(done, loop: loop)
        let admission = ioThread.submit(to: home) {
            let found = reader.readEach(allocator: allocator)
            return { owner.value(found) }
        }
        if admission != .accepted { done(reader.pieces.map { _ in nil }) }
    }

    /// Reads from the page cache at once, or on the I/O thread; never answers `.wouldBlock`.
    func read(_ reader: BlockReader, done: @escaping (BlockReader.Outcome) -> Void) {
        let outcome = reader.readNow(allocator: allocator)
        if case .read(let bytes) = outcome { metrics.readBytes += UInt64(bytes.readableBytes) }
        guard case .wouldBlock = outcome else {
            metrics.readsFromCache += 1
            return done(outcome)
        }
        metrics.readsFromDisk += 1
        let allocator = allocator
        let owner = LoopBound(done, loop: loop)
        let start = cs_boot_time_ns()
        // The store's own work always finds room beside reads.
        let admission = ioThread.submit(to: home, atMost: StorageLimits.queuedReads) {
            let outcome = reader.read(allocator: allocator)
            LayerTimers.diskRead.recordNanoseconds(cs_boot_time_ns() - start)
            return { owner.value(outcome) }
        }
        // A full queue is a disk that is far behind.
        if admission != .accepted { done(.notRead) }
    }

    /// The bytes of an entry's payload; nil if they cannot be read or do not match. For recovery, on the I/O thread.
    func read(_ location: EntryLocation, done: @escaping (ByteBuffer?) -> Void) {
        let reading = PayloadReading(
            object: location.entry.body.object, firstBlock: location.entry.body.firstBlock,
            pieces: location.pieces.map { piece in
                switch piece.source {
                case .log(let segment, let offset): (file(segment), Int64(offset), piece.length, piece.checksums)
                case .data(let offset): (disk.data, Int64(offset), piece.length, piece.checksums)
                case .zero, .absent, .payload: preconditionFailure("a recovered entry's payload lies in a file")
                }
            })
        let owner = LoopBound(done, loop: loop)
        let admission = ioThread.submit(to: home) {
            let bytes = reading.read()
            return { owner.value(bytes) }
        }
        if admission != .accepted { done(nil) }
    }

    // MARK: - Rows

    private func syncRows(_ id: EffectID) {
        // Behind the transactions: their frames are in the -wal file when the sync begins.
        let file = indexLog
        let owner = LoopBound(self, loop: loop)
        onIndex(
            work: { () throws(DiskError) in },
            completion: { _ in
                owner.value.request(file) { .rowsSynced(id) }
                return nil
            })
    }

    private func onIndex(_ work: @escaping @Sendable (IndexRows) throws(DiskError) -> sending StoreCompletion) {
        let index = index
        onIndex(
            work: { () throws(DiskError) -> Boxed<StoreCompletion> in
                guard let rows = index.value else {
                    throw DiskError(.database, path: IndexRows.fileName, .diskFailed)
                }
                let done = Boxed(try work(rows))
                if rows.database.walBytes > StorageLimits.indexLogBytes { _ = try rows.database.passiveCheckpoint() }
                return done
            }, completion: { $0.value })
    }

    // MARK: - Threads

    private func request(_ file: DiskFile, _ completion: @escaping () -> StoreCompletion?) {
        let owner = LoopBound((self, completion), loop: loop)
        let admission = syncThread.request(file, home: home) { result in
            let (executor, completion) = owner.value
            switch result {
            case .success: if let done = completion() { executor.completed(done) }
            case .failure(let error): executor.completed(.failed("\(error)"))
            }
        }
        check(admission)
    }

    private func onIndex<Value: Sendable>(
        work: @escaping @Sendable () throws(DiskError) -> Value, completion: @escaping (Value) -> StoreCompletion?
    ) {
        let admission = indexLine.submit(work: work) { [self] result in
            switch result {
            case .success(let value): if let done = completion(value) { completed(done) }
            case .failure(let error): completed(.failed("\(error)"))
            }
        }
        check(admission)
    }

    private func submit<Value: Sendable>(
        _ thread: DiskThread, work: @escaping @Sendable () throws(DiskError) -> Value,
        completion: @escaping (Value) -> StoreCompletion?
    ) {
        let owner = LoopBound((self, completion), loop: loop)
        let admission = thread.submit(to: home, work: work) { result in
            let (executor, completion) = owner.value
            switch result {
            case .success(let value): if let done = completion(value) { executor.completed(done) }
            case .failure(let error): executor.completed(.failed("\(error)"))
            }
        }
        check(admission)
    }

    /// The store bounds what it has under way far below the threads' queues; a queue that is full all the same is a defect
    /// that must not be waited for on the loop.
    private func check(_ admission: Admission) {
        switch admission {
        case .accepted: break
        case .full: completed(.failed("a disk thread's queue is full"))
        case .stopped: break
        }
    }
}
