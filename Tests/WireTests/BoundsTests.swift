import ClusterModel
import Testing
import Wire

/// Reads with `body` what `build` wrote; the error's sentence, or nil if it was read.
private func refusal<T>(
    _ build: (inout WireWriter) -> Void, _ body: (inout WireReader) throws(WireError) -> T
) -> String? {
    var w = WireWriter()
    build(&w)
    return w.bytes.withUnsafeBytes { raw -> String? in
        var r = WireReader(raw)
        do {
            _ = try body(&r)
            return nil
        } catch {
            return "\(error)"
        }
    }
}

struct BoundsTests {
    @Test("A list of four thousand million elements is refused before anything is reserved")
    func longList() {
        let sentence = refusal({ $0.u32(.max) }) { r throws(WireError) in
            try r.list(atMost: .max, elementBytes: 1) { r throws(WireError) in try r.u8() }
        }
        #expect(sentence?.contains("4294967295") == true)
    }

    @Test("A list longer than its bound is refused though all of it arrived")
    func listBound() {
        func read(_ r: inout WireReader) throws(WireError) -> [UInt8] {
            try r.list(atMost: 3, elementBytes: 1) { r throws(WireError) in try r.u8() }
        }
        #expect(refusal({ $0.list([1, 2, 3, 4] as [UInt8]) { $0.u8($1) } }, read) != nil)
        #expect(refusal({ $0.list([1, 2, 3] as [UInt8]) { $0.u8($1) } }, read) == nil)
    }

