import Admin
import ClusterModel
import Foundation
import ONCRPC
import Synchronization
import Testing

/// One client that makes, renames and removes files in a folder of its own, and remembers what was acknowledged.
final class NameLoad: @unchecked Sendable {
    // `@unchecked`: `run` is used by one thread at a time, and nobody else meanwhile but through `count`.
    let folder: String
    private var random: SplitMix64
    private var names: [String] = []
    /// Of the call under way when the server went: what it takes away and what it makes.
    private var pending: (old: String?, new: String?) = (nil, nil)
    private var made = 0
    let count = Atomic<Int>(0)

    init(_ folder: String, seed: UInt64) {
        self.folder = folder
        random = SplitMix64(seed: seed)
    }

    /// Until the connection ends.
    func run(at address: String) {
        guard let client = try? NFSClient(address), let root = try? client.mount(),
            let place = try? client.lookup(root, folder)
        else { return }
        while (try? step(client, place)) != nil { count.add(1, ordering: .relaxed) }
    }

    private func step(_ client: NFSClient, _ place: NFS3.FileHandle) throws {
        made += 1
        let choice = Int.random(in: 0..<4, using: &random)
        if choice < 2 || names.isEmpty {
            pending = (nil, "made-\(made)")
            _ = try client.create(place, "made-\(made)")
            names.append("made-\(made)")
        } else {
            let index = Int.random(in: 0..<names.count, using: &random)
            if choice == 2 {
                pending = (names[index], nil)
                try client.remove(place, names[index])
                names.remove(at: index)
            } else {
                pending = (names[index], "renamed-\(made)")
                try client.rename(place, names[index], place, "renamed-\(made)")
                names[index] = "renamed-\(made)"
            }
        }
        pending = (nil, nil)
    }

    /// What the folder shows and should not, or should and does not. What is seen stays.
    func faults(at address: String) throws -> [String] {
        let client = try NFSClient(address)
        let found = try client.names(try client.lookup(try client.mount(), folder))
        let before = Set(names)
        var after = before
        if let old = pending.old { after.remove(old) }
        if let new = pending.new { after.insert(new) }
        names = found
        pending = (nil, nil)
        let seen = Set(found)
        if seen == before || seen == after { return [] }
        return [
            "\(folder): lost \(before.subtracting(seen).sorted()), there are besides \(seen.subtracting(after).sorted())"
        ]
    }
}

extension ClusterTests {
    @Test("Every acknowledged name, rename and removal stands after all processes were killed")
    func namesSurvive() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 50)
        let loads = (0..<3).map { NameLoad("names-\($0)", seed: UInt64(60 + $0)) }
        let addresses = [1, 2, 3].map { cluster.address($0) }
        let client = try NFSClient(addresses[0])
        let root = try client.mount()
        for load in loads { _ = try client.makeFolder(root, load.folder) }
        for round in 0..<3 {
            let before = loads.map { $0.count.load(ordering: .relaxed) }
            let running = concurrently(3) { loads[$0].run(at: addresses[$0]) }
            try cluster.wait("every client has changed names", within: 30) {
                zip(loads, before).allSatisfy { $0.count.load(ordering: .relaxed) >= $1 + 40 }
            }
            if round == 1 {
                // One is learning when all are killed.
                cluster.kill9([3])
                try cluster.launch(3)
                try cluster.wait("node 3 is back", within: 20) { (try? cluster.status(3)) != nil }
            }
            cluster.kill9()
            running.wait()
            try cluster.start()
            for load in loads { #expect(try load.faults(at: addresses[round]) == []) }
        }
        try cluster.awaitAllInSync(within: 30)
        #expect(try cluster.scrub() == nil)
    }

    @Test("Below the least number of members writes wait without an error, and go on when one is back")
    func tooFewMembers() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 51)
        let load = WriteLoad("load", seed: 9)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 40 }
        cluster.kill9([2, 3])
        var last = -1
        try cluster.wait("writes wait", within: 20) {
            let now = load.count.load(ordering: .relaxed)
            defer { last = now }
            usleep(1_500_000)
            return now == last
        }
        try cluster.launch(2)
        try cluster.wait("writes go on with two members", within: 30) {
            load.count.load(ordering: .relaxed) >= last + 40
        }
        load.stop()
        running.wait()
        try cluster.start()
        try cluster.awaitAllInSync(within: 30)
        #expect(try load.faults(at: cluster.address(2)) == [])
        #expect(try cluster.scrub() == nil)
    }

    /// Else a client that turned to another gateway would find what it wrote there overwritten by what it had left at the first.
    @Test("What waits for a dead node's groups when its client goes is not carried out once they serve again")
    func clientGone() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 54)
        let places = (0..<64).map { UInt64($0) << 20 }
        func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 4096) }
        func content(_ node: UInt16) throws -> [UInt8] {
            let client = try NFSClient(cluster.address(node))
            let file = try client.lookup(try client.mount(), "image")
            return try places.map { place in
                let bytes = try client.read(file, at: place, count: 4096)
                guard let first = bytes.first, bytes == block(first) else { throw ClusterFailure("a torn block") }
                return first
            }
        }
        do {
            let client = try NFSClient(cluster.address(1))
            let file = try client.create(try client.mount(), "image")
            for place in places { try client.write(file, block(1), at: place, .fileSync) }
        }
        let led = try cluster.ask(NodeID(1), .groups, as: [GroupReport].self).filter {
            $0.primary == 2 && $0.group.hasPrefix("d")
        }
        do {
            let client = try NFSClient(cluster.address(1))
            let file = try client.lookup(try client.mount(), "image")
            cluster.kill9([2])
            for place in places { _ = try client.sendWrite(file, block(2), at: place, .fileSync) }
            // All of them were taken in, and those that wait for nobody answered.
            try client.null()
        } catch {
            throw ClusterFailure("the client that goes: \(error)")
        }
        try cluster.wait("the others lead what it led", within: 30) {
            try cluster.ask(NodeID(1), .groups, as: [GroupReport].self).allSatisfy {
                $0.primary == 1 || $0.primary == 3
            }
        }
        try cluster.wait("nothing waits at the first gateway", within: 30) {
            try cluster.status(1).waiting.isEmpty
        }
        let seen = try content(3)
        #expect(seen.allSatisfy { $0 == 1 || $0 == 2 })
        if !led.isEmpty { #expect(seen.contains(1), "\(led.map(\.group)) were led by the dead node") }
        let client = try NFSClient(cluster.address(3))
        let file = try client.lookup(try client.mount(), "image")
        for place in places { try client.write(file, block(3), at: place, .fileSync) }
        #expect(try content(1) == [UInt8](repeating: 3, count: places.count))
        try cluster.launch(2)
        try cluster.awaitAllInSync(within: 60)
        #expect(try content(1) == [UInt8](repeating: 3, count: places.count))
        #expect(try cluster.scrub() == nil)
    }
}
