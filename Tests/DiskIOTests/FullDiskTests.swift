import ClusterModel
import DiskIO
import Glibc
import Testing

/// A file system of so many bytes of its own, for as long as the object lives; nil where mounting is not allowed.
final class SmallFileSystem {
    let temporary: TemporaryFolder

    init?(bytes: Int) throws {
        temporary = try TemporaryFolder()
        guard mount("tmpfs", temporary.path, "tmpfs", 0, "size=\(bytes)") == 0 else { return nil }
    }

    deinit { umount2(temporary.path, Int32(MNT_DETACH)) }

    static var isPermitted: Bool { (try? SmallFileSystem(bytes: 1 << 20)) != nil }
}

@Suite(.enabled(if: SmallFileSystem.isPermitted, "mounting needs root"))
struct FullDiskTests {
    @Test("space that is not there is refused before anything is written, and the disk stays in use")
    func allocation() throws {
        let small = try #require(try SmallFileSystem(bytes: 2 << 20))
        let disk = try TestDisk(at: small.temporary.path)
        let file = try disk.folder.open("data", .new)
        #expect(failure { () throws(DiskError) in try file.allocate(0, length: 8 << 20) }?.isNoSpace == true)
        let segments = try LogSegments(in: disk.folder)
        #expect(failure { () throws(DiskError) in try segments.create(LogSegmentNumber(1)) }?.isNoSpace == true)
        #expect(try disk.folder.names() == ["data"])
        #expect(!disk.health.hasFailed)
        try file.allocate(0, length: 1 << 20)
        #expect(try disk.folder.space().total == 2 << 20)
    }

    @Test("a write that meets a full file system ends the disk: space should have been reserved")
    func write() throws {
        let small = try #require(try SmallFileSystem(bytes: 1 << 20))
        let disk = try TestDisk(at: small.temporary.path)
        let file = try disk.folder.open("data", .new)
        let bytes = [UInt8](repeating: 1, count: 2 << 20)
        let error = bytes.withUnsafeBytes { raw in
            failure { () throws(DiskError) in try file.write(raw, at: 0) }
        }
        #expect(error?.isNoSpace == true)
        #expect(disk.health.hasFailed)
    }

    @Test("a database that meets a full file system says so, keeps the last whole transaction, and ends the disk")
    func database() throws {
        let small = try #require(try SmallFileSystem(bytes: 1 << 20))
        var applied = 0
        do {
            let disk = try TestDisk(at: small.temporary.path)
            let index = try IndexRows(in: disk.folder, .new)
            var error: DiskError?
            while error == nil && applied < 10_000 {
                let changes = (0..<50).map { row in
                    IndexChange.putRow(testKey(UInt64(applied * 50 + row)), [UInt8](repeating: 1, count: 1200))
                }
                let number = UInt8(truncatingIfNeeded: applied)
                error = failure { () throws(DiskError) in
                    try index.apply(changes + [.putMeta(.appliedPosition, [number])])
                }
                if error == nil { applied += 1 }
            }
            #expect(error?.isNoSpace == true)
            #expect(disk.health.hasFailed)
            #expect(failure { () throws(DiskError) in try index.apply([]) }?.cause == .diskFailed)
        }
        #expect(applied > 0)
        let disk = try TestDisk(at: small.temporary.path)
        let index = try IndexRows(in: disk.folder, .existing)
        #expect(try index.meta(.appliedPosition) == [UInt8(applied - 1)])
        #expect(try index.row(testKey(UInt64(applied * 50 - 1))) != nil)
        #expect(try index.row(testKey(UInt64(applied * 50))) == nil)
    }
}
