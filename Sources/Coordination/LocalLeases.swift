import CSupport
import ClusterModel
import Foundation
import GRDB
import Synchronization

/// Leases of the local store: numbers and word indexes are drawn in SQLite, expiry lives in the lease file.
/// Used on the worker's thread only.
///
/// Invariants:
/// - A lease number is judged by the file it was drawn for, and only while that file is the recorded one.
/// - A word index is given to one process per boot; that process may use it again for its next number.
/// - A row is removed only when its word says that the lease has ended.
final class LocalLeases {
    private let cluster: ClusterID
    private let boot: BootID
    private let folder: String
    private let terms: LeaseTerms
    private let process: ProcessWord
    private let holderWatch: StoppedHolderWatch
    private let publishSilence: @Sendable (Instant) -> Void
    private(set) var record: LocalStore.LeaseFileRecord?
    private var file: LeaseFile? {
        didSet { holderWatch.leaseFile = file }
    }
    /// Where the numbers of the file in force are; immutable facts, so they need no reading again.
    private var known: [LeaseNumber: LocalStore.LeaseRow] = [:]
    private var keepers: [(keeper: LeaseKeeper, tenure: LocalTenure)] = []

    init(
        cluster: ClusterID, boot: BootID, folder: String, terms: LeaseTerms, holderWatch: StoppedHolderWatch,
        publishSilence: @escaping @Sendable (Instant) -> Void
    ) throws(CoordinationError) {
        self.cluster = cluster
        self.boot = boot
        self.folder = folder
        self.terms = terms
        self.holderWatch = holderWatch
        self.publishSilence = publishSilence
        guard let status = ProcessStatus(of: getpid()) else { throw .system("cannot read /proc/self/stat") }
        process = ProcessWord(process: getpid(), started: status.started)
    }

    /// The folder for lease files where none is configured: memory-backed, so that it ends with the boot.
    static func defaultFolder() -> String {
        if geteuid() == 0 { return "/run/stave" }
        if let folder = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"], !folder.isEmpty { return folder }
        return "/dev/shm"
    }

    private var filePath: String { LocalCoordinator.leaseFilePath(of: cluster, folder: folder) }

    // MARK: the file in force

    /// Takes note of what the store says about the lease file.
    func adopt(_ recorded: LocalStore.LeaseFileRecord?) {
        guard recorded != record else { return }
        record = recorded
        if file?.id != recorded?.id {
            file = nil
            known = [:]
        }
        publishSilence(recorded?.silentUntil ?? Instant(nanoseconds: 0))
        for (keeper, tenure) in keepers where tenure.file.id != recorded?.id { keeper.lose(.leaseFileLost) }
    }

    /// The recorded file, if this process can map it now.
    func currentFile() throws(CoordinationError) -> LeaseFile? {
        guard let record, record.boot == boot else { return nil }
        if let file, file.id == record.id, file.isStillAtPath { return file }
        guard let opened = try LeaseFile.open(path: record.path), opened.id == record.id, opened.boot == boot else {
            return nil
        }
        file = opened
        return opened
    }

    /// In a write transaction: the file in force; if it is lost or of another boot, one is made anew. Gives what was made.
    func ensureFile(_ db: Database, _ header: inout LocalStore.Header) throws -> (file: LeaseFile, madeAnew: Bool) {
        adopt(header.leaseFile)
        unrecorded = nil
        if let file = try currentFile() { return (file, false) }

        let wasThisBoot = header.leaseFile?.boot == boot
        try makeFolder()
        let made = try LeaseFile.make(
            path: filePath, id: LeaseFileID(UInt128.random(in: 1...UInt128.max)), boot: boot)
        // From here on nobody renews in the old file: renewals look at the path first and count from before that look.
        let silentUntil = wasThisBoot ? LeaseClock.now + terms.duration + terms.margin : Instant(nanoseconds: 0)
        let new = LocalStore.LeaseFileRecord(
            id: made.id, boot: boot, path: filePath, silentUntil: silentUntil, firstLease: header.nextLease)
        try LocalStore.setLeaseFile(db, new)
        header.leaseFile = new
        header.nextWord = 0
        adopt(new)
        file = made
        unrecorded = made.id
        return (made, true)
    }

