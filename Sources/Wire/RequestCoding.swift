import ClusterModel

extension WireWriter {
    public mutating func pgRequest(_ v: PGRequest) {
        pg(v.pg)
        u64(v.session.rawValue)
        u64(v.number.rawValue)
        u64(v.ended.rawValue)
        epoch(v.epoch)
        u64(v.mapVersion.rawValue)
        switch v.body {
        case .write(let range, let truncation, let durability):
            u8(1)
            objectRange(range)
            self.truncation(truncation)
            u8(durability.rawValue)
        case .zero(let object, let blocks, let truncation, let durability):
            u8(2)
            self.object(object)
            self.blocks(blocks)
            self.truncation(truncation)
            u8(durability.rawValue)
        case .deleteRange(let deletion):
            u8(3)
            rangeDeletion(deletion)
        case .read(let range, let truncation):
            u8(4)
            objectRange(range)
            self.truncation(truncation)
        case .readVersion(let range, let truncation):
            u8(5)
            objectRange(range)
            self.truncation(truncation)
        case .mutate(let durability, let call):
            u8(6)
            u8(durability.rawValue)
            optional(call) { $0.call($1) }
        case .query: u8(7)
        case .flush: u8(8)
        }
        u32(UInt32(v.payload?.length ?? 0))
    }

    public mutating func pgResponse(_ v: PGResponse) {
        pg(v.pg)
        epoch(v.epoch)
        switch v.body {
        case .written(let stamp):
            u8(1)
            u64(stamp.rawValue)
        case .data(let presence):
            u8(2)
            u8(presence.rawValue)
        case .version(let version, let decided):
            u8(3)
            name(version)
            name(decided)
        case .mutated(let stamp):
            u8(4)
            u64(stamp.rawValue)
        case .answered: u8(5)
        case .flushed(let stamp):
            u8(6)
            u64(stamp.rawValue)
        case .refused(let refusal):
            u8(7)
            pgRefusal(refusal)
        }
        u32(UInt32(v.payload?.length ?? 0))
    }

    mutating func pgRefusal(_ v: PGRefusal) {
        switch v {
        case .notPrimary(let known):
            u8(1)
            optional(known) { $0.record($1) }
        case .newerEpoch(let record):
            u8(2)
            self.record(record)
        case .sessionEnded(let version):
            u8(3)
            u64(version.rawValue)
        case .truncated(let mark):
            u8(4)
            truncation(mark)
        case .removed: u8(5)
        case .belowWindow: u8(6)
        case .beyondWindow: u8(7)
        case .noSpace: u8(8)
        case .invalid: u8(9)
        case .unreadable: u8(10)
        case .unavailable: u8(11)
        }
    }

    /// Overwrites four bytes that were written before.
    mutating func patch32(at offset: Int, _ v: UInt32) {
        replaceBytes(at: offset, with: v.littleEndian)
    }
}

extension WireReader {
    public mutating func pgRequest(_ payload: PayloadSource) throws(WireError) -> PGRequest {
        let pg = try pg()
        let session = try session()
        let number = try request()
        let ended = try request()
        let epoch = try epoch()
        let map = MapVersion(try u64())
        let body: PGRequestBody
        switch try u8() {
        case 1: body = .write(try objectRange(), try truncation(), try durability())
        case 2: body = .zero(try fileObject(), try blocks(), try truncation(), try durability())
        case 3: body = .deleteRange(try rangeDeletion())
        case 4: body = .read(try objectRange(), try truncation())
        case 5: body = .readVersion(try objectRange(), try truncation())
        case 6: body = .mutate(try durability(), try optional { r throws(WireError) in try r.call() })
        case 7: body = .query
        case 8: body = .flush
        case let other: throw WireError("a request of unknown kind \(other)")
        }
        let handle = try payload.take(Int(try u32()))
        return PGRequest(
            pg: pg, session: session, number: number, ended: ended, epoch: epoch, mapVersion: map, body: body,
            payload: handle)
    }

    public mutating func pgResponse(_ payload: PayloadSource) throws(WireError) -> PGResponse {
        let pg = try pg()
        let epoch = try epoch()
        let body: PGResponseBody
        switch try u8() {
        case 1: body = .written(stamp: LossNumber(try u64()))
        case 2:
            guard let presence = Presence(rawValue: try u8()) else { throw WireError("an unknown presence") }
            body = .data(present: presence)
        case 3: body = .version(try name(), decidedThrough: try name())
        case 4: body = .mutated(stamp: LossNumber(try u64()))
        case 5: body = .answered
        case 6: body = .flushed(stamp: LossNumber(try u64()))
        case 7: body = .refused(try pgRefusal())
        case let other: throw WireError("a response of unknown kind \(other)")
        }
        let handle = try payload.take(Int(try u32()))
        return PGResponse(pg: pg, epoch: epoch, body: body, payload: handle)
    }

    mutating func pgRefusal() throws(WireError) -> PGRefusal {
        switch try u8() {
        case 1: .notPrimary(try optional { r throws(WireError) in try r.record() })
        case 2: .newerEpoch(try record())
        case 3: .sessionEnded(MapVersion(try u64()))
        case 4: .truncated(try truncation())
        case 5: .removed
        case 6: .belowWindow
        case 7: .beyondWindow
        case 8: .noSpace
        case 9: .invalid
        case 10: .unreadable
        case 11: .unavailable
        case let other: throw WireError("a refusal of unknown kind \(other)")
        }
    }
}