    @Test("A byte string is refused beyond its bound and beyond what arrived")
    func blobs() {
        func read(_ r: inout WireReader) throws(WireError) -> [UInt8] { try r.blob(atMost: 4) }
        #expect(refusal({ $0.blob([1, 2, 3, 4, 5]) }, read) != nil)
        #expect(
            refusal(
                {
                    $0.u32(4); $0.u8(1)
                }, read) != nil)
        #expect(refusal({ $0.blob([1, 2, 3, 4]) }, read) == nil)
    }

    @Test("Text that is not UTF-8 and an option that is neither there nor absent are refused")
    func malformed() {
        #expect(refusal({ $0.blob([0xFF, 0xFE]) }) { r throws(WireError) in try r.string(atMost: 9) } != nil)
        #expect(
            refusal({ $0.u8(2) }) { r throws(WireError) in
                try r.optional { r throws(WireError) in try r.u8() }
            } != nil)
    }

    @Test("Ranges beyond an object, a transfer or a layout are refused")
    func ranges() {
        func object(_ w: inout WireWriter) { w.object(ObjectID(file: FileID(fileset: .root, inode: .root), index: 0)) }
        func range(_ offset: Int, _ length: Int) -> String? {
            refusal({
                object(&$0)
                $0.u32(UInt32(offset))
                $0.u32(UInt32(length))
            }) { r throws(WireError) in try r.objectRange() }
        }
        #expect(range(0, Geometry.maximumTransfer) == nil)
        #expect(range(0, Geometry.maximumTransfer + 1) != nil)
        #expect(range(Geometry.objectSize - 1, 1) == nil)
        #expect(range(Geometry.objectSize - 1, 2) != nil)
        #expect(range(Int(UInt32.max), Int(UInt32.max)) != nil)
        for (first, count) in [(0, 1025), (1024, 1), (65535, 65535)] as [(UInt16, UInt16)] {
            #expect(
                refusal({
                    $0.u16(first)
                    $0.u16(count)
                }) { r throws(WireError) in try r.blocks() } != nil)
        }
        for (unit, count) in [(65535, 4), (1 << 23, 1), (65536, 0), (65536, 65)] as [(UInt32, UInt8)] {
            #expect(
                refusal({
                    $0.u32(unit)
                    $0.u8(count)
                }) { r throws(WireError) in try r.layout() } != nil)
        }
    }

    @Test("A request names no object that no file can have: disks keep rows of their own there")
    func objects() throws {
        for layout in [Layout.standard, Layout(stripeUnit: 65536, stripeCount: 64) ?? .standard] {
            #expect(layout.locate(Geometry.maximumFileSize - 1).index <= Limits.objectIndex)
            #expect(layout.objectCount(fileSize: Geometry.maximumFileSize) <= Limits.objectIndex + 1)
        }
        for (index, isRead) in [(Limits.objectIndex, true), (Limits.objectIndex + 1, false), (.max, false)] {
            let object = ObjectID(file: FileID(fileset: .root, inode: .root), index: index)
            let range = ObjectRange(object: object, offset: 0, length: 4096)
            let blocks = BlockRange(first: 0, count: 1)
            let bodies: [PGRequestBody] = [
                .read(range, .none), .readVersion(range, .none), .write(range, .none, .stable),
                .zero(object, blocks, .none, .stable),
            ]
            for body in bodies {
                let request = PGRequest(
                    pg: .data(1), session: SessionID(1), number: .none, ended: .none, epoch: Epoch(1),
                    mapVersion: MapVersion(1), body: body)
                let frame = try Frame(.request(ExchangeID(1), request))
                #expect(((try? frame.decoded()) != nil) == isRead, "\(body)")
            }
        }
    }

    @Test("A piece whose bits, checksums and bytes contradict each other is refused")
    func pieces() throws {
        var source = SampleSource(seed: 1)
        var piece = source.piece()
        while piece.content == 0 || piece.blocks.count == 64 { piece = source.piece() }
        func isRefused(_ change: (inout Piece) -> Void) throws -> Bool {
            var changed = piece
            change(&changed)
            let frame = try Frame(.replica(ReplicaMessage(pg: .data(1), epoch: Epoch(1), body: .piece(changed))))
            return (try? frame.decoded()) == nil
        }
        #expect(try !isRefused { _ in })
        #expect(try isRefused { $0.zero = $0.content })
        #expect(try isRefused { $0.content |= 1 << 63 })
        #expect(try isRefused { $0.checksums.append(1) })
        #expect(try isRefused { $0.payload?.length += Geometry.blockSize })
        #expect(try isRefused { $0.blocks = BlockRange(first: 0, count: 65) })
    }

    @Test("A frame's head is refused when a length exceeds its bound or an unknown flag is set")
    func heads() throws {
        func isRefused(_ header: Int, _ payload: Int, flags: [UInt8] = [0, 0, 0]) -> Bool {
            refusal({ w in
                w.u32(UInt32(header))
                w.u32(UInt32(payload))
                w.u8(7)
                for flag in flags { w.u8(flag) }
            }) { r throws(WireError) in
                var bytes: [UInt8] = []
                for _ in 0..<FrameHead.size { bytes.append(try r.u8()) }
                var head: Result<FrameHead, WireError>?
                bytes.withUnsafeBytes { raw in
                    do throws(WireError) { head = .success(try FrameHead(raw)) } catch { head = .failure(error) }
                }
                return try head?.get()
            } != nil
        }
        #expect(!isRefused(Limits.headerBytes, Limits.payloadBytes))
        #expect(isRefused(Limits.headerBytes + 1, 0))
        #expect(isRefused(0, Limits.payloadBytes + 1))
        #expect(isRefused(Int(UInt32.max), Int(UInt32.max)))
        for flag in 0..<3 {
            var flags: [UInt8] = [0, 0, 0]
            flags[flag] = 1
            #expect(isRefused(0, 0, flags: flags))
        }
    }

    @Test("The greatest messages that the limits allow fit a frame")
    func greatest() throws {
        let text = AdminText(json: Array(repeating: 0x20, count: Limits.adminBytes))
        let targets = Array(
            repeating: FlushTarget(pg: .data(1), epoch: Epoch(1)), count: Limits.flushGroups)
        let answers = Array(
            repeating: PGResponse(pg: .data(1), epoch: Epoch(1), body: .flushed(stamp: .zero)),
            count: Limits.flushGroups)
        let object = ObjectID(file: FileID(fileset: .root, inode: .root), index: 0)
        let lost = Array(
            repeating: LostRequest(session: SessionID(1), request: RequestNumber(1)), count: Limits.lostRequests)
        let void = VoidRecord(entry: .zero, object: object, request: lost[0])
        let member = Member(node: NodeID(1), disk: DiskID(1), boot: BootID(1))
        let messages: [NodeMessage] = [
            .ask(ExchangeID(1), text), .tell(ExchangeID(1), text),
            .flush(ExchangeID(1), SessionID(1), MapVersion(1), targets), .flushed(ExchangeID(1), .each(answers)),
            .replica(
                ReplicaMessage(
                    pg: .data(1), epoch: Epoch(1),
                    body: .attached(
                        Attached(
                            attempt: 1, standing: .behind(fork: .zero), member: member, stable: .zero,
                            voids: Array(repeating: void, count: ReplicaMessageLimits.voidRecords), room: 0)))),
            .replica(
                ReplicaMessage(
                    pg: .data(1), epoch: Epoch(1),
                    body: .tables(
                        attempt: 1, Array(repeating: 0, count: ReplicaMessageLimits.tablesPart)))),
            .replica(
                ReplicaMessage(
                    pg: .data(1), epoch: Epoch(1),
                    body: .changedKeys(
                        ChangedKeys(
                            attempt: 1, objects: Array(repeating: object, count: ReplicaMessageLimits.keysPerPage),
                            end: .more)))),
            .replica(
                ReplicaMessage(
                    pg: .data(1), epoch: Epoch(1),
                    body: .append(
                        Append(
                            entry: Entry(
                                name: .zero, body: .restate(Restatement(object: object, lost: lost)),
                                durability: .stable, lossNumber: .zero, time: .zero), previous: .zero, decided: .zero,
                            stamp: .zero)))),
        ]
        for message in messages { #expect(try Frame(message).decoded() == message) }
    }
}
