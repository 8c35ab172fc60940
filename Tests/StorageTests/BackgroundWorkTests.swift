import ClusterModel
import Replication
import Testing
import Wire

@testable import Storage

struct BackgroundWorkTests {
    private func request(_ body: PGRequestBody) -> PGRequest {
        PGRequest(
            pg: .data(0), session: SessionID(1), number: .none, ended: .none, epoch: Epoch(1),
            mapVersion: MapVersion(1),
            body: body)
    }
    private let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0)

    @Test("Requests are judged by what their answer waits for: memory, logs or disks")
    func classes() {
        let range = ObjectRange(object: object, offset: 0, length: 4096)
        let blocks = BlockRange(first: 0, count: 1)
        let expected: [(PGRequestBody, Governor.RequestClass)] = [
            (.read(range, .none), .read), (.readVersion(range, .none), .read), (.query, .read),
            (.write(range, .none, .unstable), .unstable), (.zero(object, blocks, .none, .unstable), .unstable),
            (.mutate(.unstable, nil), .unstable), (.write(range, .none, .stable), .stable),
            (.zero(object, blocks, .none, .stable), .stable), (.mutate(.stable, nil), .stable), (.flush, .stable),
        ]
        for (body, kind) in expected { #expect(Governor.RequestClass(request(body)) == kind) }
    }

    @Test("The governor hears of an answered request, and not of one that its disk took along")
    func answers() throws {
        var table = RequestTable()
        var governor = Governor(at: Instant(nanoseconds: 0))
        for _ in 0..<200 {
            let token = table.add(request(.flush)) { _ in }
            #expect(table.take(token, &governor) != nil)
            _ = table.add(request(.query)) { _ in }
        }
        #expect(table.takeAll(of: .data(0)).count == 200)
        governor.look(.none, waiting: 0, at: Instant(nanoseconds: 1_000_000_000))
        #expect(governor.p99(.stable).healthy != nil)
        #expect(governor.p99(.read).recent == nil)
    }

    @Test(
        "What was copied or scrubbed counts once; a group that leaves takes its sum along, and so does a scrub that ends"
    )
    func copied() {
        var work = BackgroundWork(RecoverySettings(), at: Instant(nanoseconds: 0))
        work.noteCopied(3 << 20)
        work.noteCopied(1 << 20)
        work.noteCopied(2 << 20)
        work.noteScrubbed(3 << 20)
        work.noteScrubbed(0)
        work.noteScrubbed(1 << 20)
        work.look(.here, waiting: 0, at: Instant(nanoseconds: 1_000_000_000))
        #expect(work.governor.done == .mebibytes(8))
    }
}
