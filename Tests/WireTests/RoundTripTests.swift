import ClusterModel
import Testing
import Wire

struct RoundTripTests {
    @Test("Every message arrives as it was sent", arguments: 0..<SampleSource.kinds)
    func messages(kind: Int) throws {
        for seed in 0..<20 as Range<UInt64> {
            var source = SampleSource(seed: seed)
            let message = source.message(kind: kind)
            let found = try Frame(message).decoded()
            #expect(found == message, "kind \(kind), seed \(seed)")
        }
    }

    @Test("Every message that is cut at any byte, or has one too many, is refused", arguments: 0..<SampleSource.kinds)
    func cut(kind: Int) throws {
        for seed in 0..<4 as Range<UInt64> {
            var source = SampleSource(seed: seed)
            let frame = try Frame(source.message(kind: kind))
            for count in 0..<frame.header.count {
                let short = Frame(
                    kind: frame.kind, header: Array(frame.header[..<count]), payloadLength: frame.payloadLength)
                #expect(throws: WireError.self, "kind \(kind), seed \(seed), cut to \(count)") { try short.decoded() }
            }
            let long = Frame(kind: frame.kind, header: frame.header + [0], payloadLength: frame.payloadLength)
            #expect(throws: WireError.self, "kind \(kind), seed \(seed)") { try long.decoded() }
        }
    }

    @Test("A payload of another length than announced is refused", arguments: 0..<SampleSource.kinds)
    func payload(kind: Int) throws {
        for seed in 0..<10 as Range<UInt64> {
            var source = SampleSource(seed: seed)
            let frame = try Frame(source.message(kind: kind))
            for length in [0, 1, frame.payloadLength - 1, frame.payloadLength + 1]
            where length >= 0 && length != frame.payloadLength {
                let other = Frame(kind: frame.kind, header: frame.header, payloadLength: length)
                #expect(throws: WireError.self, "kind \(kind), seed \(seed), \(length)") { try other.decoded() }
            }
        }
    }

    @Test(
        "No message has the number of a frame that connections deal with themselves", arguments: 0..<SampleSource.kinds)
    func numbers(kind: Int) throws {
        var source = SampleSource(seed: 1)
        let frame = try Frame(source.message(kind: kind))
        #expect(![EchoFrame.kind, SharingMessage.kind, LentPayload.kind].contains(frame.kind))
    }

    @Test("A message of unknown kind is refused")
    func unknownKinds() {
        for kind in [0, EchoFrame.kind, SharingMessage.kind, LentPayload.kind, 255] as [UInt8] {
            #expect(throws: WireError.self) { try Frame(kind: kind, header: [], payloadLength: 0).decoded() }
        }
    }

    @Test("The map and the records of the coordination store are read as they were written", arguments: 0..<50)
    func stored(seed: UInt64) throws {
        var source = SampleSource(seed: seed)
        let map = source.map()
        #expect(try ClusterMap(decoding: map.encoded()) == map, "seed \(seed)")
        let record = source.record()
        #expect(try PGRecord(decoding: record.encoded()) == record, "seed \(seed)")
    }

    @Test("A map or record that is cut at any byte, or of an unknown format, is refused")
    func storedCut() throws {
        var source = SampleSource(seed: 5)
        let map = source.map().encoded()
        for count in 0..<map.count {
            #expect(throws: WireError.self, "cut to \(count)") { try ClusterMap(decoding: Array(map[..<count])) }
        }
        let record = source.record().encoded()
        for count in 0..<record.count {
            #expect(throws: WireError.self, "cut to \(count)") { try PGRecord(decoding: Array(record[..<count])) }
        }
        #expect(throws: WireError.self) { try ClusterMap(decoding: [9] + map.dropFirst()) }
        #expect(throws: WireError.self) { try PGRecord(decoding: [9] + record.dropFirst()) }
        #expect(throws: WireError.self) { try ClusterMap(decoding: map + [0]) }
    }

    @Test("Sessions out of order are refused: who is live is looked up by binary search")
    func sessionOrder() {
        var source = SampleSource(seed: 5)
        var map = source.map()
        map.sessions = [2, 1].map { Session(id: SessionID($0), node: NodeID(1), lease: .none) }
        let bytes = map.encoded()
        #expect(throws: WireError.self) { try ClusterMap(decoding: bytes) }
    }

    @Test(
        "A junction's name that is no file name is refused", arguments: [[], [0x2F], [0], [0x2E, 0x2E]] as [[UInt8]])
    func junctionName(name: [UInt8]) {
        var source = SampleSource(seed: 5)
        var map = source.map()
        let directory = FileID(fileset: .root, inode: .root)
        map.filesets = [
            Fileset(
                id: FilesetID(2), name: "a", layout: .standard, state: .live,
                junction: Junction(directory: directory, name: name))
        ]
        let bytes = map.encoded()
        #expect(throws: WireError.self) { try ClusterMap(decoding: bytes) }
    }
}
