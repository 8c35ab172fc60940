import ClusterModel
import Namespace
import Testing
import Wire

/// One message of each kind.
enum Sample {
    static let sample = FileAttributes(
        kind: .regular, mode: 0o6755, linkCount: 3, uid: 1, gid: 2, size: 1 << 62, used: 4096,
        device: DeviceNumber(major: 8, minor: 9), file: FileID(fileset: FilesetID(5), inode: InodeNumber(77)),
        generation: 12, accessTime: time(-1.5), modificationTime: time(2), changeTime: time(3), changeCounter: .max)
    static let sampleInode = Inode(
        attributes: sample,
        hint: FileHint(
            layout: .standard, limit: 9, truncation: TruncationMark(number: TruncationNumber(4), size: 5),
            usageMark: UsageMark(6), quota: .exceeded))
    static let sampleDeletion = RangeDeletion(
        file: FileID(fileset: .root, inode: InodeNumber(3)),
        truncation: TruncationMark(number: TruncationNumber(1), size: 2), layout: .standard, kind: .removal, limit: 7,
        edge: nil)

    static let operations: [NamespaceOperation] = [
        .create(
            directory: .root, name: name("a"), file: .regular(.unchecked),
            attributes: AttributeChanges(
                mode: 0o644, uid: 1, gid: 2, size: 3, accessTime: .now, modificationTime: .to(time(-5)))),
        .create(directory: .root, name: name("b"), file: .regular(.guarded), attributes: AttributeChanges()),
        .create(
            directory: .root, name: name("c"), file: .regular(.exclusive(verifier: 9)), attributes: AttributeChanges()),
        .create(directory: .root, name: name("d"), file: .directory, attributes: AttributeChanges()),
        .create(
            directory: .root, name: name("e"), file: .symbolicLink(target: [1, 2, 255]), attributes: AttributeChanges()),
        .create(
            directory: .root, name: name("f"), file: .device(.characterDevice, DeviceNumber(major: 1, minor: 2)),
            attributes: AttributeChanges()),
        .create(directory: .root, name: name("g"), file: .fifo, attributes: AttributeChanges()),
        .create(directory: .root, name: name("h"), file: .socket, attributes: AttributeChanges()),
        .setAttributes(inode: InodeNumber(9), changes: AttributeChanges(size: 5), guardTime: time(8)),
        .link(inode: InodeNumber(9), directory: .root, name: name("x")),
        .remove(directory: .root, name: name("x")),
        .removeDirectory(directory: .root, name: name("x")),
        .rename(from: .root, name: name("x"), to: InodeNumber(2), newName: name("y")),
        .raiseLimit(inode: InodeNumber(2), limit: 3),
        .extend(inode: InodeNumber(2), size: 3, truncation: TruncationNumber(4)),
        .registerWriter(inode: InodeNumber(2), session: SessionID(3)),
        .settle(inode: InodeNumber(2), session: SessionID(3), modified: time(4)),
        .settle(
            inode: InodeNumber(2), session: SessionID(3), modified: time(4),
            usage: MeasuredUsage(bytes: 1, mark: UsageMark(2), standing: .moving)),
        .recordFileUsage(
            inode: InodeNumber(2), MeasuredUsage(bytes: 1, mark: UsageMark(2), standing: .settled)),
        .settleSession(session: SessionID(3)),
        .touchAccessTime(inode: InodeNumber(2)),
        .finishRangeDeletion(inode: InodeNumber(2), truncation: TruncationNumber(4)),
        .reserveInodes(through: InodeNumber(9)),
        .abandonReservation,
        .recordUsage(bytes: 5),
        .initialize(FilesetSetup(mode: 0o700, uid: 1, gid: 2)),
        .setQuota(FilesetQuota(bytes: 5, inodes: nil)),
    ]

