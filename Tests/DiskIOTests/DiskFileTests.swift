import DiskIO
import Glibc
import Testing

@Suite struct DiskFileTests {
    @Test("nothing is created by opening, and nothing is overwritten by creating")
    func existence() throws {
        let disk = try TestDisk()
        #expect(failure { () throws(DiskError) in try disk.folder.open("data") }?.isMissing == true)
        #expect(try disk.folder.names().isEmpty)
        _ = try disk.folder.open("data", .new)
        #expect(failure { () throws(DiskError) in try disk.folder.open("data", .new) }?.isPresent == true)
        let absent = failure { () throws(DiskError) in
            try DiskFolder(path: disk.folder.path + "/no", health: disk.health)
        }
        #expect(absent?.isMissing == true)
    }

    @Test("names cannot lead out of the folder", arguments: ["", ".", "..", "a/b", "../x", "/etc/passwd"])
    func names(_ name: String) throws {
        let disk = try TestDisk()
        #expect(failure { () throws(DiskError) in try disk.folder.open(name, .new) } != nil)
    }

    @Test("an error says the operation, the path and the kernel's reason")
    func errorText() throws {
        let disk = try TestDisk()
        let error = failure { () throws(DiskError) in try disk.folder.open("data") }
        #expect(error?.description == "open \(disk.folder.path)/data: No such file or directory (errno 2)")
    }

    @Test("parts written at once come back in order, more than one vector's worth too", arguments: [1, 3, 1024, 2500])
    func vectors(_ count: Int) throws {
        let disk = try TestDisk()
        let file = try disk.folder.open("data", .new)
        var random = Generator(seed: UInt64(count))
        let bytes = random.bytes(count * 3)
        try bytes.withUnsafeBytes { raw in
            let parts = (0..<count).map { UnsafeRawBufferPointer(rebasing: raw[$0 * 3..<$0 * 3 + 3]) }
            try file.write(parts, at: 100)
        }
        #expect(try file.bytes(100..<Int64(100 + count * 3)) == bytes)
        #expect(try file.size() == Int64(100 + count * 3))
    }

    @Test("a read past the end is short, and readExactly refuses it")
    func shortRead() throws {
        let disk = try TestDisk()
        let file = try disk.folder.open("data", .new)
        try file.write([1, 2, 3], at: 0)
        #expect(try file.bytes(1..<10) == [2, 3])
        var buffer = [UInt8](repeating: 0, count: 9)
        let error = failure { () throws(DiskError) in
            var error: DiskError?
            buffer.withUnsafeMutableBytes { raw in
                error = failure { () throws(DiskError) in try file.readExactly(into: raw, at: 1) }
            }
            if let error { throw error }
        }
        #expect(error?.cause == .endOfFile(wanted: 9, got: 2))
    }

    @Test("readNow gives what was just written, and waits for nothing that is not in the page cache")
    func readNow() throws {
        let disk = try TestDisk()
        let file = try disk.folder.open("data", .new)
        var random = Generator(seed: 3)
        let bytes = random.bytes(1 << 20)
        try file.write(bytes, at: 0)
        var buffer = [UInt8](repeating: 0, count: 65536)
        let warm = try buffer.withUnsafeMutableBytes { try file.readNow(into: $0, at: 4096) }
        if warm == .bytes(65536) {
            #expect(buffer == Array(bytes[4096..<4096 + 65536]))
        } else {
            #expect(warm == .wouldBlock)  // a file system without RWF_NOWAIT
        }
        #expect(try buffer.withUnsafeMutableBytes { try file.readNow(into: $0, at: 1 << 20) } != .bytes(65536))
        try file.sync()
        #expect(try file.bytes(0..<1 << 20) == bytes)
        var status = stat()
        // No device below (tmpfs): nothing can be evicted.
        guard stat(file.path, &status) == 0, status.st_dev >> 8 != 0 else { return }
        let descriptor = open(file.path, O_RDONLY)
        defer { close(descriptor) }
        // No readahead; but readNow itself starts one, which may be done before its second look.
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
        var first = [UInt8](repeating: 0, count: 4096)
        var blocked = 0
        for _ in 0..<1000 where blocked == 0 {
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
            #expect(pread(descriptor, &first, first.count, 0) == first.count)
            let part = try buffer.withUnsafeMutableBytes { try file.readNow(into: $0, at: 0) }
            #expect(part == .wouldBlock || part == .bytes(65536), "the first page alone is not an answer")
            if part == .wouldBlock { blocked += 1 }
        }
        #expect(blocked == 1)
        #expect(try file.bytes(0..<1 << 20) == bytes)
    }