    /// A transaction that may have called `ensureFile` was rolled back: what it made is not recorded.
    /// What was in force before is in force still: a stopped process that holds the store's lock is judged by its lease's word.
    func rolledBack() {
        guard let record, record.id == unrecorded else { return }
        self.record = nil
        file = nil
        known = [:]
    }

    /// A file that was made in a transaction which the store may not have kept.
    private var unrecorded: LeaseFileID?

    private func makeFolder() throws(CoordinationError) {
        let result = cs_mkdirat(cs_at_fdcwd, folder, 0o700)
        guard result >= 0 || result == -EEXIST else {
            throw .system("cannot create the folder \(folder) for leases (error \(-result))")
        }
    }

    // MARK: taking

    /// A number and a word, drawn in a transaction and not yet written.
    struct Drawn {
        var row: LocalStore.LeaseRow
        var file: LeaseFile
        var madeAnew: Bool
    }

    func draw(_ db: Database, owner: LeaseOwner) throws -> Drawn {
        var header = try LocalStore.header(db)
        let (file, madeAnew) = try ensureFile(db, &header)
        guard header.nextLease <= CoordinationLimits.greatestLeaseNumber else {
            throw CoordinationError.leasesExhausted(
                "all \(CoordinationLimits.greatestLeaseNumber) numbers of this store were used")
        }
        try removeEndedRows(db, file)

        keepers.removeAll { $0.keeper.isFinished && $0.tenure.file !== file }
        let spare = keepers.firstIndex { $0.keeper.isFinished }
        let word: Int
        if let spare {
            word = keepers.remove(at: spare).tenure.index
        } else {
            guard header.nextWord < CoordinationLimits.leaseWords else {
                throw CoordinationError.leasesExhausted(
                    "all \(CoordinationLimits.leaseWords) words of this boot were used; they are free after a reboot")
            }
            word = header.nextWord
        }
        let row = LocalStore.LeaseRow(
            number: LeaseNumber(header.nextLease), word: word, drawn: LeaseClock.now.milliseconds, owner: owner)
        try LocalStore.addLease(
            db, row, nextLease: header.nextLease + 1, nextWord: spare == nil ? word + 1 : header.nextWord)
        return Drawn(row: row, file: file, madeAnew: madeAnew)
    }

    private func removeEndedRows(_ db: Database, _ file: LeaseFile) throws {
        for row in try LocalStore.leases(db) {
            let state = file.word(row.word).state(
                of: row.number, drawn: row.drawn, duration: terms.duration.milliseconds)
            if state == .ended { try LocalStore.removeLease(db, row.number) }
        }
    }

    /// Writes the drawn lease into its word; its keeper has to be started then.
    func begin(
        _ drawn: Drawn, request: LeaseRequest, executor: @escaping CompletionExecutor
    ) throws(CoordinationError) -> LeaseKeeper {
        let (row, file) = (drawn.row, drawn.file)
        file.claim(row.word, process: process)
        let before = LeaseClock.now
        let word = LeaseWord(number: row.number, expiry: before.milliseconds + terms.duration.milliseconds)
        let old = file.word(row.word)
        guard old.number < row.number, file.exchange(row.word, expected: old, desired: word).exchanged else {
            throw .system("\(row.number) was revoked before it could be written: this process was stopped for too long")
        }
        let tenure = LocalTenure(file: file, index: row.word, written: word, duration: terms.duration)
        let keeper = try LeaseKeeper(
            number: row.number, expiry: Instant(milliseconds: word.expiry),
            servingFrom: record?.silentUntil ?? Instant(nanoseconds: 0), tenure: tenure, request: request, terms: terms,
            executor: executor)
        keepers.append((keeper, tenure))
        known[row.number] = row
        return keeper
    }

