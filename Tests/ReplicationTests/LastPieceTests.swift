import ClusterModel
import Testing
import Wire

@testable import Replication

/// The last piece of an object says that nothing lies behind it.
struct LastPieceTests {
    private let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0)

    /// Member 3 learns an object of one piece; while that is read, blocks are changed. The pieces that it is sent.
    private func pieces(changing blocks: BlockRange?, _ mutation: Mutation? = nil) throws -> [Piece] {
        let trio = try HandoverTests.Trio()
        var pieces: [Piece] = []
        var reads: [(blocks: BlockRange, token: WorkToken)] = []
        let object = object
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .listChanges(_, let token):
                trio.groups[i].changesListed(token, i == 0 ? [object] : [], cuts: [], at: trio.moment)
            case .readPiece(_, let blocks, let token): reads.append((blocks, token))
            case .installPiece(let piece, let token):
                pieces.append(piece)
                trio.groups[i].installed(token, at: trio.moment)
            case .syncAll(let token): trio.groups[i].installed(token, at: trio.moment)
            default: return .passesOn
            }
            return .done
        }
        trio.begin()
        trio.pass(milliseconds: 1500)
        for group in trio.groups { group.mutation = mutation }
        trio.thirdLearnsAnew(seconds: 6) { !reads.isEmpty }
        #expect(reads.count == 1)
        var change = blocks
        while !reads.isEmpty {
            let read = reads.removeFirst()
            if let blocks = change {
                let decided = trio.groups[0].decided.n
                trio.change(.zero(object, blocks, .none, .unstable))
                try #require(trio.groups[0].decided.n > decided)
                change = nil
            }
            // As it was before the change.
            trio.groups[0].pieceRead(
                read.token,
                PieceContent(
                    content: 0, zero: 1, checksums: [], version: EntryName(epoch: Epoch(1), n: 1), truncation: .none,
                    position: .last, payload: nil), at: trio.moment)
            trio.settle()
        }
        return pieces
    }

    @Test("A piece is not the last one any more when the object grew behind it while it was read")
    func growsBehind() throws {
        #expect(try pieces(changing: nil).map(\.position) == [.last])
        let behind = BlockRange(first: 64, count: 2)
        #expect(try pieces(changing: behind).map(\.position) == [.more, .last])
        #expect(try pieces(changing: behind, .lastPieceTrusted).map(\.position) == [.last])
    }
}
