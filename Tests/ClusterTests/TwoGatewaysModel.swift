import Foundation
import ONCRPC
import Synchronization

/// One regular file as a model has it.
struct ModelFile: Sendable {
    var name: String
    var folder: Int
    var handle: NFS3.FileHandle
    var content: [UInt8] = []
    /// What was done, for the report of a failure.
    var history: [String] = []
}

/// Two clients at two gateways, and a model of the files that both change. In each round every file belongs to one client,
/// so that the model knows what is right while both are at work.
final class TwoGatewaysModel {
    static let greatest = 9 << 20
    private var random: SplitMix64
    private let seed: UInt64
    private let clients: [NFSClient]
    private let folders: [NFS3.FileHandle]
    private var files: [ModelFile] = []
    private var made = 0
    private(set) var operations = 0

    init(seed: UInt64, addresses: [String]) throws {
        self.seed = seed
        random = SplitMix64(seed: seed)
        let clients = try addresses.enumerated().map { try NFSClient($1, name: "client-\($0)") }
        let top = try clients[0].makeFolder(try clients[0].mount(), "seed-\(seed)")
        folders = try (0..<2).map { try clients[$0].makeFolder(top, "folder-\($0)") }
        self.clients = clients
    }

    /// One round; throws what no single file system would have done.
    func round() throws {
        try changeNames()
        files.shuffle(using: &random)
        let half = files.count / 2
        let shares = [Array(files[..<half]), Array(files[half...])]
        let seeds = [random.next(), random.next()]
        let results = Mutex<[Result<[ModelFile], any Error>?]>([nil, nil])
        nonisolated(unsafe) let model = self
        concurrently(2) { i in
            let result = Result { try model.work(shares[i], client: i, seed: seeds[i]) }
            results.withLock { $0[i] = result }
        }.wait()
        files = try results.withLock { try $0.flatMap { try $0?.get() ?? [] } }
        operations += files.count
    }

    private func changeNames() throws {
        let (one, other) = random.next().isMultiple(of: 2) ? (clients[0], clients[1]) : (clients[1], clients[0])
        if files.count < 6, Int.random(in: 0..<2, using: &random) == 0 {
            let folder = Int.random(in: 0..<2, using: &random)
            made += 1
            let handle = try one.create(folders[folder], "file-\(made)")
            files.append(ModelFile(name: "file-\(made)", folder: folder, handle: handle))
        }
        if !files.isEmpty, Int.random(in: 0..<20, using: &random) == 0 {
            let gone = files.remove(at: Int.random(in: 0..<files.count, using: &random))
            try one.remove(folders[gone.folder], gone.name)
            do {
                _ = try other.attributes(gone.handle)
                throw ClusterFailure("seed \(seed): \(gone.name) is removed, and its handle answers")
            } catch let error as NFSFailure where error.status == .stale {}
        }
        if Int.random(in: 0..<8, using: &random) == 0 {
            for folder in 0..<2 {
                let names = try other.names(folders[folder])
                let right = files.filter { $0.folder == folder }.map(\.name).sorted()
                if names != right {
                    throw ClusterFailure("seed \(seed): a folder has \(names) and should have \(right)")
                }
            }
        }
    }

    private func work(_ share: [ModelFile], client: Int, seed: UInt64) throws -> [ModelFile] {
        var random = SplitMix64(seed: seed)
        return try share.map { file in
            var file = file
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                do { try step(&file, client, &random) } catch {
                    throw ClusterFailure(
                        "seed \(self.seed): \(file.name) through gateway \(client): \(error)\n"
                            + file.history.suffix(25).joined(separator: "\n"))
                }
            }
            return file
        }
    }

    private func step(_ file: inout ModelFile, _ number: Int, _ random: inout SplitMix64) throws {
        let client = clients[number]
        func say(_ text: String) { file.history.append("gateway \(number): \(text)") }
        func pick(_ choices: [Int]) -> Int { choices[Int.random(in: 0..<choices.count, using: &random)] }
        let size = file.content.count
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<40:
            let count = pick([1, 100, 4096, 5000, 65536, 70_000, 300_000, 1 << 20])
            var offset = pick([Int.random(in: 0..<Self.greatest, using: &random), size, size & ~4095, size / 2])
            if Int.random(in: 0..<3, using: &random) == 0 { offset &= ~65535 }
            let byte = UInt8.random(in: 1...255, using: &random)
            let data = (0..<count).map { byte &+ UInt8(truncatingIfNeeded: $0 >> 16) }
            let stability: NFS3.Stability = Int.random(in: 0..<3, using: &random) == 0 ? .fileSync : .unstable
            say("write \(offset) + \(count) of \(byte), \(stability)")
            try client.write(file.handle, data, at: UInt64(offset), stability)
            if size < offset + count { file.content += [UInt8](repeating: 0, count: offset + count - size) }
            file.content.replaceSubrange(offset..<offset + count, with: data)
        case 40..<70:
            let offset = Int.random(in: 0..<size + 4096, using: &random)
            let count = pick([10, 4096, 65536, 1 << 20])
            say("read \(offset) + \(count) of \(size)")
            let found = try client.read(file.handle, at: UInt64(offset), count: count)
            let right = offset < size ? Array(file.content[offset..<min(size, offset + count)]) : []
            if let wrong = zip(found, right).enumerated().first(where: { $1.0 != $1.1 }) {
                throw ClusterFailure("byte \(offset + wrong.offset) is \(wrong.element.0), not \(wrong.element.1)")
            }
            if found.count != right.count { throw ClusterFailure("\(found.count) bytes, not \(right.count)") }
        case 70..<85:
            let new = pick([
                0, Int.random(in: 0...size, using: &random), Int.random(in: 0..<Self.greatest, using: &random),
            ])
            say("truncate \(size) to \(new)")
            try client.setSize(file.handle, UInt64(new))
            if new < size {
                file.content.removeLast(size - new)
            } else {
                file.content += [UInt8](repeating: 0, count: new - size)
            }
        case 85..<93:
            say("getattr")
            let found = try client.attributes(file.handle).size
            if found != UInt64(size) { throw ClusterFailure("the size is \(found), not \(size)") }
        case 93..<97:
            say("commit")
            try client.commit(file.handle)
        default:
            let folder = Int.random(in: 0..<2, using: &random)
            say("rename")
            try client.rename(folders[file.folder], file.name, folders[folder], file.name + "x")
            file.folder = folder
            file.name += "x"
        }
    }

    /// Compares every file whole, through both gateways.
    func compareAll() throws {
        for file in files {
            for (i, client) in clients.enumerated() {
                let found = try client.readAll(file.handle, count: Self.greatest * 2)
                guard found != file.content else { continue }
                let at = zip(found, file.content).enumerated().first { $1.0 != $1.1 }?.offset
                throw ClusterFailure(
                    "seed \(seed): \(file.name) through gateway \(i) differs at \(at ?? min(found.count, file.content.count)):\n"
                        + file.history.suffix(25).joined(separator: "\n"))
            }
        }
    }
}