    @Test("allocated space counts, a punched hole gives it back and reads as zeros")
    func space() throws {
        let disk = try TestDisk()
        let file = try disk.folder.open("data", .new)
        try file.allocate(0, length: 1 << 20)
        #expect(try file.size() == 1 << 20)
        #expect(try file.allocatedBytes() >= 1 << 20)
        try file.write([UInt8](repeating: 9, count: 65536), at: 65536)
        try file.finishWriteback(65536, length: 65536)
        try file.punchHole(65536, length: 65536)
        #expect(try file.allocatedBytes() < 1 << 20)
        #expect(try file.bytes(65536..<65536 + 100) == [UInt8](repeating: 0, count: 100))
        try file.reserve(1 << 20, length: 1 << 20)
        #expect(try file.size() == 1 << 20)
    }

    @Test("a failed sync ends the disk: the next one is not even tried, on any of its files")
    func failedSync() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "log", calls: 2...2, effect: .fail(errno: EIO))])
        let log = try disk.folder.open("log", .new)
        let data = try disk.folder.open("data", .new)
        try log.sync()
        #expect(failure { () throws(DiskError) in try log.sync() }?.cause == .system(EIO))
        #expect(failure { () throws(DiskError) in try log.sync() }?.cause == .diskFailed)
        #expect(failure { () throws(DiskError) in try data.sync() }?.cause == .diskFailed)
        #expect(failure { () throws(DiskError) in try data.size() }?.cause == .diskFailed)
        #expect(failure { () throws(DiskError) in try disk.folder.open("data") }?.cause == .diskFailed)
        #expect(disk.failures.all.map(\.cause) == [.system(EIO)])
        disk.health.fail(DiskError(.write, path: "later", .stuck))
        #expect(disk.health.failure?.path == log.path)
        #expect(disk.failures.count == 1)
    }

    @Test("a failed write ends the disk")
    func failedWrite() throws {
        let disk = try TestDisk([.init(.write, calls: 1...1, effect: .fail(errno: EIO))])
        let file = try disk.folder.open("data", .new)
        #expect(throws: DiskError(.write, path: file.path, .system(EIO))) { try file.write([1], at: 0) }
        #expect(disk.health.hasFailed)
    }

    @Test("a failed read of a range is an error there and nowhere else, and the disk goes on")
    func failedRead() throws {
        let disk = try TestDisk([.init(.read, namePrefix: "data", bytes: 4096..<8192, effect: .fail(errno: EIO))])
        let file = try disk.folder.open("data", .new)
        try file.write([UInt8](repeating: 5, count: 16384), at: 0)
        #expect(throws: DiskError(.read, path: file.path, .system(EIO))) { try file.bytes(0..<8192) }
        #expect(throws: DiskError(.read, path: file.path, .system(EIO))) { try file.bytes(8191..<8192) }
        #expect(try file.bytes(0..<4096).count == 4096)
        #expect(try file.bytes(8192..<16384).count == 8192)
        #expect(!disk.health.hasFailed)
    }

    @Test("a disk folder is locked for one holder, and free when that one is gone")
    func folderLock() throws {
        let disk = try TestDisk()
        try disk.folder.lock()
        let second = try DiskFolder(path: disk.folder.path, health: disk.health)
        #expect(failure { () throws(DiskError) in try second.lock() }?.isLocked == true)
        do {
            let third = try TestDisk()
            let holder = try DiskFolder(path: third.folder.path, health: third.health)
            try holder.lock()
            #expect(failure { () throws(DiskError) in try third.folder.lock() }?.isLocked == true)
        }
        let fourth = try TestDisk()
        do { try DiskFolder(path: fourth.folder.path, health: fourth.health).lock() }
        try fourth.folder.lock()
    }

    @Test("a direct file takes aligned memory past the page cache")
    func direct() throws {
        let disk = try TestDisk()
        _ = try disk.folder.open("data", .new)
        let file = try disk.folder.open("data", .existing, .direct)
        let pool = BufferPool(capacity: 2)
        let region = try #require(pool.take())
        defer { region.release() }
        for index in 0..<8192 { region.bytes[index] = UInt8(truncatingIfNeeded: index / 100) }
        try file.write(UnsafeRawBufferPointer(rebasing: region.bytes[0..<8192]), at: 4096)
        #expect(try disk.folder.open("data").bytes(4096..<12288) == Array(region.bytes[0..<8192]))
        let second = try #require(pool.take())
        defer { second.release() }
        try file.readExactly(into: UnsafeMutableRawBufferPointer(rebasing: second.bytes[0..<8192]), at: 4096)
        #expect(second.bytes[0..<8192].elementsEqual(region.bytes[0..<8192]))
    }

    @Test("a replaced file has the new bytes, survives leftovers of an interrupted replacement, and is bounded")
    func replace() throws {
        let disk = try TestDisk()
        try disk.folder.replaceFile("state", with: [1, 2])
        _ = try disk.folder.open("state.tmp", .new)
        try disk.folder.replaceFile("state", with: [3])
        #expect(try disk.folder.readFile("state") == [3])
        #expect(try disk.folder.names() == ["state"])
        let huge = [UInt8](repeating: 0, count: DiskLimits.smallFile + 1)
        #expect(failure { () throws(DiskError) in try disk.folder.replaceFile("state", with: huge) } != nil)
    }

    @Test("a replacement that fails before its rename leaves the old bytes")
    func replaceFails() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "state.tmp", calls: 2...2, effect: .fail(errno: EIO))])
        try disk.folder.replaceFile("state", with: [1])
        #expect(failure { () throws(DiskError) in try disk.folder.replaceFile("state", with: [2]) } != nil)
        let fresh = DiskHealth { _ in }
        #expect(try DiskFolder(path: disk.folder.path, health: fresh).readFile("state") == [1])
    }

    @Test("a file counts as replaced, a segment as made or recycled, a database as open only once its folder is synced")
    func folderSync() throws {
        func fresh(_ body: (DiskFolder) throws -> Void) throws {
            let disk = try TestDisk()
            try body(disk.folder)
            #expect(!disk.health.hasFailed)
        }
        func failing(_ calls: Int, _ body: (DiskFolder) throws -> Void) throws {
            let disk = try TestDisk([.init(.sync, namePrefix: "/", calls: calls...calls, effect: .fail(errno: EIO))])
            #expect(throws: DiskError(.sync, path: disk.folder.path, .system(EIO))) { try body(disk.folder) }
            #expect(disk.health.hasFailed)
        }
        let replaced: (DiskFolder) throws -> Void = { try $0.replaceFile("state", with: [1]) }
        let made: (DiskFolder) throws -> Void = { _ = try LogSegments(in: $0).create(LogSegmentNumber(1)) }
        let recycled: (DiskFolder) throws -> Void = {
            let segments = try LogSegments(in: $0)
            _ = try segments.create(LogSegmentNumber(1))
            _ = try segments.recycle(LogSegmentNumber(1), as: LogSegmentNumber(2))
        }
        let opened: (DiskFolder) throws -> Void = { _ = try SQLiteDatabase(in: $0, name: "db", .new) }
        let nested: (DiskFolder) throws -> Void = { _ = try $0.createFolder("sub") }
        for (calls, body) in [(1, replaced), (1, made), (2, recycled), (1, opened), (1, nested)] {
            try fresh(body)
            try failing(calls, body)
        }
    }

    @Test("a rename replaces nothing")
    func rename() throws {
        let disk = try TestDisk()
        try disk.folder.replaceFile("a", with: [1])
        try disk.folder.replaceFile("b", with: [2])
        #expect(failure { () throws(DiskError) in try disk.folder.rename("a", to: "b") }?.isPresent == true)
        try disk.folder.remove("b")
        try disk.folder.rename("a", to: "b")
        #expect(try disk.folder.readFile("b") == [1])
    }

    @Test("no descriptor is left when files, folders and failed openings are gone")
    func descriptors() throws {
        let temporary = try TemporaryFolder()
        do {
            let health = DiskHealth { _ in }
            let folder = try DiskFolder(path: temporary.path, health: health)
            for index in 0..<20 {
                let file = try folder.open("f\(index)", .new)
                try file.write([1], at: 0)
                _ = failure { () throws(DiskError) in try folder.open("f\(index)", .new) }
                _ = try folder.names()
                try folder.replaceFile("small", with: [1])
                _ = try folder.readFile("small")
            }
            #expect(temporary.openDescriptors.count == 1)
            try withExtendedLifetime(folder) { try folder.sync() }
        }
        #expect(temporary.openDescriptors == [])
    }

    @Test("faults read from text are those that were meant, and other text is refused")
    func faultText() throws {
        let faults = try #require(
            DiskFaults(parsing: "sync name=log calls=2-2 errno=5; read bytes=0-1 errno=5; write delay=1"))
        let health = DiskHealth(faults: faults) { _ in }
        let temporary = try TemporaryFolder()
        let folder = try DiskFolder(path: temporary.path, health: health)
        let file = try folder.open("log", .new)
        try file.write([1, 2], at: 0)
        #expect(throws: DiskError.self) { try file.bytes(0..<1) }
        #expect(try file.bytes(1..<2) == [2])
        try file.sync()
        #expect(throws: DiskError.self) { try file.sync() }
        let wrong = [
            "sync", "fly errno=5", "sync errno=x", "sync calls=0-1 errno=5", "sync calls=3-2 errno=5", "sync x",
        ]
        for text in wrong {
            #expect(DiskFaults(parsing: text) == nil, "\(text)")
        }
    }
}
