import ClusterModel
import NIOCore
import NIOEmbedded
import Storage
import Wire

/// The object layer in memory, answering at once or when told to: bytes of objects by block, one file's attributes.
final class FakeService: PGService {
    func payloadBuffer(capacity: Int) -> ByteBuffer { ByteBufferAllocator().buffer(capacity: capacity) }

    let loop = EmbeddedEventLoop()
    var eventLoop: any EventLoop { loop }
    let localNode = NodeID(1)
    var view: ClusterView
    var viewChanged: (() -> Void)?
    var session: SessionID? = SessionID(1)
    var isLeased = true
    let capacity: (total: UInt64, free: UInt64) = (3000 << 20, 1500 << 20)

    var objects: [ObjectID: [UInt8]] = [:]
    var inode: Inode
    var failure: NamespaceFailure?
    var requests: [PGRequest] = []
    var flushes: [[FlushTarget]] = []
    /// Answers are kept until `release`.
    var holds = false
    private var held: [() -> Void] = []
    /// What is answered instead of executing, once each.
    var refusals: [PGRefusal] = []
    var used = FilesetUsage(inodes: 10, bytes: 0)
    var quota = FilesetQuota.unlimited
    var answersGarbage = false

    init() {
        guard let policy = ReplicationPolicy(copies: 3) else { preconditionFailure("3 copies are allowed") }
        var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 4)
        map.filesets = [Fileset(id: .root, name: "root", layout: .standard, state: .live, junction: nil)]
        map.sessions = [Session(id: SessionID(1), node: NodeID(1), lease: LeaseNumber(1))]
        func record(_ pg: PGID) -> PGRecord {
            PGRecord(
                pg: pg, epoch: Epoch(1), primary: NodeID(1), primaryLease: LeaseNumber(1),
                inSync: [Member(node: NodeID(1), disk: DiskID(1), boot: BootID(1))], learners: [], placement: [],
                lossNumber: .zero)
        }
        view = ClusterView(
            map: map, data: (0..<4).map { record(.data($0)) }, metadata: [record(.metadata(.root))])
        let file = FileID(fileset: .root, inode: InodeNumber(5))
        let attributes = FileAttributes(
            kind: .regular, mode: 0o644, linkCount: 1, uid: 0, gid: 0, size: 0, used: 0,
            device: DeviceNumber(major: 0, minor: 0), file: file, generation: 1, accessTime: .zero,
            modificationTime: .zero, changeTime: .zero, changeCounter: 0)
        inode = Inode(
            attributes: attributes, hint: FileHint(layout: .standard, limit: 64 << 20, truncation: .none))
    }

    var file: FileID { inode.attributes.file }

    func leaseIsSurelyValid() -> Bool { isLeased }

    func release() {
        let answers = held
        held = []
        for answer in answers { answer() }
    }

    func send(_ request: PGRequest, payload: ByteBuffer?, to node: NodeID, done: @escaping (PGOutcome) -> Void) {
        precondition(request.payload?.length == payload?.readableBytes, "the handle tells the payload's length")
        requests.append(request)
        func answer(_ body: PGResponseBody, _ payload: ByteBuffer? = nil) {
            let outcome = PGOutcome.answered(PGResponse(pg: request.pg, epoch: Epoch(1), body: body), payload: payload)
            if holds { held.append { done(outcome) } } else { done(outcome) }
        }
        if !refusals.isEmpty { return answer(.refused(refusals.removeFirst())) }
        switch request.body {
        case .write(let range, _, _):
            var object = objects[range.object] ?? [UInt8](repeating: 0, count: Geometry.objectSize)
            let bytes = payload.map { Array($0.readableBytesView) } ?? []
            object.replaceSubrange(range.offset..<range.offset + range.length, with: bytes)
            objects[range.object] = object
            answer(.written(stamp: LossNumber(3)))
        case .zero(let object, let blocks, _, _):
            if objects[object] != nil {
                let lower = blocks.first * Geometry.blockSize
                objects[object]?.replaceSubrange(
                    lower..<lower + blocks.byteCount, with: [UInt8](repeating: 0, count: blocks.byteCount))
            }
            answer(.written(stamp: LossNumber(3)))
        case .read(let range, _):
            guard let object = objects[range.object] else { return answer(.data(present: .someAbsent)) }
            let bytes = ByteBuffer(bytes: object[range.offset..<range.offset + range.length])
            answer(.data(present: .complete), bytes)
        case .mutate: answer(.mutated(stamp: LossNumber(3)), mutate(payload))
        case .query: answer(.answered, question(payload))
        case .deleteRange, .readVersion, .flush: answer(.refused(.invalid))
        }
    }

    private func mutate(_ payload: ByteBuffer?) -> ByteBuffer {
        let bytes = payload.map { Array($0.readableBytesView) } ?? []
        var result = NamespaceResult(inode: inode)
        if let entry = bytes.withUnsafeBytes({ raw in
            var reader = WireReader(raw)
            return try? NamespaceEntry(from: &reader)
        }), case .extend(inode: _, let size, truncation: _) = entry.operation {
            inode.attributes.size = max(inode.attributes.size, size)
            result.inode = inode
        }
        result.failure = failure
        return encoded { result.encode(into: &$0) }
    }

    private func question(_ payload: ByteBuffer?) -> ByteBuffer {
        if answersGarbage { return ByteBuffer(bytes: [255, 255, 255]) }
        let bytes = payload.map { Array($0.readableBytesView) } ?? []
        let query = bytes.withUnsafeBytes { raw in
            var reader = WireReader(raw)
            return (try? NamespaceQuestion(from: &reader))?.query
        }
        let answer: NamespaceAnswer
        switch query {
        case .attributes: answer = .inode(inode)
        case .usage: answer = .usage(used, quota)
        case .lookup: answer = .found(inode, directory: inode.attributes)
        default: answer = .failed(.notFound)
        }
        return encoded { answer.encode(into: &$0) }
    }

    private func encoded(_ body: (inout WireWriter) -> Void) -> ByteBuffer {
        var writer = WireWriter(capacity: 256)
        body(&writer)
        return ByteBuffer(bytes: writer.bytes)
    }

    func flush(
        _ groups: [FlushTarget], session: SessionID, mapVersion: MapVersion, on node: NodeID,
        done: @escaping (FlushAnswer?) -> Void
    ) {
        flushes.append(groups)
        done(.all(LossNumber(4)))
    }

    func readLocal(
        _ range: ObjectRange, _ truncation: TruncationMark, in pg: PGID, epoch: Epoch, through name: EntryName,
        done: @escaping ((data: ByteBuffer, presence: Presence)?) -> Void
    ) { done(nil) }

    func refresh(atLeast version: MapVersion) {}
}
