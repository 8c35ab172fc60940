import Gateway
import Glibc
import NIOCore

/// Finds the parts of a WRITE that are all zeros, so that they travel and are kept as holes.
enum ZeroScan {
    /// Runs aligned to 64 KiB in the file, adjacent ones joined.
    static func runs(in data: ByteBuffer, at offset: UInt64) -> [ZeroRun] {
        let unit = GatewayLimits.zeroRun
        let misaligned = Int(offset % UInt64(unit))
        let first = misaligned == 0 ? 0 : unit - misaligned
        guard data.readableBytes - first >= unit else { return [] }
        return data.withUnsafeReadableBytes { bytes in
            var runs: [ZeroRun] = []
            var position = first
            while position + unit <= bytes.count {
                if isZero(UnsafeRawBufferPointer(rebasing: bytes[position..<position + unit])) {
                    if let last = runs.last, last.offset + last.length == position {
                        runs[runs.count - 1].length += unit
                    } else {
                        runs.append(ZeroRun(offset: position, length: unit))
                    }
                }
                position += unit
            }
            return runs
        }
    }

    /// Most data differs in its first word; what does not is compared with itself, one byte on, at memcmp's speed.
    static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress, bytes.count >= 8 else { return bytes.allSatisfy { $0 == 0 } }
        if base.loadUnaligned(as: UInt64.self) != 0 { return false }
        if (base + bytes.count - 8).loadUnaligned(as: UInt64.self) != 0 { return false }
        return memcmp(base, base + 1, bytes.count - 1) == 0
    }
}
