import ClusterModel
import Wire

/// What travels with a request. The shell cuts slices out of what it holds and encodes operations.
public enum RequestPayload: Hashable, Sendable {
    case none
    /// `length` bytes from `offset` of a WRITE's payload.
    case slice(PayloadHandle, offset: Int, length: Int)
    case entry(NamespaceEntry)
    case query(NamespaceQuestion)

    var byteCount: Int {
        switch self {
        case .none, .entry, .query: return 0
        case .slice(_, offset: _, let length): return length
        }
    }
}

/// What came with an answer. The shell decodes it, and keeps data under a handle of its own until the operation
/// finishes or `drop` names it.
public enum ReplyContent: Hashable, Sendable {
    case none
    case data(PayloadHandle)
    case result(NamespaceResult)
    case answer(NamespaceAnswer)
    /// The payload could not be decoded: a defect of the sender, answered as an I/O error.
    case malformed
}

/// What the shell has to do, in order.
public enum GatewayEffect: Hashable, Sendable {
    /// The request's own `payload` is nil: the shell fills it from `payload`. Answered by `answered` or `connectionLost`.
    case send(RequestToken, PGRequest, payload: RequestPayload, to: NodeID)
    /// Answered by `flushed`.
    case flush(FlushToken, [FlushTarget], session: SessionID, MapVersion, to: NodeID)
    /// Bytes from the own replica; answered by `readLocally`.
    case readLocal(RequestToken, ObjectRange, TruncationMark, pg: PGID, Epoch, through: EntryName)
    /// The operation's payload and the data it kept may go, once this effect has been executed.
    case finish(OperationID, Result<FileAnswer, FileFailure>)
    /// Data that the operation no longer needs.
    case drop(PayloadHandle)
    /// Read map and records anew.
    case refresh(atLeast: MapVersion)
    /// This session has ended, as the shell or a placement group said; all its operations failed, and nothing is sent
    /// under it again.
    case sessionEnded(SessionID)
}

/// The cluster as the shell last read it.
public struct GatewayView: Sendable {
    public var map: ClusterMap
    /// By index of data group.
    public var data: [PGRecord?]
    /// In the order of `map.filesets`.
    public var metadata: [PGRecord?]
    /// The gateway's session; nil while it has none.
    public var session: SessionID?

    public init(map: ClusterMap, data: [PGRecord?], metadata: [PGRecord?], session: SessionID?) {
        self.map = map
        self.data = data
        self.metadata = metadata
        self.session = session
    }
}
