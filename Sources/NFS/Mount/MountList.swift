import ONCRPC

/// Who mounted what, as DUMP tells it (RFC 1813, section 5.2.2). Only a hint: a client that vanishes stays in it, and a
/// gateway that restarts forgets it. At the bound the oldest goes.
struct MountList {
    private(set) var entries: [Mount.Mounted] = []

    mutating func mounted(_ entry: Mount.Mounted) {
        if entries.contains(entry) { return }
        if entries.count >= NFSLimits.mounts { entries.removeFirst() }
        entries.append(entry)
    }

    mutating func unmounted(_ entry: Mount.Mounted) { entries.removeAll { $0 == entry } }
    mutating func unmountedAll(by host: String) { entries.removeAll { $0.host == host } }
}
