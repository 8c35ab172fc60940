import ClusterModel
import DiskIO
import Store

/// A checkpoint's step on an I/O thread: takes blocks from the log to their slots, verified, neighbours in one write, and
/// waits until they have been written out, so that no sync of the data file meets them all at once (store.md, The way of a
/// write).
enum BlockCopier {
    /// Gives the indices of blocks that do not match their checksum; these are not copied.
    static func copy(_ copies: [BlockCopy], from sources: [DiskFile], to data: DiskFile) throws(DiskError) -> [Int] {
        let run = UnsafeMutableRawBufferPointer.allocate(byteCount: runBytes, alignment: 4096)
        defer { run.deallocate() }
        var bad: [Int] = []
        var filled = 0
        var start: UInt64 = 0
        func flush() throws(DiskError) {
            guard filled > 0 else { return }
            try data.write(UnsafeRawBufferPointer(rebasing: run[..<filled]), at: Int64(start))
            try data.startWriteback(Int64(start), length: Int64(filled))
            filled = 0
        }
        for (i, copy) in copies.enumerated() {
            if filled == run.count || copy.dataOffset != start + UInt64(filled) { try flush() }
            if filled == 0 { start = copy.dataOffset }
            let block = UnsafeMutableRawBufferPointer(rebasing: run[filled..<filled + Geometry.blockSize])
            try sources[i].readExactly(into: block, at: Int64(copy.offset))
            let checksum = CRC32C.hardware.block(copy.object, block: copy.block, bytes: UnsafeRawBufferPointer(block))
            if checksum == copy.checksum {
                filled += Geometry.blockSize
            } else {
                bad.append(i)
                try flush()
            }
        }
        try flush()
        // Wait for the writeback run by run: what lies between runs is not ours to wait for.
        var i = 0
        while i < copies.count {
            let from = copies[i].dataOffset
            var end = from + UInt64(Geometry.blockSize)
            i += 1
            while i < copies.count, copies[i].dataOffset == end {
                end += UInt64(Geometry.blockSize)
                i += 1
            }
            try data.finishWriteback(Int64(from), length: Int64(end - from))
        }
        return bad
    }

    /// One write's greatest length.
    private static let runBytes = 1 << 20
}
