import ClusterModel
import ONCRPC

/// The cluster's secret that authenticates file handles: 16 random bytes, the same at every gateway and for ever.
public struct HandleKey: Sendable {
    let words: (UInt64, UInt64)

    /// - Parameter bytes: exactly 16; nil otherwise.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for i in 0..<8 {
            words.0 |= UInt64(bytes[i]) << (8 * UInt64(i))
            words.1 |= UInt64(bytes[i + 8]) << (8 * UInt64(i))
        }
        self.words = words
    }
}

/// What a file handle says: a file as seen through an export.
struct HandleContent: Hashable, Sendable {
    var export: ExportID
    var file: FileID
    var generation: UInt64
}

/// Makes and checks file handles.
///
/// Invariants:
/// - a handle is 44 bytes: version 1, three zeros, export (4), fileset (4), inode (8), generation (8), and 16 bytes of
///   SipHash-2-4-128 over these 28 under the cluster's key, all little-endian;
/// - nothing of a handle is believed before its MAC was compared, in time that does not depend on where it differs;
/// - a handle depends on nothing else, so it holds at every gateway and after every restart.
struct HandleCodec: Sendable {
    static let bytes = 44
    private static let contentBytes = 28
    private let key: HandleKey

    init(key: HandleKey) { self.key = key }

    func handle(_ content: HandleContent) -> NFS3.FileHandle {
        withUnsafeTemporaryAllocation(byteCount: HandleCodec.bytes, alignment: 8) { memory in
            memory.initializeMemory(as: UInt8.self, repeating: 0)
            memory[0] = 1
            memory.storeBytes(of: content.export.rawValue.littleEndian, toByteOffset: 4, as: UInt32.self)
            memory.storeBytes(of: content.file.fileset.rawValue.littleEndian, toByteOffset: 8, as: UInt32.self)
            memory.storeBytes(of: content.file.inode.rawValue.littleEndian, toByteOffset: 12, as: UInt64.self)
            memory.storeBytes(of: content.generation.littleEndian, toByteOffset: 20, as: UInt64.self)
            let mac = mac(UnsafeRawBufferPointer(rebasing: memory[..<HandleCodec.contentBytes]))
            memory.storeBytes(of: mac.littleEndian, toByteOffset: HandleCodec.contentBytes, as: UInt128.self)
            return NFS3.FileHandle(UnsafeRawBufferPointer(memory))
        }
    }

    /// Nil for whatever this key did not make.
    func content(_ handle: NFS3.FileHandle) -> HandleContent? {
        guard handle.count == HandleCodec.bytes else { return nil }
        return handle.withBytes { memory -> HandleContent? in
            let given = UInt128(
                littleEndian: memory.loadUnaligned(fromByteOffset: HandleCodec.contentBytes, as: UInt128.self))
            let own = mac(UnsafeRawBufferPointer(rebasing: memory[..<HandleCodec.contentBytes]))
            guard given ^ own == 0, memory[0] == 1 else { return nil }
            let export = UInt32(littleEndian: memory.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            let fileset = UInt32(littleEndian: memory.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            let inode = UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: 12, as: UInt64.self))
            let generation = UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: 20, as: UInt64.self))
            return HandleContent(
                export: ExportID(export),
                file: FileID(fileset: FilesetID(fileset), inode: InodeNumber(inode)), generation: generation)
        }
    }

    private func mac(_ bytes: UnsafeRawBufferPointer) -> UInt128 {
        var hash = SipHash(key: key.words, width: .bits128)
        hash.combine(bytes)
        return hash.finish128()
    }
}
