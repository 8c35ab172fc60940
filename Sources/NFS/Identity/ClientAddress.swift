import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// A client's IP address; IPv4 in its form within IPv6 (RFC 4291, section 2.5.5.2).
struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
    /// 128 bits, the first byte in the highest place.
    let bits: UInt128

    private static let v4Prefix: UInt128 = 0xffff_0000_0000

    init(v4 address: UInt32) { bits = ClientAddress.v4Prefix | UInt128(address) }
    init(v6 address: UInt128) { bits = address }

    /// Nil for addresses that are not of the internet.
    init?(_ address: SocketAddress?) {
        switch address {
        case .v4(let v4): self.init(v4: UInt32(bigEndian: v4.address.sin_addr.s_addr))
        case .v6(let v6):
            self.init(
                v6: withUnsafeBytes(of: v6.address.sin6_addr) { bytes in
                    bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
                })
        case .unixDomainSocket, nil: return nil
        }
    }

    /// Nil unless the text is an IPv4 or IPv6 address.
    init?(_ text: String) {
        guard let address = try? SocketAddress(ipAddress: text, port: 0) else { return nil }
        self.init(address)
    }

    var isV4: Bool { bits >> 32 == 0xffff }

    var description: String {
        if isV4 {
            let a = UInt32(truncatingIfNeeded: bits)
            return "\(a >> 24).\(a >> 16 & 255).\(a >> 8 & 255).\(a & 255)"
        }
        return (0..<8).map { String(UInt16(truncatingIfNeeded: bits >> (112 - 16 * UInt128($0))), radix: 16) }
            .joined(separator: ":")
    }
}

/// A block of addresses in CIDR notation (RFC 4632), such as "10.0.0.0/8", or one address.
struct ClientNetwork: Hashable, Sendable {
    private let prefix: UInt128
    private let mask: UInt128

    /// Nil for what is neither, and for bits set beyond the prefix, which are a mistake of who wrote it.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, let address = ClientAddress(String(first)) else { return nil }
        let width = address.isV4 ? 32 : 128
        var length = width
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let n = Int(parts[1]),
                (0...width).contains(n)
            else { return nil }
            length = n
        }
        let free = width - length
        mask = free == 128 ? 0 : ~UInt128(0) << UInt128(free)
        prefix = address.bits
        guard prefix & mask == prefix else { return nil }
    }

    func contains(_ address: ClientAddress) -> Bool { address.bits & mask == prefix }
}
