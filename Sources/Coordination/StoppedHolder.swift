import CSupport
import ClusterModel
import Foundation

/// What /proc/locks says of one file.
enum LockTable {
    /// The processes that hold (not wait for) a lock on the file with that inode number, ascending, each once. Lines
    /// look like `3: POSIX  ADVISORY  WRITE 6967 fe:00:9576464 1073741826 1073742335`, waiters like `3: -> POSIX …`.
    static func holders(ofInode inode: UInt64, in table: some StringProtocol) -> [Int32] {
        var found = Set<Int32>()
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count >= 8, fields[1] == "POSIX", let process = Int32(fields[4]), process > 0 else { continue }
            let file = fields[5].split(separator: ":")
            if file.count == 3, UInt64(file[2]) == inode { found.insert(process) }
        }
        return found.sorted()
    }
}

/// What /proc/PID/stat says.
struct ProcessStatus: Equatable {
    var isStopped: Bool
    /// Clock ticks since boot.
    var started: UInt64

    /// The command's name stands in parentheses and may contain anything, so fields are counted from the last one.
    init?(stat: some StringProtocol) {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ", omittingEmptySubsequences: true)
        guard fields.count >= 20, let started = UInt64(fields[19]) else { return nil }
        // 'T' is stopped by a signal; 't' (held by a debugger) is somebody's intention.
        isStopped = fields[0] == "T"
        self.started = started
    }

    init?(of process: Int32) {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return nil }
        self.init(stat: text)
    }
}

/// Finds a stopped process that holds the store's lock and kills it when that can do no harm: all others would wait for
/// it (traps 23).
///
/// A process is killed only if it was seen stopped with the lock twice, a second apart, and all its leases have ended
/// (those that ran out are revoked first). One without any lease is judged only if it runs this very program: it holds
/// no role then. The database file itself is never opened for this.
final class StoppedHolderWatch {
    private static let longEnough: TimeSpan = .seconds(1)

    private struct Sighting: Hashable {
        var process: Int32
        var started: UInt64
    }

    private let path: String
    private let duration: UInt64
    private let report: @Sendable (CoordinationEvent) -> Void
    private var sightings: [Sighting: Instant] = [:]
    private var reported: Set<Sighting> = []
    /// The lease file in force, as far as this process knows.
    var leaseFile: LeaseFile?

    init(path: String, duration: TimeSpan, report: @escaping @Sendable (CoordinationEvent) -> Void) {
        self.path = path
        self.duration = duration.milliseconds
        self.report = report
    }

    /// Looks who holds the lock now, kills whom it may; the holders' process ids.
    func look(at now: Instant) -> [Int32] {
        guard let identity = LeaseFile.FileIdentity(path: path),
            let table = try? String(contentsOfFile: "/proc/locks", encoding: .utf8)
        else { return [] }
        let holders = LockTable.holders(ofInode: identity.inode, in: table).filter { $0 != getpid() }
        var stopped: [Sighting: Instant] = [:]
        for process in holders {
            guard let status = ProcessStatus(of: process), status.isStopped, hasOpen(process) else { continue }
            let sighting = Sighting(process: process, started: status.started)
            let first = sightings[sighting] ?? now
            stopped[sighting] = first
            if now - first >= Self.longEnough { judge(sighting, at: now) }
        }
        sightings = stopped
        return holders
    }

    /// Inode numbers are unique in one file system only, so the process must have this very file open.
    private func hasOpen(_ process: Int32) -> Bool {
        let folder = "/proc/\(process)/fd"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return false }
        let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        return names.contains {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")) == real
        }
    }

    private func judge(_ holder: Sighting, at now: Instant) {
        guard let leaseFile,
            let ended = Self.endedLeases(of: holder.process, started: holder.started, in: leaseFile, now: now),
            !ended.isEmpty || Self.runsThisProgram(holder.process)
        else {
            if reported.insert(holder).inserted { report(.waitsForStoppedHolder(process: holder.process)) }
            return
        }
        guard let status = ProcessStatus(of: holder.process), status.isStopped, status.started == holder.started else {
            return
        }
        if kill(holder.process, SIGKILL) == 0 {
            report(.killedStoppedHolder(process: holder.process, leases: ended))
        }
    }

    /// The ended leases of a process, after revoking those that have run out; nil if one has not ended.
    static func endedLeases(of process: Int32, started: UInt64, in file: LeaseFile, now: Instant) -> [LeaseNumber]? {
        let wanted = ProcessWord(process: process, started: started)
        var ended: [LeaseNumber] = []
        for index in 0..<file.claimedCount where file.process(index) == wanted {
            let word = file.word(index)
            // Claimed, and its first lease is just being written.
            guard word != .unused else { continue }
            switch file.revoke(word.number, index: index, drawn: 0, duration: 0, now: now.milliseconds) {
            case .ended: ended.append(word.number)
            case .held, .notWritten: return nil
            }
        }
        return ended
    }

    private static func runsThisProgram(_ process: Int32) -> Bool {
        let mine = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let theirs = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")
        return mine != nil && mine == theirs
    }
}
