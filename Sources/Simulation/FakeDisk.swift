import ClusterModel
import Store
import Wire

/// Everything of a disk that outlives its process, and what its threads do with it.
public final class FakeDisk {
    /// As in its superblock.
    public let id: DiskID
    /// The log.
    public var segments: [SegmentNumber: FakeFile] = [:]
    /// The data file's bytes.
    public let data = FakeFile()
    /// Its allocated length, in slots.
    public var dataSlots = 0
    /// The index.
    public let rows = FakeRows()
    /// Whether reads are verified: always, but in a test of the tests.
    var verifiesReads = true
    /// Bytes that the file system has in all.
    public var capacityBytes = FakeDisk.capacity
    /// Of a disk that is not full.
    public static let capacity: UInt64 = 1 << 30
    /// What blocks and records are checked with.
    public let crc: CRC32C

    /// An empty disk.
    public init(id: DiskID, crc: CRC32C) {
        self.id = id
        self.crc = crc
    }

    /// Bytes that the file system has left.
    public var freeBytes: UInt64 {
        let used = UInt64(dataSlots * Geometry.slotSize)
        return capacityBytes > used ? capacityBytes - used : 0
    }
    /// The log's segments, ascending.
    public var segmentNumbers: [SegmentNumber] { segments.keys.sorted() }

    /// What a store has to know when it is opened.
    public func facts(boot: BootID, content: DiskFacts.Content = .kept) -> DiskFacts {
        DiskFacts(
            disk: id, boot: boot, segments: segmentNumbers, dataSlots: dataSlots, freeBytes: freeBytes,
            totalBytes: capacityBytes, content: content)
    }

    /// The machine loses power.
    public func losePower(_ random: inout SplitMix64) {
        for n in segmentNumbers { segments[n]?.losePower(&random) }
        data.losePower(&random)
        rows.losePower(&random)
    }
    /// The kernel writes the logs out of its own accord, as they are.
    public func writeLogsOut() {
        for n in segmentNumbers { segments[n]?.sync() }
    }

    /// The kernel writes something out of its own accord.
    public func writeBack(_ random: inout SplitMix64) {
        data.writeBack(&random)
        for n in segmentNumbers { segments[n]?.writeBack(&random) }
    }

    // MARK: Effects

