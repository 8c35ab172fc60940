import ClusterModel

/// A file behind a page cache. Fault model: what was not synced is lost, kept or torn at a loss of power, each sector of
/// 512 bytes by itself, in any order; the cache may write any sector out at any time. kill -9 loses nothing of the cache.
public final class FakeFile {
    private static let page = 4096
    private static let sector = 512
    /// Both have `length` bytes, whole pages; what lies beyond reads as zeros. Raw memory, for debug builds.
    private var cache = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 8)
    private var durable = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 8)
    private var length = 0
    /// A byte for each page; bit i: sector i differs, or may.
    private var dirty: [UInt8] = []
    private var dirtyPages: [Int] = []
    private static let zeros = [UInt8](repeating: 0, count: 1 << 18)

    /// An empty file.
    public init() {}

    deinit {
        cache.deallocate()
        durable.deallocate()
    }

    private static func clear(_ memory: UnsafeMutableRawPointer, _ from: Int, _ to: Int) {
        zeros.withUnsafeBytes { raw in
            guard let source = raw.baseAddress else { return }
            var at = from
            while at < to {
                let count = min(to - at, raw.count)
                (memory + at).copyMemory(from: source, byteCount: count)
                at += count
            }
        }
    }

    private func grow(to wanted: Int) {
        guard wanted > length else { return }
        let least = max(wanted, length + min(length, 1 << 20))
        let pages = (least + FakeFile.page - 1) / FakeFile.page
        let bytes = pages * FakeFile.page
        for file in [\FakeFile.cache, \FakeFile.durable] {
            let new = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 8)
            let old = self[keyPath: file]
            new.copyMemory(from: old, byteCount: length)
            old.deallocate()
            FakeFile.clear(new, length, bytes)
            self[keyPath: file] = new
        }
        length = bytes
        while dirty.count < pages { dirty.append(0) }
    }

    /// Writes bytes at an offset, into the page cache.
    public func write(_ bytes: [UInt8], at offset: Int) { bytes.withUnsafeBytes { write($0, at: offset) } }

    /// Writes bytes at an offset, into the page cache.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard !bytes.isEmpty, let source = bytes.baseAddress else { return }
        grow(to: offset + bytes.count)
        (cache + offset).copyMemory(from: source, byteCount: bytes.count)
        var sector = offset / FakeFile.sector
        let last = (offset + bytes.count - 1) / FakeFile.sector
        while sector <= last {
            let page = sector >> 3
            if dirty[page] == 0 { dirtyPages.append(page) }
            if sector & 7 == 0, sector + 7 <= last {
                dirty[page] = 0xff
                sector += 8
            } else {
                dirty[page] |= 1 << UInt8(sector & 7)
                sector += 1
            }
        }
    }

    /// What a process reads; zeros beyond the end.
    public func read(at offset: Int, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { out, filled in
            filled = count
            guard let target = out.baseAddress, count > 0 else { return }
            let raw = UnsafeMutableRawPointer(target)
            let there = max(0, min(count, length - offset))
            if there > 0 { raw.copyMemory(from: cache + offset, byteCount: there) }
            if there < count { FakeFile.clear(raw, there, count) }
        }
    }

    private func copySectors(_ page: Int, _ mask: UInt8) {
        for s in 0..<8 where mask >> UInt8(s) & 1 == 1 {
            let at = page * FakeFile.page + s * FakeFile.sector
            (durable + at).copyMemory(from: cache + at, byteCount: FakeFile.sector)
        }
    }

    /// fdatasync: everything written so far survives a loss of power.
    public func sync() {
        for page in dirtyPages {
            let at = page * FakeFile.page
            (durable + at).copyMemory(from: cache + at, byteCount: FakeFile.page)
            dirty[page] = 0
        }
        dirtyPages.removeAll(keepingCapacity: true)
    }

    /// The kernel writes some sectors out of its own accord.
    public func writeBack(_ random: inout SplitMix64) {
        let count = dirtyPages.count
        guard count > 0 else { return }
        for _ in 0..<min(4, count) {
            let page = dirtyPages[random.below(count)]
            copySectors(page, dirty[page] & UInt8(truncatingIfNeeded: random.next()))
        }
    }

    /// The machine loses power: of what was not synced, anything may be left.
    public func losePower(_ random: inout SplitMix64) {
        for page in dirtyPages {
            switch random.below(3) {
            case 0: break
            case 1: copySectors(page, dirty[page])
            default: copySectors(page, dirty[page] & UInt8(truncatingIfNeeded: random.next()))
            }
            let at = page * FakeFile.page
            (cache + at).copyMemory(from: durable + at, byteCount: FakeFile.page)
            dirty[page] = 0
        }
        dirtyPages.removeAll(keepingCapacity: true)
    }

    /// One byte rots, in the cache and on the medium.
    public func flip(at offset: Int) {
        guard offset < length else { return }
        for memory in [cache, durable] {
            memory.storeBytes(
                of: memory.load(fromByteOffset: offset, as: UInt8.self) ^ 0x5A, toByteOffset: offset, as: UInt8.self)
        }
    }

    /// Whether the page of this byte is on the medium as it is in the cache.
    public func isSynced(at offset: Int) -> Bool {
        offset < length && dirty[offset / FakeFile.page] == 0
    }

    /// These bytes are there instead, in the cache and on the medium.
    public func rot(at offset: Int, _ bytes: [UInt8]) {
        guard offset + bytes.count <= length else { return }
        for memory in [cache, durable] {
            for (i, byte) in bytes.enumerated() {
                memory.storeBytes(of: byte, toByteOffset: offset + i, as: UInt8.self)
            }
        }
    }

    /// A range rots wholly.
    public func scramble(from offset: Int, count: Int, _ random: inout SplitMix64) {
        for at in offset..<min(offset + count, max(offset, length)) {
            let byte = UInt8(truncatingIfNeeded: random.next())
            for memory in [cache, durable] { memory.storeBytes(of: byte, toByteOffset: at, as: UInt8.self) }
        }
    }
}