    static let queries: [NamespaceQuery] = [
        .lookup(directory: .root, name: name("x")), .parent(directory: .root), .attributes(inode: InodeNumber(5)),
        .access(inode: InodeNumber(5), rights: [.read, .execute]), .readSymbolicLink(inode: InodeNumber(5)),
        .list(directory: .root, cookie: 5, limit: 512, detail: .namesAndInodes), .usage,
        .pendingDeletions(after: InodeNumber(5), limit: 1), .measurable(after: InodeNumber(5), limit: 2, .all),
        .allocation(FileID(fileset: .root, inode: InodeNumber(3))),
    ]

    static let answers: [NamespaceAnswer] = [
        .failed(.stale), .found(sampleInode, directory: sample), .inode(sampleInode), .access([.read], sample),
        .symbolicLink(target: [1, 2], sample),
        .entries(
            [
                DirectoryEntry(name: name("a"), inode: InodeNumber(2), cookie: 3, details: sampleInode),
                DirectoryEntry(name: name("b"), inode: InodeNumber(3), cookie: 4, details: nil),
            ], directory: sample, end: .more),
        .usage(FilesetUsage(inodes: 1, bytes: 2), FilesetQuota(bytes: 3, inodes: nil)), .deletions([sampleDeletion]),
        .measurable(
            [
                MeasurableFile(
                    inode: InodeNumber(3), hint: FileHint(layout: .standard, limit: 1, truncation: .none), used: 2,
                    writers: 3, scope: .pending)
            ], next: InodeNumber(4)), .allocation(FileAllocation(bytes: 4096, standing: .moving)),
    ]

    static let results: [NamespaceResult] = [
        NamespaceResult(), NamespaceResult(failure: .quotaExceeded),
        NamespaceResult(
            inode: sampleInode, directory: DirectoryChange(before: sample, after: sample),
            secondDirectory: DirectoryChange(before: sample, after: sample), deletion: sampleDeletion),
    ]
}

/// What travels of the namespace: round trips, truncation at every byte, hostile lengths and values.
@Suite struct CodingTests {
    @Test("entries travel unchanged, and every shorter message is refused", arguments: Sample.operations)
    func entries(operation: NamespaceOperation) throws {
        let entry = NamespaceEntry(
            semantics: 1, credentials: Credentials(uid: 1, gid: 2, groups: [3, 4]), operation: operation)
        try check(
            entry, encode: { $0.encode(into: &$1) }, decode: { r throws(WireError) in try NamespaceEntry(from: &r) })
    }

    @Test("questions travel unchanged, and every shorter message is refused", arguments: Sample.queries)
    func questions(query: NamespaceQuery) throws {
        let question = NamespaceQuestion(credentials: bob, session: SessionID(9), query: query)
        try check(
            question, encode: { $0.encode(into: &$1) },
            decode: { r throws(WireError) in try NamespaceQuestion(from: &r) })
    }

    @Test("answers travel unchanged, and every shorter message is refused", arguments: Sample.answers)
    func answers(answer: NamespaceAnswer) throws {
        try check(
            answer, encode: { $0.encode(into: &$1) }, decode: { r throws(WireError) in try NamespaceAnswer(from: &r) })
    }

    @Test("results travel unchanged, and every shorter message is refused", arguments: Sample.results)
    func results(result: NamespaceResult) throws {
        try check(
            result, encode: { $0.encode(into: &$1) }, decode: { r throws(WireError) in try NamespaceResult(from: &r) })
    }

    @Test("flipped bytes are refused or give another message, and never reserve more than arrived", arguments: 1...3)
    func flipped(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for operation in Sample.operations {
            var w = WireWriter()
            NamespaceEntry(semantics: 1, credentials: bob, operation: operation).encode(into: &w)
            for _ in 0..<200 {
                var bytes = w.bytes
                bytes[random.below(bytes.count)] ^= UInt8(1 + random.below(255))
                _ = bytes.withUnsafeBytes { buffer in
                    var r = WireReader(buffer)
                    return try? NamespaceEntry(from: &r)
                }
            }
        }
    }

