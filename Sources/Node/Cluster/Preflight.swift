import ClusterModel
import Foundation

/// Looks whether this machine can run a cluster, and says how to mend what stands in the way. Changes nothing.
public struct Preflight {
    public enum Verdict: String, Codable, Sendable {
        case good
        /// The cluster runs, something around it may not.
        case warning
        case bad
    }

    public struct Check: Codable, Sendable {
        public var name: String
        public var verdict: Verdict
        public var found: String
        /// What to do; nil when all is well.
        public var fix: String?
    }

    private let configuration: ClusterConfiguration
    private let launcher: NodeLauncher
    public init(_ launcher: NodeLauncher) {
        configuration = launcher.configuration
        self.launcher = launcher
    }

    public func run() -> [Check] {
        [
            addresses(), nfsPorts(), portmapPorts(), rpcbind(), dataFolder(), leaseFolder(), removeIPC(), memory(),
            files(),
            clients(),
        ]
    }

    // MARK: - Network

    private enum Bound: Equatable {
        case free
        case taken
        case forbidden
        case noSuchAddress
        case failed(String)
    }

    private func bind(_ address: String, _ port: Int) -> Bound {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return .failed(String(cString: strerror(errno))) }
        defer { close(socket) }
        var on: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = UInt16(port).bigEndian
        guard inet_pton(AF_INET, address, &target.sin_addr) == 1 else { return .failed("no IPv4 address") }
        let result = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        // A listener is found out by listening: with SO_REUSEADDR the address alone can be had twice.
        if result == 0, listen(socket, 1) == 0 { return .free }
        switch errno {
        case EADDRINUSE: return .taken
        case EACCES: return .forbidden
        case EADDRNOTAVAIL: return .noSuchAddress
        default: return .failed(String(cString: strerror(errno)))
        }
    }

    private func addresses() -> Check {
        let missing = configuration.nodes.filter { bind($0.address, 0) != .free }.map(\.address)
        return Check(
            name: "addresses", verdict: missing.isEmpty ? .good : .bad,
            found: missing.isEmpty
                ? configuration.nodes.map(\.address).joined(separator: ", ") + " are this machine's"
                : missing.joined(separator: ", ") + " cannot be used here",
            fix: missing.isEmpty
                ? nil : "ip address add \(missing[0])/8 dev lo (or use addresses of this machine in the configuration)")
    }

    private var gateways: [NodeConfiguration] { configuration.nodes.filter { $0.roles.contains(.interface) } }

    private func nfsPorts() -> Check {
        let port = configuration.limits.nfsPort
        var taken: [String] = []
        var forbidden = false
        for node in gateways where launcher.running(node.id) == nil {
            switch bind(node.address, port) {
            case .taken: taken.append(node.address)
            case .forbidden: forbidden = true
            case .free, .noSuchAddress, .failed: break
            }
        }
        if forbidden {
            return Check(
                name: "NFS port", verdict: .bad, found: "port \(port) may not be used by this user", fix: lowPorts(port)
            )
        }
        guard !taken.isEmpty else {
            return Check(name: "NFS port", verdict: .good, found: "port \(port) is free, or this cluster's", fix: nil)
        }
        let kernel = (try? String(contentsOfFile: "/proc/fs/nfsd/threads", encoding: .utf8)).flatMap {
            Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return Check(
            name: "NFS port", verdict: .bad, found: "port \(port) of \(taken.joined(separator: ", ")) is taken",
            fix: (kernel ?? 0) > 0
                ? "the kernel's NFS server has it: systemctl disable --now nfs-server"
                : "find the program with `ss -ltnp 'sport = :\(port)'` and stop it; or set limits.nfsPort")
    }

    private func lowPorts(_ port: Int) -> String {
        "run as root, or: sysctl net.ipv4.ip_unprivileged_port_start=\(port) (without it QEMU's nfs driver finds no portmapper)"
    }

    private func portmapPorts() -> Check {
        let port = configuration.limits.portmapPort
        if port == 0 {
            return Check(
                name: "portmapper", verdict: .warning, found: "none is wanted (limits.portmapPort is 0)",
                fix: "QEMU's nfs driver needs one: leave limits.portmapPort at 111")
        }
        var taken = 0
        var forbidden = 0
        for node in gateways where launcher.running(node.id) == nil {
            switch bind(node.address, port) {
            case .taken: taken += 1
            case .forbidden: forbidden += 1
            case .free, .noSuchAddress, .failed: break
            }
        }
        if forbidden > 0 {
            return Check(
                name: "portmapper", verdict: .bad, found: "port \(port) may not be used by this user",
                fix: lowPorts(port))
        }
        if taken > 0, rpcbindProcess() == nil {
            return Check(
                name: "portmapper", verdict: .bad, found: "port \(port) is taken, and not by rpcbind",
                fix: "find the program with `ss -ltnp 'sport = :\(port)'` and stop it")
        }
        return Check(
            name: "portmapper", verdict: .good,
            found: taken > 0
                ? "rpcbind has port \(port): the gateways register with it" : "port \(port) is free, or this cluster's",
            fix: nil)
    }

    private func rpcbindProcess() -> Int32? {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let process = Int32(name),
                let command = try? String(contentsOfFile: "/proc/\(name)/comm", encoding: .utf8),
                command.trimmingCharacters(in: .whitespacesAndNewlines) == "rpcbind"
            else { continue }
            return process
        }
        return nil
    }

    private func rpcbind() -> Check {
        let isInstalled = ["/sbin/rpcbind", "/usr/sbin/rpcbind"].contains { FileManager.default.fileExists(atPath: $0) }
        if let process = rpcbindProcess() {
            let hasIPv4 = ClusterHealth.answers("127.0.0.1", 111)
            return Check(
                name: "rpcbind", verdict: hasIPv4 ? .good : .bad,
                found: hasIPv4
                    ? "runs (process \(process))"
                    : "runs (process \(process)) without IPv4 TCP: it was started beside a gateway",
                fix: hasIPv4 ? nil : "stave portmap release && systemctl restart rpcbind")
        }
        if isInstalled {
            return Check(
                name: "rpcbind", verdict: .warning,
                found: "is installed and not running: the gateways answer port 111 themselves",
                fix:
                    "to start it later: stave portmap release && systemctl start rpcbind (started beside them it stays without IPv4 TCP)"
            )
        }
        return Check(
            name: "rpcbind", verdict: .good, found: "is not installed: the gateways answer port 111 themselves",
            fix: nil)
    }

    // MARK: - Disks and memory

    /// The nearest folder above a path that exists.
    private func existing(_ path: String) -> String {
        var folder = path
        while folder != "/", !FileManager.default.fileExists(atPath: folder) {
            folder = (folder as NSString).deletingLastPathComponent
        }
        return folder
    }

    private func dataFolder() -> Check {
        var least = UInt64.max
        for folder in [configuration.dataFolder] + configuration.nodes.flatMap({ $0.disks.map(\.path) }) {
            let place = existing(folder)
            guard access(place, W_OK) == 0 else {
                return Check(
                    name: "data folder", verdict: .bad, found: "\(place) cannot be written by this user",
                    fix: "set data: in the configuration (or STAVE_DATA) to a folder of your own")
            }
            var space = statvfs()
            if statvfs(place, &space) == 0 { least = min(least, UInt64(space.f_bavail) * UInt64(space.f_frsize)) }
        }
        // Each disk has a prewritten log, which is made at once.
        let wanted = UInt64(configuration.nodes.reduce(0) { $0 + $1.disks.count }) << 30
        let words = ByteCountFormatter.string(fromByteCount: Int64(clamping: least), countStyle: .binary)
        return Check(
            name: "disk space", verdict: least >= wanted ? .good : least >= wanted / 4 ? .warning : .bad,
            found: "\(words) free for \(configuration.nodes.reduce(0) { $0 + $1.disks.count }) disks",
            fix: least >= wanted
                ? nil : "free space, or move data: in the configuration; 1 GiB for each disk is little already")
    }

    private func leaseFolder() -> Check {
        if geteuid() == 0 {
            let isWritable = access(existing("/run/stave"), W_OK) == 0
            return Check(
                name: "lease folder", verdict: isWritable ? .good : .bad,
                found: "/run/stave \(isWritable ? "can" : "cannot") be written",
                fix: isWritable ? nil : "mount -o remount,rw /run")
        }
        let folder = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"] ?? "/dev/shm"
        let isWritable = access(folder, W_OK) == 0
        return Check(
            name: "lease folder", verdict: isWritable ? .good : .bad,
            found: "\(folder) \(isWritable ? "can" : "cannot") be written",
            fix: isWritable ? nil : "log in anew, or unset XDG_RUNTIME_DIR")
    }

    /// systemd-logind takes a user's files from /dev/shm, and XDG_RUNTIME_DIR whole, when the last session ends.
    private func removeIPC() -> Check {
        guard geteuid() >= 1000, FileManager.default.fileExists(atPath: "/run/systemd/system") else {
            return Check(name: "RemoveIPC", verdict: .good, found: "does not concern this user", fix: nil)
        }
        let text = (try? String(contentsOfFile: "/etc/systemd/logind.conf", encoding: .utf8)) ?? ""
        let isOff = text.split(separator: "\n").contains {
            $0.replacingOccurrences(of: " ", with: "").lowercased() == "removeipc=no"
        }
        let user = String(cString: getpwuid(geteuid())?.pointee.pw_name ?? strdup("\(geteuid())"))
        let lingers = FileManager.default.fileExists(atPath: "/var/lib/systemd/linger/\(user)")
        return Check(
            name: "RemoveIPC", verdict: isOff || lingers ? .good : .warning,
            found: isOff || lingers
                ? "this user's files stay after a logout"
                : "this user's leases go when the last session ends, and the cluster stops serving",
            fix: isOff || lingers ? nil : "loginctl enable-linger \(user)")
    }

    private func memory() -> Check {
        let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") } ?? ""
        let kilobytes = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        let wanted = configuration.nodes.filter { launcher.running($0.id) == nil }.count * 300
        let isEnough = kilobytes / 1024 >= wanted
        return Check(
            name: "memory", verdict: isEnough ? .good : .warning,
            found: "\(kilobytes / 1024) MiB available, \(wanted) wanted by nodes that do not run yet",
            fix: isEnough ? nil : "end other programs, or run fewer nodes (cluster-configs/one-node.yaml)")
    }

    private func files() -> Check {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let isEnough = limit.rlim_cur >= 1024
        return Check(
            name: "open files", verdict: isEnough ? .good : .warning, found: "\(limit.rlim_cur) allowed",
            fix: isEnough ? nil : "ulimit -n 4096")
    }

    private func clients() -> Check {
        let wanted = [
            ("qemu-utils", ["/usr/bin/qemu-img"]),
            (
                "qemu-block-extra",
                ["/usr/lib/x86_64-linux-gnu/qemu/block-nfs.so", "/usr/lib/aarch64-linux-gnu/qemu/block-nfs.so"]
            ),
            ("libnfs-utils", ["/usr/bin/nfs-ls"]), ("nfs-common", ["/sbin/mount.nfs", "/usr/sbin/mount.nfs"]),
        ]
        let missing = wanted.filter { !$0.1.contains { FileManager.default.fileExists(atPath: $0) } }.map(\.0)
        return Check(
            name: "clients", verdict: missing.isEmpty ? .good : .warning,
            found: missing.isEmpty
                ? "qemu-img with nfs://, nfs-ls and mount.nfs are here"
                : "\(missing.joined(separator: ", ")) not installed",
            fix: missing.isEmpty ? nil : "apt-get install --no-install-recommends \(missing.joined(separator: " "))")
    }
}
