import Foundation

/// A program that a test runs.
final class Command {
    struct Outcome {
        var status: Int32
        var output: String
    }
    private let process = Process()
    private let output = Pipe()

    init(_ words: [String]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
    }

    var isRunning: Bool { process.isRunning }

    func end() -> Outcome {
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, output: String(decoding: said, as: UTF8.self))
    }

    static func run(_ words: [String], seconds: Int = 60) throws -> Outcome {
        try Command(["timeout", "\(seconds)"] + words).end()
    }

    static func isInstalled(_ names: String...) -> Bool {
        names.allSatisfy { name in
            ["/usr/bin/", "/usr/sbin/", "/bin/"].contains { access($0 + name, X_OK) == 0 }
        }
    }
}

/// Sebastiano Vigna's SplitMix64: the same everywhere for one seed.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
