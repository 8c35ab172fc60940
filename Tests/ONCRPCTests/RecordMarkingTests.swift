import ONCRPC
import Testing

/// Feeds a stream to the machine in pieces and collects the records, as a connection does.
private func records(of stream: [UInt8], pieces: (inout TestRandom) -> Int, seed: UInt64, bound: Int = 1000) throws
    -> [[UInt8]]
{
    var random = TestRandom(seed: seed)
    var scanner = RecordScanner(bound: bound)
    var buffer: [UInt8] = []
    var rest = stream[...]
    var record: [UInt8] = []
    var result: [[UInt8]] = []
    while !rest.isEmpty {
        let piece = rest.prefix(pieces(&random))
        rest = rest.dropFirst(piece.count)
        buffer += piece
        scan: while true {
            switch try buffer.withUnsafeBytes({ try scanner.next($0) }) {
            case .needs: break scan
            case .fragment(let length):
                record += buffer[4..<4 + length]
                buffer.removeFirst(4 + length)
            case .lastFragment(let length):
                record += buffer[4..<4 + length]
                buffer.removeFirst(4 + length)
                result.append(record)
                record = []
            }
        }
    }
    return result
}

private func marked(_ length: Int, last: Bool) -> [UInt8] {
    var writer = XDRWriter()
    writer.uint32(UInt32(length) | (last ? 0x8000_0000 : 0))
    return writer.bytes
}

@Suite struct RecordMarkingTests {
    @Test("Records in any fragments, arriving in any pieces, come out whole", arguments: 0..<50)
    func anyFragmentsAnyPieces(seed: Int) throws {
        var random = TestRandom(seed: UInt64(seed))
        var stream: [UInt8] = []
        var sent: [[UInt8]] = []
        for _ in 0..<20 {
            let record = random.bytes(random.below(200))
            sent.append(record)
            var rest = record[...]
            while random.below(3) == 0 {
                let fragment = rest.prefix(random.below(60))
                rest = rest.dropFirst(fragment.count)
                stream += marked(fragment.count, last: false) + fragment
            }
            stream += marked(rest.count, last: true) + rest
        }
        #expect(try records(of: stream, pieces: { 1 + $0.below(90) }, seed: UInt64(seed)) == sent, "seed \(seed)")
        #expect(try records(of: stream, pieces: { _ in 1 }, seed: 0) == sent, "seed \(seed)")
    }

    @Test("A record greater than the bound is refused at its mark, before a byte of it arrived")
    func greatRecord() throws {
        var scanner = RecordScanner()
        let mark = marked(RPCLimits.recordBytes + 1, last: true)
        #expect(throws: XDRError.self) { try mark.withUnsafeBytes { try scanner.next($0) } }
        var fitting = RecordScanner()
        let fits = marked(RPCLimits.recordBytes, last: true)
        #expect(try fits.withUnsafeBytes { try fitting.next($0) } == .needs(4 + RPCLimits.recordBytes))
    }

    @Test("Fragments that together exceed the bound are refused")
    func sumOfFragments() {
        let stream = marked(600, last: false) + [UInt8](repeating: 1, count: 600) + marked(401, last: true)
        #expect(throws: XDRError.self) { try records(of: stream, pieces: { _ in 4096 }, seed: 0, bound: 1000) }
    }

    @Test("Fragments of no bytes without end are refused")
    func emptyFragments() {
        let stream = (0...RPCLimits.fragmentsPerRecord).flatMap { _ in marked(0, last: false) }
        #expect(throws: XDRError.self) { try records(of: stream, pieces: { _ in 4096 }, seed: 0) }
    }

    @Test("Within a record the machine knows that it is")
    func withinRecord() throws {
        var scanner = RecordScanner()
        #expect(!scanner.isWithinRecord)
        _ = try marked(0, last: false).withUnsafeBytes { try scanner.next($0) }
        #expect(scanner.isWithinRecord)
        _ = try marked(0, last: true).withUnsafeBytes { try scanner.next($0) }
        #expect(!scanner.isWithinRecord)
    }
}
