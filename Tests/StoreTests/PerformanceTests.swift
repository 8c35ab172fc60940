import ClusterModel
import Simulation
import Store
import Testing

@Suite struct PerformanceTests {
    /// In a release build below 2 µs; a debug build is allowed fifty times as much, so that only a change of order fails.
    @Test func aSmallWriteCostsTheMachineLittle() {
        let disk = FakeDisk()
        var configuration = StoreConfiguration.standard
        configuration.segmentSize = 64 << 20
        let host = StoreHost(disk, configuration, boot: 1, seed: 1)
        host.start()
        let pg = PGID.data(1)
        let file = FileID(fileset: FilesetID(1), inode: InodeNumber(2))
        let sums: [UInt32] = [7]
        func entry(_ n: Int) -> Entry {
            let k = n &* 7_919 % 65_536
            let object = ObjectID(file: file, index: UInt64(k / 1_024))
            let write = BlockWrite(
                object: object, blocks: BlockRange(first: k % 1_024, count: 1), checksums: sums, truncation: .none)
            return Entry(
                name: EntryName(epoch: Epoch(1), n: UInt64(n)), body: .write(write), durability: .unstable,
                lossNumber: .zero, time: .zero, payload: PayloadHandle(id: UInt64(n), length: 4096))
        }
        /// One write of a cycle of 16: append, its share of the batch, decide.
        func cycle(_ from: Int) {
            for n in from..<from + 16 { host.store.append(pg, entry(n)) }
            host.store.endOfCycle()
            for effect in host.store.takeEffects() {
                switch effect {
                case .writeLog(let id, _): host.store.logWritten(id)
                case .loadRows(let id, let keys): host.store.rowsLoaded(id, keys.map { _ in nil })
                case .prepareSegment(let id, _, _): host.store.segmentPrepared(id)
                case .growData(let id, _): host.store.dataGrown(id, .grown)
                default: break
                }
            }
            host.store.endOfCycle()
            for effect in host.store.takeEffects() {
                if case .writeLog(let id, _) = effect { host.store.logWritten(id) }
            }
            host.store.decide(pg, through: EntryName(epoch: Epoch(1), n: UInt64(from + 15)))
            _ = host.store.takeEffects()
        }
        var n = 1
        for _ in 0..<600 {
            cycle(n)
            n += 16
        }
        let clock = ContinuousClock()
        let cycles = 1_000
        let time = clock.measure {
            for _ in 0..<cycles {
                cycle(n)
                n += 16
            }
        }
        let each =
            Double(time.components.attoseconds) / 1e9 / Double(cycles * 16) + Double(time.components.seconds) * 1e9
            / Double(cycles * 16)
        print("a small write: \(Int(each)) ns")
        #expect(each < 100_000)
    }
}
