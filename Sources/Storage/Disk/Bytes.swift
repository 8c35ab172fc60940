import CSupport
import ClusterModel
import DiskIO
import NIOCore
import Wire

extension CRC32C {
    /// The processor's instruction where there is one.
    static let hardware = CRC32C { seed, bytes in cs_crc32c(seed, bytes.baseAddress, bytes.count) }
}

// `withUnsafeReadableBytes` and its kin rethrow untyped errors; these keep the type.

extension [UInt8] {
    func withBytes(_ body: (UnsafeRawBufferPointer) throws(DiskError) -> Void) throws(DiskError) {
        var failure: DiskError?
        withUnsafeBytes { raw in
            do throws(DiskError) { try body(raw) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    mutating func withMutableBytes(_ body: (UnsafeMutableRawBufferPointer) throws(DiskError) -> Void) throws(DiskError)
    {
        var failure: DiskError?
        withUnsafeMutableBytes { raw in
            do throws(DiskError) { try body(raw) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}

/// Carries a value from a disk's thread to its loop, used by one of them after the other.
///
/// `@unchecked`: it is made by `sending`, so the maker keeps no reference, and one completion takes it.
final class Boxed<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: sending Value) { self.value = value }
}

extension ByteBuffer {
    /// Decodes all readable bytes and demands that nothing is left over.
    func decoded<T>(_ body: (inout WireReader) throws(WireError) -> T) throws(WireError) -> T {
        var result: Result<T, WireError>?
        withUnsafeReadableBytes { raw in
            do throws(WireError) {
                var reader = WireReader(raw)
                let value = try body(&reader)
                try reader.finish()
                result = .success(value)
            } catch {
                result = .failure(error)
            }
        }
        guard let result else { throw WireError("nothing to decode") }
        return try result.get()
    }
}

/// What `body` writes.
func wireBytes(_ body: (inout WireWriter) -> Void) -> [UInt8] {
    var w = WireWriter(capacity: 256)
    body(&w)
    return w.bytes
}
