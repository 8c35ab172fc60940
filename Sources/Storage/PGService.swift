import ClusterModel
import NIOCore
import Wire

/// How a request to a placement group ended, seen by its sender.
public enum PGOutcome: Sendable {
    /// The payload is what `PGResponse.payload` stands for.
    case answered(PGResponse, payload: ByteBuffer?)
    /// The connection to the node ended before an answer: whether the request was executed is unknown. It may be sent
    /// again under the same number only.
    case unknown
}

/// The object layer as gateways see it. Called on its event loop only; `done` is called exactly once, on that loop, possibly
/// before the call returns. Requests to the own node never touch a socket.
public protocol PGService: AnyObject {
    var eventLoop: any EventLoop { get }
    var localNode: NodeID { get }
    /// An empty buffer for bytes that will be a request's payload.
    func payloadBuffer(capacity: Int) -> ByteBuffer
    /// The newest map and records known here.
    var view: ClusterView { get }
    /// Called after every change of `view`.
    var viewChanged: (() -> Void)? { get set }
    /// This gateway's session; nil while it has none (its lease has ended, and a new one is being taken).
    var session: SessionID? { get }
    /// Whether this node's lease is valid beyond doubt, margin included. Asked last, as an answer leaves.
    func leaseIsSurelyValid() -> Bool

    func send(_ request: PGRequest, payload: ByteBuffer?, to node: NodeID, done: @escaping (PGOutcome) -> Void)
    /// Flushes several groups of one node with one message. A group that refuses has its refusal in the answer.
    func flush(
        _ groups: [FlushTarget], session: SessionID, mapVersion: MapVersion, on node: NodeID,
        done: @escaping (FlushAnswer?) -> Void)
    /// Bytes from the own in-sync replica once it has applied through `name`, cut at `truncation` where the object has not
    /// seen that cut; nil when it cannot (not a member, learning,
    /// cut meanwhile): then the primary is asked for the bytes.
    func readLocal(
        _ range: ObjectRange, _ truncation: TruncationMark, in pg: PGID, epoch: Epoch, through name: EntryName,
        done: @escaping ((data: ByteBuffer, presence: Presence)?) -> Void)
    /// Reads map and records anew until they are at least this new, then calls `viewChanged`.
    func refresh(atLeast version: MapVersion)
    /// The sum of free and total bytes of data disks, for df.
    var capacity: (total: UInt64, free: UInt64) { get }
}

/// The cluster map and the record of every placement group, as last read.
public struct ClusterView: Sendable {
    public var map: ClusterMap
    /// By index of data group.
    public var data: [PGRecord?]
    /// In the order of `map.filesets`.
    public var metadata: [PGRecord?]

    public init(map: ClusterMap, data: [PGRecord?], metadata: [PGRecord?]) {
        self.map = map
        self.data = data
        self.metadata = metadata
    }

    /// Puts a record in its place; ignored for a group that the map does not have.
    mutating func set(_ record: PGRecord) {
        guard let fileset = record.pg.fileset else {
            let index = Int(record.pg.rawValue)
            if index < data.count { data[index] = record }
            return
        }
        guard let index = map.filesets.firstIndex(where: { $0.id == fileset }), index < metadata.count else { return }
        metadata[index] = record
    }

    public func record(_ pg: PGID) -> PGRecord? {
        guard let fileset = pg.fileset else {
            let index = Int(pg.rawValue)
            return index < data.count ? data[index] : nil
        }
        guard let index = map.filesets.firstIndex(where: { $0.id == fileset }), index < metadata.count else {
            return nil
        }
        return metadata[index]
    }
}
