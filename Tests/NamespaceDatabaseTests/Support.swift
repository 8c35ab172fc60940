import ClusterModel
import DiskIO
import Foundation
import Namespace
import Testing
import Wire

/// A folder of its own for one test, removed with it.
final class TemporaryFolder {
    let path: String
    let folder: DiskFolder

    init() throws {
        let base = FileManager.default.temporaryDirectory.appendingPathComponent("stave-namespace-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
        path = base.path
        folder = try DiskFolder(path: path, health: DiskHealth(onFailure: { _ in }))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The two implementations of rows.
enum Implementation: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case arrays
    case sqlite

    var testDescription: String { rawValue }

    /// Calls `body` with new rows.
    func withRows(_ body: (any NamespaceRows) throws -> Void) throws {
        switch self {
        case .arrays: try body(RowArrays())
        case .sqlite:
            let temporary = try TemporaryFolder()
            try body(try NamespaceDatabase(in: temporary.folder, name: "m1", .new))
        }
    }
}

/// A log of random operations, also with requests, calls and writers, to be applied to whatever rows.
struct RandomLog {
    private var random: SplitMix64
    private(set) var changes: [NamespaceChange] = []
    private var requests: [UInt64: UInt64] = [:]

    init(seed: UInt64, count: Int) {
        random = SplitMix64(seed: seed)
        add(.initialize(FilesetSetup(mode: 0o777)), session: 0, isCall: false)
        for _ in 1..<count { addRandom() }
    }

    private mutating func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }

    private mutating func addRandom() {
        let inode = InodeNumber(UInt64(1 + random.below(40)))
        let other = InodeNumber(UInt64(pick([1, 1, 1, 2, 3, 4, 5, 6, 7, 8])))
        let directory = InodeNumber(UInt64(pick([1, 1, 1, 2, 3, 4, 5, 6, 7, 8])))
        let session = UInt64(1 + random.below(3))
        guard let name = FileName("n\(random.below(8))"), let newName = FileName("n\(random.below(8))") else { return }
        let operation: NamespaceOperation
        switch random.below(16) {
        case 0...3:
            let file: NewFile = pick([
                .directory, .directory, .regular(.unchecked), .regular(.exclusive(verifier: 7)), .socket,
            ])
            operation = .create(
                directory: directory, name: name, file: file, attributes: AttributeChanges(mode: pick([0o777, 0o700])))
        case 4: operation = .remove(directory: directory, name: name)
        case 5: operation = .removeDirectory(directory: directory, name: name)
        case 6...7: operation = .rename(from: directory, name: name, to: other, newName: newName)
        case 8: operation = .link(inode: inode, directory: directory, name: name)
        case 9: operation = .registerWriter(inode: inode, session: SessionID(session))
        case 10: operation = .extend(inode: inode, size: UInt64(random.below(1 << 20)), truncation: .zero)
        case 11:
            operation = .settle(
                inode: inode, session: SessionID(session),
                modified: Timestamp(nanoseconds: Int64(changes.count) * 1_000_000_000 - 500))
        case 12:
            operation = .setAttributes(
                inode: inode, changes: AttributeChanges(size: UInt64(random.below(2_000_000))), guardTime: nil)
        case 13: operation = .setAttributes(inode: inode, changes: AttributeChanges(mode: 0o770), guardTime: nil)
        case 14: operation = .finishRangeDeletion(inode: inode, truncation: TruncationNumber(1))
        default:
            operation = random.below(8) == 0 ? .settleSession(session: SessionID(session)) : .recordUsage(bytes: 5)
        }
        add(operation, session: session, isCall: random.below(2) == 0)
    }

    private mutating func add(_ operation: NamespaceOperation, session: UInt64, isCall: Bool) {
        // Now and then the same request or call once more.
        var number: UInt64 = 0
        if session != 0 {
            number = requests[session, default: 0] + 1
            if random.below(20) == 0, number > 1 { number -= 1 }
            requests[session] = max(requests[session, default: 0], number)
        }
        let n = UInt64(changes.count + 1)
        let call = isCall ? CallIdentity(origin: UInt128(session), request: UInt64(random.below(200))) : nil
        changes.append(
            NamespaceChange(
                name: EntryName(epoch: Epoch(1), n: n), time: Timestamp(nanoseconds: Int64(n) * 1_000_000_000),
                session: SessionID(session), request: RequestNumber(number), call: call,
                entry: NamespaceEntry(semantics: 1, credentials: .superuser, operation: operation)))
    }
}

extension NamespaceMachine {
    /// Applies the changes that are not in the rows yet, in batches of `batch`; the encoded results.
    @discardableResult
    mutating func apply(_ changes: some Sequence<NamespaceChange>, batch: Int, to rows: any NamespaceRows) throws
        -> [[UInt8]]
    {
        var results: [[UInt8]] = []
        for change in changes where change.name > applied {
            if let outcome = try apply(change, rows: rows) { results.append(outcome.encoded) }
            if results.count % batch == 0 { try commit(rows: rows) }
        }
        try commit(rows: rows)
        return results
    }
}
