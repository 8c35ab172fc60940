import ClusterModel
import Gateway
import NIOCore
import NIOEmbedded
import Storage
import Testing
import Wire

@testable import Filesystem

struct ClusterFilesystemTests {
    private let service = FakeService()
    private let context = CallContext(credentials: .superuser)

    /// Its clock is the embedded loop's.
    private func filesystem() -> ClusterFilesystem {
        ClusterFilesystem(service: service, seed: 1) { [loop = service.loop] in
            let now = 1_000_000_000 + loop.now.uptimeNanoseconds
            return GatewayTime(
                now: Instant(nanoseconds: now), wall: Timestamp(nanoseconds: Int64(now)))
        }
    }

    private func pattern(_ count: Int, _ seed: UInt8 = 1) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) ^ seed | 1 })
    }

    private func write(_ filesystem: ClusterFilesystem, _ data: ByteBuffer, at offset: UInt64) -> WriteResult? {
        var written: WriteResult?
        filesystem.write(context, to: service.file, offset: offset, data: data, durability: .unstable) {
            written = try? $0.get()
        }
        return written
    }

    private func read(_ filesystem: ClusterFilesystem, _ offset: UInt64, _ count: Int) -> ReadResult? {
        var result: ReadResult?
        filesystem.read(context, from: service.file, offset: offset, count: count) { result = try? $0.get() }
        return result
    }

    @Test("Bytes come back as they were written, at any offset, across objects, short at the end")
    func roundTrip() {
        let filesystem = filesystem()
        let data = pattern(300_001)
        let offset: UInt64 = (1 << 20) - 100_003
        #expect(write(filesystem, data, at: offset)?.count == 300_001)
        #expect(write(filesystem, data, at: offset)?.stamp == LossNumber(3))
        #expect(read(filesystem, offset, 300_001)?.data == data)
        let tail = read(filesystem, offset + 300_000, 100)
        #expect(tail?.data.readableBytes == 1)
        #expect(tail?.end == .reached)
        // What was never written is zeros.
        #expect(read(filesystem, 1000, 100)?.data == ByteBuffer(repeating: 0, count: 100))
    }

    @Test("Nothing is kept once operations are answered")
    func nothingIsKept() {
        let filesystem = filesystem()
        _ = write(filesystem, pattern(200_000), at: (1 << 20) - 1000)
        _ = read(filesystem, (1 << 20) - 1000, 200_000)
        #expect(filesystem.pending.isEmpty)
        #expect(filesystem.data.isEmpty)
    }

    @Test("A READ of one part passes the buffer on without copying")
    func noCopy() {
        let filesystem = filesystem()
        _ = write(filesystem, pattern(4096), at: 0)
        let handle = filesystem.keep(pattern(4096))
        let kept = filesystem.data[handle.id]?.withUnsafeReadableBytes { $0.baseAddress }
        let given = filesystem.assemble([.bytes(handle, length: 4096)]).withUnsafeReadableBytes { $0.baseAddress }
        #expect(kept == given)
    }

    @Test("Runs of 64 KiB of zeros travel without payload")
    func zeros() {
        let filesystem = filesystem()
        _ = write(filesystem, pattern(512 << 10), at: 0)
        service.requests = []
        var data = pattern(64 << 10)
        data.writeRepeatingByte(0, count: 128 << 10)
        data.writeImmutableBuffer(pattern(64 << 10))
        _ = write(filesystem, data, at: 0)
        var zeroBlocks = 0
        var payload = 0
        for request in service.requests {
            if case .zero(_, let blocks, _, _) = request.body { zeroBlocks += blocks.count }
            if case .write = request.body { payload += request.payload?.length ?? 0 }
        }
        #expect(zeroBlocks == 32)
        #expect(payload == 128 << 10)
        #expect(read(filesystem, 0, 256 << 10)?.data == data)
    }

    @Test("The scan finds zeros that are aligned in the file, and nothing that has one other byte")
    func scan() {
        let zeros = ByteBuffer(repeating: 0, count: 256 << 10)
        #expect(ZeroScan.runs(in: zeros, at: 0) == [ZeroRun(offset: 0, length: 256 << 10)])
        #expect(ZeroScan.runs(in: zeros, at: 4096) == [ZeroRun(offset: 61440, length: 192 << 10)])
        var other = zeros
        other.setInteger(UInt8(1), at: 100_000)
        #expect(
            ZeroScan.runs(in: other, at: 0)
                == [ZeroRun(offset: 0, length: 64 << 10), ZeroRun(offset: 128 << 10, length: 128 << 10)])
        #expect(ZeroScan.runs(in: ByteBuffer(repeating: 0, count: 65535), at: 0).isEmpty)
    }

    @Test("COMMIT flushes with one message per node and gives the highest stamp")
    func commit() {
        let filesystem = filesystem()
        _ = write(filesystem, pattern(4096), at: 0)
        var stamp: LossNumber?
        filesystem.commit(context, file: service.file, offset: 0, count: 0) { stamp = (try? $0.get())?.stamp }
        #expect(stamp == LossNumber(4))
        #expect(service.flushes.count == 1)
        #expect(service.flushes.first?.contains { $0.pg == .metadata(.root) } ?? false)
    }

    @Test("A refusal is sent again by the one scheduled tick")
    func tick() {
        let filesystem = filesystem()
        service.refusals = [.unavailable, .unavailable]
        var inode: Inode?
        filesystem.attributes(context, of: service.file) { inode = try? $0.get() }
        #expect(inode == nil)
        // Shorter than what the gateway polls by.
        service.loop.advanceTime(by: .milliseconds(500))
        #expect(inode != nil)
        #expect(service.requests.count == 3)
    }

    @Test("What was asked for a client that has gone is not tried again, what others asked for is")
    func abandoned() {
        final class Asker {}
        let filesystem = filesystem()
        _ = write(filesystem, pattern(4096), at: 0)
        let (gone, stays) = (Asker(), Asker())
        var results: [Result<WriteResult, VFSFailure>?] = [nil, nil]
        service.refusals = [.unavailable, .unavailable]
        for (place, asker) in [gone, stays].enumerated() {
            let context = CallContext(credentials: .superuser, asker: ObjectIdentifier(asker))
            filesystem.write(
                context, to: service.file, offset: UInt64(place) * 4096, data: pattern(4096, 8), durability: .unstable
            ) { results[place] = $0 }
        }
        filesystem.abandoned(by: [ObjectIdentifier(gone)])
        service.loop.advanceTime(by: .milliseconds(500))
        guard case .success? = results[1], results[0] == nil else {
            Issue.record("\(results)")
            return
        }
        service.loop.advanceTime(by: .nanoseconds(Int64(GatewayLimits.returnPatience.nanoseconds)))
        guard case .failure(.unavailable)? = results[0] else {
            Issue.record("\(results)")
            return
        }
        #expect(read(filesystem, 0, 4096)?.data == pattern(4096))
        #expect(filesystem.pending.isEmpty)
    }

    @Test("No answer leaves once the lease is not surely valid")
    func lease() {
        let filesystem = filesystem()
        _ = write(filesystem, pattern(4096), at: 0)
        service.holds = true
        var result: Result<ReadResult, VFSFailure>?
        filesystem.read(context, from: service.file, offset: 0, count: 16) { result = $0 }
        while result == nil {
            service.isLeased = false
            service.release()
        }
        guard case .failure(.unavailable) = result else {
            Issue.record("an answer left without a lease")
            return
        }
        #expect(filesystem.data.isEmpty)
    }

    @Test("A failure of the namespace, and an answer that cannot be decoded, reach the door as such")
    func failures() {
        let filesystem = filesystem()
        guard let name = FileName("x") else { return }
        service.failure = .exists
        var created: NamespaceResult?
        filesystem.create(
            context, in: service.file, name: name, file: .regular(.guarded), attributes: AttributeChanges()
        ) { created = try? $0.get() }
        #expect(created?.failure == .exists)
        service.answersGarbage = true
        var failure: VFSFailure?
        filesystem.attributes(context, of: service.file) { if case .failure(let reason) = $0 { failure = reason } }
        #expect(failure == .ioError)
    }

    @Test("df shows what fits after replication")
    func usage() {
        let filesystem = filesystem()
        var usage: FilesystemUsage?
        filesystem.usage(context, of: service.file) { usage = try? $0.get() }
        #expect(usage?.totalBytes == 1000 << 20)
        #expect(usage?.freeBytes == 500 << 20)
    }

    @Test("df shows a fileset's quota as its size, and no more free than the disks have")
    func quota() {
        let filesystem = filesystem()
        func shown(_ quota: FilesetQuota) -> FilesystemUsage? {
            service.quota = quota
            var usage: FilesystemUsage?
            filesystem.usage(context, of: service.file) { usage = try? $0.get() }
            return usage
        }
        service.used = FilesetUsage(inodes: 10, bytes: 30 << 20)
        let within = shown(FilesetQuota(bytes: 100 << 20, inodes: 12))
        #expect(within?.totalBytes == 100 << 20 && within?.freeBytes == 70 << 20 && within?.availableBytes == 70 << 20)
        #expect(within?.totalInodes == 12 && within?.freeInodes == 2)
        let beyond = shown(FilesetQuota(bytes: 20 << 20, inodes: 5))
        #expect(beyond?.totalBytes == 30 << 20 && beyond?.freeBytes == 0 && beyond?.freeInodes == 0)
        let large = shown(FilesetQuota(bytes: 1 << 50))
        #expect(large?.totalBytes == 530 << 20 && large?.freeBytes == 500 << 20)
    }

    @Test("When the session changes what was asked fails, and the door is told by its group's refusal")
    func session() {
        let filesystem = filesystem()
        var ended: [SessionID] = []
        filesystem.sessionEnded = { ended.append($0) }
        service.refusals = [.sessionEnded(MapVersion(2))]
        var failure: VFSFailure?
        filesystem.attributes(context, of: service.file) { if case .failure(let reason) = $0 { failure = reason } }
        #expect(failure == .unavailable)
        #expect(ended == [SessionID(1)])
    }
}
