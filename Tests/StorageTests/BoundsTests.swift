import DiskIO
import Store
import Testing

@testable import Storage

/// Bounds of two floors that have to do with each other.
struct BoundsTests {
    @Test("A disk whose log has grown to its bound, for a group's tail held it up, can be opened")
    func log() {
        let configuration = StoreConfiguration.standard
        #expect(Int64(configuration.segmentSize) == DiskLimits.logSegmentBytes)
        // Two are being made, or wait to be used again.
        #expect(DiskLimits.logSegments >= StoreLimits.heldUpGrowth * configuration.maximumSegments + 2)
    }

    @Test("The last transaction of a checkpoint has room for all groups of a disk, and a group's row for all filesets")
    func checkpoint() {
        // A row, the tables of 16,384 cuts in pieces of 64 KiB, and the rest of the transaction.
        #expect(DiskLimits.batchChanges >= 65_536 * 9 + StoreConfiguration.standard.rowsPerTransaction)
        #expect(DiskLimits.rowBytes >= 16_384 * 20 + StoreLimits.unpurgedCuts * 12 + StoreLimits.groupState)
    }
}
