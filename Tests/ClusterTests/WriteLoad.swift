import Foundation
import ONCRPC
import Synchronization

/// One client that writes patterns into a file of its own until its server is gone, and remembers what was acknowledged.
///
/// Every block of 4 KiB carries its writer, its number and the number of the write, all through: whatever is read back tells
/// which write it is from, or that it is garbage. Of writes to one block at most one is under way.
final class WriteLoad: @unchecked Sendable {
    // `@unchecked`: `run` is used by one thread at a time; what others read meanwhile is atomic.
    static let block = 4096
    static let blocks = 4096

    let name: String
    private var random: SplitMix64
    private var version: UInt64 = 0
    /// The write that is there for sure, per block; 0 for none.
    private var acknowledged = [UInt64](repeating: 0, count: blocks)
    /// Writes that were sent later and not answered, per block.
    private var possible = [Set<UInt64>](repeating: [], count: blocks)
    private let stopping = Atomic<Bool>(false)
    /// Acknowledged writes in all.
    let count = Atomic<Int>(0)
    /// Why writing ended, when it was not the server's end.
    private(set) var fault: String?

    init(_ name: String, seed: UInt64) {
        self.name = name
        random = SplitMix64(seed: seed)
    }

    private func bytes(_ block: Int, _ version: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.block)
        let tag = Tag(name: name, block: block)
        for i in stride(from: 0, to: Self.block, by: 16) {
            for k in 0..<8 {
                bytes[i + k] = UInt8(truncatingIfNeeded: tag.who >> UInt64(8 * k))
                bytes[i + 8 + k] = UInt8(truncatingIfNeeded: version >> UInt64(8 * k))
            }
        }
        return bytes
    }

    private struct Tag {
        var who: UInt64
        init(name: String, block: Int) {
            var hash: UInt64 = 14_695_981_039_346_656_037
            for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
            who = hash << 16 | UInt64(block) | 1 << 63
        }
    }

    func stop() { stopping.store(true, ordering: .relaxed) }

    /// Writes until `stop` is called; connects anew when a connection ends, as clients do (a gateway whose lease lapsed
    /// closes them all).
    func run(at address: String) {
        stopping.store(false, ordering: .relaxed)
        while !stopping.load(ordering: .relaxed), fault == nil {
            connected(to: address)
            usleep(20_000)
        }
    }

    private func connected(to address: String) {
        do {
            let client = try NFSClient(address)
            let file = try client.create(try client.mount(), name)
            var underWay: [UInt32: (first: Int, count: Int, version: UInt64)] = [:]
            while true {
                let isStopping = stopping.load(ordering: .relaxed)
                if isStopping, underWay.isEmpty { return }
                while !isStopping, underWay.count < 8 {
                    let count = [1, 1, 1, 2, 16, 32, 64, 200][Int.random(in: 0..<8, using: &random)]
                    let first = Int.random(in: 0...Self.blocks - count, using: &random)
                    // Nor is a block written again whose last write may still arrive.
                    if !possible[first..<first + count].allSatisfy(\.isEmpty) { continue }
                    version += 1
                    for b in first..<first + count { possible[b].insert(version) }
                    let stability: NFS3.Stability = Int.random(in: 0..<5, using: &random) == 0 ? .fileSync : .unstable
                    let xid = try client.sendWrite(
                        file, (first..<first + count).flatMap { bytes($0, version) },
                        at: UInt64(first * Self.block), stability)
                    underWay[xid] = (first, count, version)
                }
                let (xid, result) = try client.receiveAnswer { try NFS3.WriteResult(from: &$0) }
                let written = try NFSClient.value(result, "write")
                guard let write = underWay.removeValue(forKey: xid), Int(written.count) == write.count * Self.block
                else {
                    fault = "an answer to no write, or a short one"
                    return
                }
                for b in write.first..<write.first + write.count {
                    acknowledged[b] = write.version
                    possible[b] = possible[b].filter { $0 > write.version }
                }
                count.add(1, ordering: .relaxed)
            }
        } catch let error as NFSFailure {
            fault = "\(error)"
        } catch {
            // The server's end.
        }
    }

    /// Reads the whole file and gives what is neither the last acknowledged write nor a later one. What is seen stays.
    func faults(at address: String) throws -> [String] {
        let client = try NFSClient(address)
        let root = try client.mount()
        var found: [UInt8] = []
        do {
            found = try client.readAll(try client.lookup(root, name), count: Self.blocks * Self.block)
        } catch let error as NFSFailure where error.status == .noEntry {}
        // Data goes before the size: what an unanswered write left behind the end shows when the file grows over it.
        let end = found.count
        found += [UInt8](repeating: 0, count: Self.blocks * Self.block - end)
        var faults: [String] = []
        if let fault { faults.append("\(name): \(fault)") }
        for b in 0..<Self.blocks {
            let content = found[b * Self.block..<(b + 1) * Self.block]
            let version = content.prefix(16).suffix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
            let isZero = content.allSatisfy { $0 == 0 }
            if !isZero, !content.elementsEqual(bytes(b, version)) {
                faults.append("\(name): block \(b) is garbage, it begins with \(Array(content.prefix(16)))")
            } else if version != acknowledged[b], !possible[b].contains(version) {
                faults.append(
                    "\(name): block \(b) has write \(version); acknowledged is \(acknowledged[b]), under way were \(possible[b].sorted())"
                )
            }
            acknowledged[b] = version
            if (b + 1) * Self.block <= end { possible[b] = [] }
        }
        return faults
    }
}

/// Runs bodies at the same time, each on a thread of its own.
func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) -> DispatchGroup {
    let group = DispatchGroup()
    for i in 0..<count {
        group.enter()
        Thread.detachNewThread {
            body(i)
            group.leave()
        }
    }
    return group
}
