import ClusterModel
import DiskIO
import Foundation
import Logging
import NIOCore
import NIOPosix
import Store
import Testing
import Transport
import Wire

@testable import Storage

/// One disk's host on a loop of its own, opened again and again under one boot.
private final class Disk {
    let folder: TestFolder
    let id = DiskID(0xfa11)
    let cluster = ClusterID(0x5107)
    let group = PGID.data(3)
    private let loop = MultiThreadedEventLoopGroup.singleton.next()
    private let host: OnLoop<DiskHost?>
    private let threads: NodeThreads
    private var lives = 0
    private var path: String { folder.path + "/\(lives)" }

    init() throws {
        folder = try TestFolder()
        threads = try NodeThreads()
        host = OnLoop(nil, loop: loop)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try DiskFormat.format(
            path: path, cluster: cluster, node: NodeID(1), disk: id, at: Timestamp(nanoseconds: 0))
    }

    var isMarked: Bool { FileManager.default.fileExists(atPath: path + "/failed") }

    /// Opens the disk as the next process would find it: a copy of its files, for this process still holds the former.
    func open(noted: String? = nil, faults: DiskFaults? = nil) async throws {
        let former = path
        lives += 1
        // Not by this process, which would take a segment's 64 MiB into its memory.
        let copy = try Process.run(
            URL(fileURLWithPath: "/bin/cp"), arguments: ["-r", "--sparse=always", former, path])
        copy.waitUntilExit()
        var plan = DiskPlan(path: path, cluster: cluster, node: NodeID(1), boot: BootID(0xb007), bound: nil)
        plan.faults = faults
        plan.failed = noted.map { [id: $0] } ?? [:]
        let (loop, host, threads, opening) = (loop, host, threads, plan)
        let failure: String? = try await withCheckedThrowingContinuation { done in
            loop.execute {
                DiskHost.open(
                    opening, number: 0, namespaceThread: threads.namespace, rowCache: SharedRowCache(),
                    payloads: PayloadTable(), loop: loop,
                    watchdog: threads.watchdog, logger: Logger(label: "test")
                ) { result in
                    switch result {
                    case .success(let opened):
                        host.onLoop { $0 = opened }
                        done.resume(returning: nil)
                    case .failure(let failure): done.resume(returning: failure.reason)
                    }
                }
            }
        }
        if let failure { throw Timeout(description: failure) }
    }

    func ask<T: Sendable>(_ body: @escaping @Sendable (DiskHost) -> T) async throws -> T {
        guard let answer = try await host({ $0.map(body) }) else { throw Timeout(description: "no disk is open") }
        return answer
    }

    func tick() async throws {
        try await ask { disk in
            disk.tick(BootClock.now())
            disk.endCycle()
        }
    }

    /// Keeps a state of the group; throws if the disk fails meanwhile.
    func keepState() async throws {
        let (group, kept) = (group, OnLoop(false, loop: loop))
        try await ask { disk in disk.writeState(group, state: [1, 2, 3], tables: nil) { kept.onLoop { $0 = true } } }
        try await eventually("the state is durable") {
            try await self.tick()
            if let failure = try await self.ask({ $0.failure }) { throw Timeout(description: failure) }
            return try await kept { $0 }
        }
    }
}

@Suite struct FailedDiskTests {
    @Test("After a failed sync no group on the disk is taken for whole, until each of them is known to learn")
    func failedSync() async throws {
        let disk = try Disk()
        let faults = DiskFaults([])
        try await disk.open(faults: faults)
        try await disk.keepState()
        #expect(!disk.isMarked)
        faults.add(.init(.sync, namePrefix: "log-", effect: .fail(errno: EIO)))
        await #expect(throws: Timeout.self) { try await disk.keepState() }
        #expect(try await disk.ask { $0.mediumFailure?.operation } == .sync)
        try await eventually("the disk is marked") { disk.isMarked }

        // The mark alone tells the next process under the same boot.
        try await disk.open()
        #expect(try await disk.ask { $0.doubt }?.contains("errno 5") == true)
        #expect(try await disk.ask { $0.takeRecovered().map(\.origin) } == [.corrupt])
        try await disk.ask { $0.forgetDoubt() }
        try await eventually("the mark goes") { !disk.isMarked }

        // From here on the disk's own log says so, without any note.
        try await disk.open()
        #expect(try await disk.ask { $0.doubt } == nil)
        #expect(try await disk.ask { $0.takeRecovered().map(\.origin) } == [.corrupt])
    }

    @Test("A disk that the coordination store knows to have failed begins with nothing, though its files look whole")
    func notedOnly() async throws {
        let disk = try Disk()
        try await disk.open()
        try await disk.keepState()
        try await disk.open()
        #expect(try await disk.ask { $0.takeRecovered().map(\.origin) } == [.found])
        try await disk.open(noted: "sync log-0000000000000001: Input/output error")
        #expect(try await disk.ask { $0.doubt } != nil)
        #expect(try await disk.ask { $0.takeRecovered().map(\.origin) } == [.corrupt])
    }

    @Test("A sync that is stuck ends the disk's use, and counts as failed only when it comes back with an error")
    func stuckSync() async throws {
        let disk = try Disk()
        let faults = DiskFaults([])
        try await disk.open(faults: faults)
        try await disk.keepState()
        faults.add(.init(.sync, namePrefix: "log-", effect: .hold))
        faults.add(.init(.sync, namePrefix: "log-", effect: .fail(errno: EIO)))
        await #expect(throws: Timeout.self) { try await disk.keepState() }
        #expect(faults.held == 1)
        #expect(try await disk.ask { $0.failure } != nil)
        #expect(try await disk.ask { $0.mediumFailure } == nil)
        #expect(!disk.isMarked)
        faults.release()
        try await eventually("the disk is marked") { disk.isMarked }
        #expect(try await disk.ask { $0.mediumFailure?.operation } == .sync)
    }

    @Test("A disk whose use ends for a reason of the process's own is not taken for failed")
    func otherReason() async throws {
        let disk = try Disk()
        try await disk.open()
        try await disk.keepState()
        try await disk.ask { $0.fail("a queue is full") }
        #expect(try await disk.ask { $0.mediumFailure } == nil)
        try await disk.open()
        #expect(!disk.isMarked)
        #expect(try await disk.ask { $0.takeRecovered().map(\.origin) } == [.found])
    }

    @Test("A note of a failed disk comes back as it was kept, and an unknown format is refused")
    func coding() throws {
        let note = DiskNote(
            stage: .learning, time: Timestamp(nanoseconds: 12), reason: String(repeating: "ä", count: 400))
        #expect(try DiskNote(decoding: note.encoded()) == note)
        #expect(note.reason.utf8.count <= 520)
        var bytes = note.encoded()
        bytes[0] = 2
        #expect(throws: WireError.self) { try DiskNote(decoding: bytes) }
        bytes[0] = 1
        bytes[1] = 3
        #expect(throws: WireError.self) { try DiskNote(decoding: bytes) }
    }
}