    /// The bytes that a log write puts into the file, in whole.
    public func gather(_ write: LogWrite, payload: (PayloadHandle) -> [UInt8]) -> [UInt8] {
        precondition(write.length % 4096 == 0 && write.offset % 4096 == 0, "log writes are whole blocks")
        return [UInt8](unsafeUninitializedCapacity: write.length) { out, filled in
            let raw = UnsafeMutableRawBufferPointer(out)
            func put(_ bytes: [UInt8], _ from: Int, _ count: Int) {
                precondition(filled + count <= write.length, "a log write is as long as it says")
                bytes.withUnsafeBytes { source in
                    UnsafeMutableRawBufferPointer(rebasing: raw[filled..<filled + count])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + count]))
                }
                filled += count
            }
            for piece in write.pieces {
                switch piece {
                case .bytes(let b): put(b, 0, b.count)
                case .payload(let handle, let offset, let length): put(payload(handle), offset, length)
                case .zeros(let n): put(FakeDisk.zeros, 0, n)
                }
            }
            precondition(filled == write.length, "a log write is as long as it says")
        }
    }
    private static let zeros = [UInt8](repeating: 0, count: Geometry.blockSize)

    /// Does what an effect says. Nil for those that are not for the disk. `payload`: bytes that the store has not dropped.
    public func perform(_ effect: StoreEffect, payload: (PayloadHandle) -> [UInt8]) -> StoreCompletion? {
        switch effect {
        case .writeLog(let id, let write):
            segments[write.segment]?.write(gather(write, payload: payload), at: write.offset)
            return .logWritten(id)
        case .syncLog(let id, let numbers):
            for s in numbers { segments[s]?.sync() }
            return .logSynced(id)
        case .syncData(let id):
            data.sync()
            return .dataSynced(id)
        case .prepareSegment(let id, let number, let source):
            switch source {
            case .new: segments[number] = FakeFile()
            case .recycled(let old): segments[number] = segments.removeValue(forKey: old)
            }
            return .segmentPrepared(id)
        case .removeSegment(let id, let number):
            segments[number] = nil
            return .segmentRemoved(id)
        case .writeSlots(let id, let handle, let writes):
            let bytes = payload(handle)
            for w in writes {
                precondition(
                    Int(w.dataOffset) + w.length <= dataSlots * Geometry.slotSize, "slots lie within the data file")
                bytes.withUnsafeBytes {
                    data.write(
                        UnsafeRawBufferPointer(rebasing: $0[w.payloadOffset..<w.payloadOffset + w.length]),
                        at: Int(w.dataOffset))
                }
            }
            return .slotsWritten(id)
        case .growData(let id, let slots):
            let more = UInt64((slots - dataSlots) * Geometry.slotSize)
            if more > freeBytes { return .dataGrown(id, .noSpace) }
            dataSlots = slots
            return .dataGrown(id, .grown)
        case .copyBlocks(let id, let copies): return .copied(id, bad: copy(copies))
        case .readLog(let id, let segment, let offset, let length):
            return .logRead(id, segments[segment]?.read(at: offset, count: length) ?? [])
        case .checkBlocks(let id, let checks):
            var bad: [Int] = []
            for (i, c) in checks.enumerated() {
                let bytes = data.read(at: Int(c.dataOffset), count: Geometry.blockSize)
                if checksum(bytes, c.object, c.block) != c.checksum { bad.append(i) }
            }
            return .blocksChecked(id, mismatches: bad)
        case .loadRows(let id, let keys): return .rowsLoaded(id, keys.map { rows.load($0) })
        case .scanRows(let id, let scan): return .rowsScanned(id, rows.scan(scan))
        case .commitRows(let id, let writes):
            rows.commit(writes)
            return .rowsCommitted(id)
        case .syncRows(let id):
            rows.sync()
            return .rowsSynced(id)
        case .dropPayload, .notify: return nil
        }
    }

    private func checksum(_ bytes: [UInt8], _ object: ObjectID, _ block: Int) -> UInt32 {
        bytes.withUnsafeBytes { crc.block(object, block: block, bytes: $0) }
    }

    private func copy(_ copies: [BlockCopy]) -> [Int] {
        var bad: [Int] = []
        for (i, c) in copies.enumerated() {
            let bytes = segments[c.segment]?.read(at: c.offset, count: Geometry.blockSize) ?? []
            if checksum(bytes, c.object, c.block) == c.checksum {
                precondition(
                    Int(c.dataOffset) + Geometry.blockSize <= dataSlots * Geometry.slotSize,
                    "slots lie within the data file")
                data.write(bytes, at: Int(c.dataOffset))
            } else {
                bad.append(i)
            }
        }
        return bad
    }

    // MARK: Reads

    /// The blocks of one piece of a plan, verified.
    public func read(_ piece: ReadPiece, of object: ObjectID, payload: (PayloadHandle) -> [UInt8]) -> PieceBytes {
        let count = piece.blocks.byteCount
        let bytes: [UInt8]
        switch piece.source {
        case .absent, .zero: return .bytes([UInt8](repeating: 0, count: count))
        case .log(let segment, let offset): bytes = segments[segment]?.read(at: offset, count: count) ?? []
        case .data(let offset): bytes = data.read(at: Int(offset), count: count)
        case .payload(let handle, let offset): bytes = Array(payload(handle)[offset..<offset + count])
        }
        guard bytes.count == count else { return .mismatch(block: piece.blocks.first) }
        for i in 0..<piece.blocks.count {
            let sum = bytes.withUnsafeBytes {
                crc.block(
                    object, block: piece.blocks.first + i,
                    bytes: UnsafeRawBufferPointer(rebasing: $0[i * Geometry.blockSize..<(i + 1) * Geometry.blockSize]))
            }
            if sum != piece.checksums[i], verifiesReads { return .mismatch(block: piece.blocks.first + i) }
        }
        return .bytes(bytes)
    }

    /// What a piece holds.
    public enum PieceBytes {
        case bytes([UInt8])
        /// The first block whose bytes do not match.
        case mismatch(block: Int)
    }
}
