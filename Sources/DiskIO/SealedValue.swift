import CSupport

/// Values as a namespace's database stores them: with a CRC32C behind, over the row's name, its version and the value. SQLite
/// has no checksum of its own in the database file, so a value that has rotted would be served, and exported to others.
enum SealedValue {
    private static let sealBytes = 4

    static func seal(_ value: [UInt8], name: [UInt8], version: UInt64) -> [UInt8] {
        var sealed = value
        sealed.reserveCapacity(value.count + sealBytes)
        withUnsafeBytes(of: checksum(value[...], name, version).littleEndian) { sealed.append(contentsOf: $0) }
        return sealed
    }

    /// Nil if the value is not what was stored under this name and version.
    static func open(_ sealed: [UInt8], name: [UInt8], version: UInt64) -> [UInt8]? {
        guard sealed.count >= sealBytes else { return nil }
        let end = sealed.count - sealBytes
        let stored = sealed[end...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard checksum(sealed[..<end], name, version) == stored else { return nil }
        return Array(sealed[..<end])
    }

    private static func checksum(_ value: ArraySlice<UInt8>, _ name: [UInt8], _ version: UInt64) -> UInt32 {
        var crc = name.withUnsafeBytes { cs_crc32c(0, $0.baseAddress, $0.count) }
        crc = withUnsafeBytes(of: version.littleEndian) { cs_crc32c(crc, $0.baseAddress, $0.count) }
        return value.withUnsafeBytes { cs_crc32c(crc, $0.baseAddress, $0.count) }
    }
}
