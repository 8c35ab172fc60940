import ONCRPC

/// What a procedure needs of the export that its handle names.
enum Permission: Sendable {
    /// No handle is looked at.
    case none
    /// The client must be admitted.
    case read
    /// The client must be admitted and the export be writable.
    case write
}

/// Whether a second execution does what the first did.
enum Repetition: Sendable {
    case harmless
    /// The call's identity goes with it, and its first answer comes back (replication.md, 20).
    case onceOnly
}

/// One procedure of a program: a row of the dispatch table.
struct Operation: Sendable {
    /// As the RFC calls it.
    let name: String
    /// Its number.
    let procedure: UInt32
    /// The most bytes that an answer has beside the data of READ.
    let answerBound: Int
    let permission: Permission
    let repetition: Repetition
    /// Whether a call may come between WRITEs that touch without ending their run: only another WRITE may.
    var mergesWrites: Bool { procedure == NFS3.Procedure.write.rawValue && permission == .write }
    /// Whether it must not run beside itself when its client was sent away and comes again.
    var isBoundToReturn: Bool { repetition == .onceOnly || mergesWrites }
    /// Decodes, acts and answers; throws when the arguments are garbage.
    let handler: @Sendable (NFSCall, inout XDRReader) throws(XDRError) -> Void

    init(
        _ name: String, _ procedure: UInt32, answerBound: Int, permission: Permission,
        repetition: Repetition = .harmless,
        handler: @escaping @Sendable (NFSCall, inout XDRReader) throws(XDRError) -> Void
    ) {
        self.name = name
        self.procedure = procedure
        self.answerBound = answerBound
        self.permission = permission
        self.repetition = repetition
        self.handler = handler
    }
}

/// The versions of one program, and its procedures by number.
struct ProgramTable: Sendable {
    let version: UInt32
    let operations: [Operation?]

    init(version: UInt32, _ operations: [Operation]) {
        self.version = version
        var table = [Operation?](repeating: nil, count: (operations.map { Int($0.procedure) }.max() ?? 0) + 1)
        for operation in operations { table[Int(operation.procedure)] = operation }
        self.operations = table
    }

    func operation(_ procedure: UInt32) -> Operation? {
        procedure < UInt32(operations.count) ? operations[Int(procedure)] : nil
    }
}

/// All that port 2049 answers.
enum Dispatch {
    /// Where a call goes.
    enum Route {
        case operation(Operation)
        case refused(RPCAcceptance)
    }

    static let nfs3 = ProgramTable(
        version: 3,
        [
            Operation("NULL", 0, answerBound: 64, permission: .none, handler: nullOperation),
            Operation("GETATTR", 1, answerBound: 256, permission: .read, handler: getattrOperation),
            Operation(
                "SETATTR", 2, answerBound: 256, permission: .write, repetition: .onceOnly, handler: setattrOperation),
            Operation("LOOKUP", 3, answerBound: 512, permission: .read, handler: lookupOperation),
            Operation("ACCESS", 4, answerBound: 256, permission: .read, handler: accessOperation),
            Operation("READLINK", 5, answerBound: 5120, permission: .read, handler: readlinkOperation),
            Operation("READ", 6, answerBound: 256, permission: .read, handler: readOperation),
            Operation("WRITE", 7, answerBound: 256, permission: .write, handler: writeOperation),
            Operation(
                "CREATE", 8, answerBound: 512, permission: .write, repetition: .onceOnly, handler: createOperation),
            Operation("MKDIR", 9, answerBound: 512, permission: .write, repetition: .onceOnly, handler: mkdirOperation),
            Operation(
                "SYMLINK", 10, answerBound: 512, permission: .write, repetition: .onceOnly, handler: symlinkOperation),
            Operation(
                "MKNOD", 11, answerBound: 512, permission: .write, repetition: .onceOnly, handler: mknodOperation),
            Operation(
                "REMOVE", 12, answerBound: 256, permission: .write, repetition: .onceOnly, handler: removeOperation),
            Operation(
                "RMDIR", 13, answerBound: 256, permission: .write, repetition: .onceOnly, handler: rmdirOperation),
            Operation(
                "RENAME", 14, answerBound: 512, permission: .write, repetition: .onceOnly, handler: renameOperation),
            Operation("LINK", 15, answerBound: 512, permission: .write, repetition: .onceOnly, handler: linkOperation),
            Operation(
                "READDIR", 16, answerBound: NFSLimits.directoryBytes + 256, permission: .read, handler: readdirOperation
            ),
            Operation(
                "READDIRPLUS", 17, answerBound: NFSLimits.directoryBytes + 256, permission: .read,
                handler: readdirplusOperation),
            Operation("FSSTAT", 18, answerBound: 256, permission: .read, handler: fsstatOperation),
            Operation("FSINFO", 19, answerBound: 256, permission: .read, handler: fsinfoOperation),
            Operation("PATHCONF", 20, answerBound: 256, permission: .read, handler: pathconfOperation),
            Operation("COMMIT", 21, answerBound: 256, permission: .write, handler: commitOperation),
        ])

    private static let mountLists: [Operation] = [
        Operation("MOUNT NULL", 0, answerBound: 64, permission: .none, handler: nullOperation),
        Operation("DUMP", 2, answerBound: 6 << 20, permission: .none, handler: dumpOperation),
        Operation("UMNT", 3, answerBound: 64, permission: .none, handler: unmountOperation),
        Operation("UMNTALL", 4, answerBound: 64, permission: .none, handler: unmountAllOperation),
        Operation("EXPORT", 5, answerBound: 4 << 20, permission: .none, handler: exportOperation),
    ]

    /// Version 1's MNT hands out handles of NFS version 2, which is not spoken.
    static let mount1 = ProgramTable(version: 1, mountLists)
    static let mount3 = ProgramTable(
        version: 3, mountLists + [Operation("MNT", 1, answerBound: 256, permission: .none, handler: mountOperation)])

    /// Finds the procedure of a call, or says which reject it is answered with (RFC 5531, section 9).
    static func route(_ call: RPCCall) -> Route {
        let table: ProgramTable
        switch (call.program.number, call.program.version) {
        case (RPCProgram.nfsNumber, 3): table = nfs3
        case (RPCProgram.nfsNumber, _): return .refused(.programMismatch(low: 3, high: 3))
        case (RPCProgram.mountNumber, 3): table = mount3
        case (RPCProgram.mountNumber, 1): table = mount1
        case (RPCProgram.mountNumber, _): return .refused(.programMismatch(low: 1, high: 3))
        case (_, _): return .refused(.programUnavailable)
        }
        return table.operation(call.procedure).map(Route.operation) ?? .refused(.procedureUnavailable)
    }
}
