import ClusterModel
import NIOCore
import Store
import Testing

@testable import Storage

/// Blocks whose own copy is bad, as another replica gave them.
@Suite struct HeldBlocksTests {
    /// What another replica has under that name may be older or newer, or rotten as well.
    @Test("A block that another replica gave takes the place of the bad one only if it is what the plan asks for")
    func byChecksum() {
        var held = HeldBlocks()
        let given = SlotMending.Block(block: 3, checksum: 7, bytes: ByteBuffer(repeating: 1, count: 4096))
        func piece(_ checksum: UInt32) -> ReadPiece {
            ReadPiece(blocks: BlockRange(first: 2, count: 3), source: .data(0), checksums: [5, checksum, 6])
        }
        let isOther = held.take(SlotMending.Outcome(found: [given]), for: 3, checksum: 8)
        #expect(!isOther)
        #expect(held.split(piece(8)).allSatisfy { $0.held == nil })
        let isSame = held.take(SlotMending.Outcome(found: [given]), for: 3, checksum: 7)
        #expect(isSame)
        let parts = held.split(piece(7))
        #expect(parts.map { $0.held == nil } == [true, false, true])
        #expect(parts.map(\.piece.blocks.first) == [2, 3, 4])
    }
}