    /// Releases everything and waits until the words say so.
    func releaseAll() {
        for (keeper, _) in keepers { keeper.lease.release() }
        for (keeper, _) in keepers { keeper.waitUntilFinished() }
        keepers = []
    }

    // MARK: judging

    /// In a transaction that has called `ensureFile` after reading `header`: whether the number has ended for good.
    func hasEnded(_ db: Database, _ number: LeaseNumber, header: LocalStore.Header, file: LeaseFile) throws -> Bool {
        if number == .none { return true }
        guard number.rawValue < header.nextLease else { throw CoordinationError.unknownLease(number) }
        guard let row = try LocalStore.lease(db, number) else { return true }
        return file.word(row.word).state(of: number, drawn: row.drawn, duration: terms.duration.milliseconds) == .ended
    }

    /// Judges without the store, if it is known where the number's word is.
    func revokeKnown(_ number: LeaseNumber) throws(CoordinationError) -> LeaseState? {
        guard let row = known[number], let file = try currentFile() else { return nil }
        return revoke(row, in: file)
    }

    /// In a transaction: ends the lease if it has run out.
    func revoke(
        _ db: Database, _ number: LeaseNumber, header: LocalStore.Header, file: LeaseFile
    ) throws -> LeaseState {
        if number == .none { return .ended }
        guard number.rawValue < header.nextLease else { throw CoordinationError.unknownLease(number) }
        guard let row = try LocalStore.lease(db, number) else { return .ended }
        if known.count >= CoordinationLimits.leaseWords { known = [:] }
        known[number] = row
        return revoke(row, in: file)
    }

    /// Numbers of earlier files of this boot count as held until the silence is over.
    func silence(_ header: LocalStore.Header) -> Instant? {
        guard let until = header.leaseFile?.silentUntil, LeaseClock.now < until else { return nil }
        return until
    }

    func list(_ db: Database, file: LeaseFile) throws -> [LeaseListing] {
        try LocalStore.leases(db).map { row in
            let state = file.word(row.word).state(
                of: row.number, drawn: row.drawn, duration: terms.duration.milliseconds)
            return LeaseListing(number: row.number, owner: row.owner, state: Self.state(state))
        }
    }

    private func revoke(_ row: LocalStore.LeaseRow, in file: LeaseFile) -> LeaseState {
        Self.state(
            file.revoke(
                row.number, index: row.word, drawn: row.drawn, duration: terms.duration.milliseconds,
                now: LeaseClock.now.milliseconds))
    }

    private static func state(_ state: LeaseWordState) -> LeaseState {
        switch state {
        case .ended: .ended
        case .held(let until), .notWritten(let until): .held(until: Instant(milliseconds: until))
        }
    }
}

/// One lease in the lease file. `@unchecked Sendable`: `written` is used on the keeper's thread only, once it runs.
final class LocalTenure: LeaseTenure, @unchecked Sendable {
    let file: LeaseFile
    let index: Int
    private let number: LeaseNumber
    private let duration: TimeSpan
    private var written: LeaseWord

    init(file: LeaseFile, index: Int, written: LeaseWord, duration: TimeSpan) {
        self.file = file
        self.index = index
        self.number = written.number
        self.written = written
        self.duration = duration
    }

    func renew(before: Instant) -> RenewalResult {
        // Whoever makes the file anew begins the silence after the old one has lost its name: a renewal that still saw
        // the name counts from before that.
        guard file.isStillAtPath else { return .ended(.leaseFileLost) }
        let word = LeaseWord(number: number, expiry: before.milliseconds + duration.milliseconds)
        guard file.exchange(index, expected: written, desired: word).exchanged else { return .ended(.revoked) }
        written = word
        return .renewed(until: Instant(milliseconds: word.expiry))
    }

    func end() {
        var word = file.word(index)
        while word.number == number, !word.isRevoked {
            let result = file.exchange(index, expected: word, desired: .revoked(number))
            if result.exchanged { return }
            word = result.original
        }
    }
}
