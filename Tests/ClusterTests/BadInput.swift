import Foundation
import Glibc
import ONCRPC

/// Where garbage is sent to.
enum Door {
    case tcp(String, Int)
    case unixSocket(String)

    /// A connection, or nil if nobody listens.
    func connect() -> Int32? {
        switch self {
        case .tcp(let address, let port):
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = in_port_t(port).bigEndian
            inet_pton(AF_INET, address, &target.sin_addr)
            return opened(descriptor, &target)
        case .unixSocket(let path):
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var target = sockaddr_un()
            target.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
            return opened(descriptor, &target)
        }
    }

    private func opened<Address>(_ descriptor: Int32, _ target: inout Address) -> Int32? {
        var limit = timeval(tv_sec: 0, tv_usec: 50_000)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let result = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        if result == 0 { return descriptor }
        close(descriptor)
        return nil
    }
}

/// Bytes that no client should send.
struct Garbage {
    var random: SplitMix64
    /// Whole records that are right, to be spoilt.
    var samples: [[UInt8]]

    mutating func next() -> [UInt8] {
        func any(_ choices: [Int]) -> Int { choices[Int.random(in: 0..<choices.count, using: &random)] }
        func noise(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
        func number(_ value: UInt32) -> [UInt8] {
            (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
        }
        let sample = samples[any(Array(samples.indices))]
        switch any([0, 1, 2, 3, 4, 5]) {
        case 0: return noise(any([1, 3, 4, 5, 100, 5000, 100_000]))
        case 1:
            // A record that is longer than it says, shorter, or longer than any may be.
            let length = UInt32(any([0, 1, 4, 40, 2 << 20, 1 << 30, 0x7fff_ffff]))
            return number(length | 1 << 31) + noise(any([0, 10, 1000]))
        case 2: return Array(sample.prefix(any(Array(0..<sample.count))))
        case 3:
            var spoilt = sample
            for _ in 0..<any([1, 1, 2, 8]) {
                spoilt[any(Array(4..<max(spoilt.count, 5)))] = UInt8(any([0, 1, 127, 255, any(Array(0..<256))]))
            }
            return spoilt
        case 4:
            // Fragments without content.
            return [UInt8](repeating: 0, count: 4 * any([1, 1000, 50_000]))
        default:
            // Something like a frame of the node protocol.
            return noise(4) + [UInt8(any(Array(0..<24))), 0, 0, 0] + number(UInt32(any([0, 100, 1 << 30])))
                + number(UInt32(any([0, 5, 1 << 24]))) + noise(any([0, 50, 3000]))
        }
    }
}
