import DiskIO
import Glibc
import Synchronization
import Testing

/// A folder of a test's own, removed with all in it at the end.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/stave-disk-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DiskError(.open, path: "/tmp", .system(errno)) }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress.unsafelyUnwrapped) }
    }

    deinit { TemporaryFolder.remove(path) }

    private static func remove(_ path: String) {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != "." && name != ".." { remove(path + "/" + name) }
            }
            closedir(stream)
            rmdir(path)
        } else {
            unlink(path)
        }
    }

    /// Descriptors of this process that point into the folder.
    var openDescriptors: [String] {
        var found: [String] = []
        for number in 0..<1024 {
            var target = [CChar](repeating: 0, count: 4096)
            let length = readlink("/proc/self/fd/\(number)", &target, target.count - 1)
            guard length > 0 else { continue }
            let name = String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if name.hasPrefix(path) { found.append(name) }
        }
        return found
    }
}

/// A disk's folder with faults, and what was reported of its health.
final class TestDisk: Sendable {
    let temporary: TemporaryFolder
    let faults: DiskFaults
    let health: DiskHealth
    let folder: DiskFolder
    let failures: Recorder<DiskError>

    init(_ rules: [DiskFaults.Rule] = [], at path: String? = nil) throws {
        let failures = Recorder<DiskError>()
        temporary = try TemporaryFolder()
        self.failures = failures
        faults = DiskFaults(rules)
        health = DiskHealth(faults: faults) { failures.record($0) }
        folder = try DiskFolder(path: path ?? temporary.path, health: health)
    }
}

/// Values from any thread, in their order.
final class Recorder<Value: Sendable>: Sendable {
    private let state = Mutex<[Value]>([])
    func record(_ value: Value) { state.withLock { $0.append(value) } }
    var all: [Value] { state.withLock { $0 } }
    var count: Int { state.withLock { $0.count } }
}

/// A home that runs completions on the thread that brings them, and counts hops.
final class InlineHome: Sendable {
    let hops = Atomic<Int>(0)
    var home: CompletionHome {
        CompletionHome { [self] run in
            hops.wrappingAdd(1, ordering: .relaxed)
            run()
        }
    }
}

/// Waits for a condition, at most 60 s.
func eventually(_ what: Comment, _ condition: () -> Bool, at location: SourceLocation = #_sourceLocation) {
    for _ in 0..<60_000 {
        if condition() { return }
        usleep(1000)
    }
    Issue.record("never came true: \(what)", sourceLocation: location)
}

/// The error that `body` throws.
func failure<Value>(_ body: () throws(DiskError) -> Value) -> DiskError? {
    do throws(DiskError) {
        _ = try body()
        return nil
    } catch { return error }
}

extension DiskFile {
    func write(_ bytes: [UInt8], at offset: Int64) throws {
        try bytes.withUnsafeBytes { try write($0, at: offset) }
    }

    func bytes(_ range: Range<Int64>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: range.count)
        let count = try bytes.withUnsafeMutableBytes { try read(into: $0, at: range.lowerBound) }
        return Array(bytes.prefix(count))
    }
}

/// Deterministic bytes and numbers (SplitMix64).
struct Generator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
