import ClusterModel
import NIOCore

/// The bytes behind payload handles, counted references. One table per event loop; used on that loop only.
///
/// Invariant: a handle's bytes stay until as many `drop`s as `add` (one) and `keep`s came.
public final class PayloadTable {
    private struct Held {
        var bytes: Payload
        var references: Int
    }
    private var held: [UInt64: Held] = [:]
    private var lastID: UInt64 = 0
    /// Bytes held now, for metrics and limits.
    public private(set) var byteCount = 0

    public init() { held.reserveCapacity(4096) }

    public var count: Int { held.count }

    /// Takes the buffer's readable bytes under a new handle with one reference.
    public func add(_ bytes: ByteBuffer) -> PayloadHandle { add(Payload(bytes)) }

    /// Takes the bytes under a new handle with one reference.
    public func add(_ bytes: Payload) -> PayloadHandle {
        lastID += 1
        held[lastID] = Held(bytes: bytes, references: 1)
        byteCount += bytes.count
        return PayloadHandle(id: lastID, length: bytes.count)
    }

    /// The same bytes at another place.
    func replace(_ handle: PayloadHandle, by bytes: Payload) {
        precondition(bytes.count == handle.length, "a payload has its length wherever it lies")
        held[handle.id]?.bytes = bytes
    }

    public func keep(_ handle: PayloadHandle) { held[handle.id]?.references += 1 }

    public func drop(_ handle: PayloadHandle) {
        guard let index = held.index(forKey: handle.id) else { return }
        if held.values[index].references > 1 {
            held.values[index].references -= 1
        } else {
            byteCount -= held.values[index].bytes.count
            held.remove(at: index)
        }
    }

    /// All bytes side by side; nil for a handle that was dropped.
    public func bytes(of handle: PayloadHandle) -> ByteBuffer? {
        guard let index = held.index(forKey: handle.id) else { return nil }
        return held.values[index].bytes.join()
    }

    /// The bytes as they came; nil for a handle that was dropped.
    public func payload(of handle: PayloadHandle) -> Payload? { held[handle.id]?.bytes }
}