    @Test("lengths and values beyond their bounds are refused with a sentence")
    func hostile() {
        func refused<T>(
            _ build: (inout WireWriter) -> Void, _ decode: (inout WireReader) throws(WireError) -> T
        ) -> Bool {
            var w = WireWriter()
            build(&w)
            return w.bytes.withUnsafeBytes { buffer in
                var r = WireReader(buffer)
                do {
                    _ = try decode(&r)
                    return false
                } catch {
                    return !"\(error)".isEmpty
                }
            }
        }
        func operation(_ r: inout WireReader) throws(WireError) -> NamespaceOperation {
            try NamespaceOperation(from: &r)
        }
        // A list of 4 billion groups, and one of 1,025 that are there.
        #expect(
            refused({
                $0.u64(0); $0.u32(.max)
            }) { r throws(WireError) in try Credentials(from: &r) })
        #expect(
            refused({
                $0.u64(0); $0.list([UInt32](repeating: 1, count: 1025)) { $0.u32($1) }
            }) { r throws(WireError) in
                try Credentials(from: &r)
            })
        for bad in [[], [0x2E], [0x2E, 0x2E], [0x61, 0], [0x2F], [UInt8](repeating: 0x61, count: 256)] as [[UInt8]] {
            #expect(
                refused(
                    {
                        $0.u8(4); $0.u64(1); $0.blob(bad)
                    }, operation))
        }
        #expect(refused({ $0.u8(99) }, operation))
        #expect(
            refused(
                {
                    $0.u8(17); $0.u16(0o10000); $0.u64(0); $0.layout(.standard)
                }, operation))
        #expect(
            refused(
                {
                    $0.u8(17); $0.u16(0o755); $0.u64(0); $0.u32(5); $0.u8(4)
                }, operation))
        // A target of 4,097 bytes; a listing of 513 entries; a limit of 0.
        #expect(
            refused({
                $0.u8(5); $0.blob([UInt8](repeating: 1, count: 4097))
            }) { r throws(WireError) in
                try NewFile(from: &r)
            })
        #expect(
            refused({
                $0.u8(6); $0.u32(513); for _ in 0..<20_000 { $0.u8(1) }
            }) { r throws(WireError) in
                try NamespaceAnswer(from: &r)
            })
        for limit in [UInt16(0), 513] {
            #expect(
                refused({
                    $0.u8(6); $0.u64(1); $0.u64(0); $0.u16(limit); $0.u8(0)
                }) { r throws(WireError) in
                    try NamespaceQuery(from: &r)
                })
        }
        // A key longer than any; a value that is announced and does not come.
        #expect(
            refused({
                $0.u32(1); $0.blob([UInt8](repeating: 1, count: 265)); $0.u64(1); $0.u8(0)
            }) {
                r throws(WireError) in try ExportPiece(from: &r)
            })
        #expect(
            refused({
                $0.u32(1); $0.blob([1]); $0.u64(1); $0.u8(1); $0.u32(60_000)
            }) { r throws(WireError) in
                try ExportPiece(from: &r)
            })
    }

    private func check<T: Equatable>(
        _ value: T, encode: (T, inout WireWriter) -> Void, decode: (inout WireReader) throws(WireError) -> T
    ) throws {
        var w = WireWriter()
        encode(value, &w)
        let whole = try w.bytes.withUnsafeBytes { buffer in
            var r = WireReader(buffer)
            let found = try decode(&r)
            try r.finish()
            return found
        }
        #expect(whole == value)
        for count in 0..<w.bytes.count {
            let isRefused = w.bytes.prefix(count).withUnsafeBytes { buffer in
                var r = WireReader(buffer)
                do {
                    _ = try decode(&r)
                    return false
                } catch { return true }
            }
            #expect(isRefused, "cut to \(count) of \(w.bytes.count) bytes")
        }
    }
}
