import ClusterModel
import Wire

/// What a fileset's namespace should be: a tree written for plainness only. It says what operations and questions of the
/// superuser should answer; link counts and the like are computed by looking.
struct ModelTree {
    struct Node {
        var kind: FileKind
        var mode: UInt16
        var size: UInt64 = 0
        var limit: UInt64 = 0
        var truncation = TruncationNumber.zero
        var target: [UInt8] = []
        var verifier: UInt64?
        /// Of a directory.
        var parent = InodeNumber(0)
        var children: [FileName: Child] = [:]
        var nextCookie: UInt64 = 3

        /// In the order of a listing.
        var listed: [(name: FileName, child: Child)] {
            children.map { ($0.key, $0.value) }.sorted { $0.1.cookie < $1.1.cookie }
        }
    }
    struct Child {
        var inode: InodeNumber
        var cookie: UInt64
    }
    /// A cut or a removal that data groups have not confirmed.
    struct Deletion: Equatable {
        var inode: InodeNumber
        var number: TruncationNumber
        var kind: RangeDeletion.Kind
    }

    private(set) var nodes: [InodeNumber: Node] = [:]
    private(set) var deletions: [Deletion] = []
    private var next: UInt64 = InodeNumber.root.rawValue + 1
    private var reserved: UInt64 = InodeNumber.root.rawValue
    private var stripeUnit: UInt64 = 0

    func linkCount(_ inode: InodeNumber) -> UInt32 {
        guard let node = nodes[inode] else { return 0 }
        if node.kind == .directory {
            return 2 + UInt32(node.children.values.filter { nodes[$0.inode]?.kind == .directory }.count)
        }
        return UInt32(nodes.values.reduce(0) { $0 + $1.children.values.filter { $0.inode == inode }.count })
    }

    var nameCount: Int { nodes.values.reduce(0) { $0 + $1.children.count } }
    /// Ascending.
    var inodes: [InodeNumber] { nodes.keys.sorted() }

    // MARK: Operations

    /// What an operation gives: the inode that its result shows, or why it failed.
    enum Effect {
        case failed(NamespaceFailure)
        case shows(InodeNumber)
        case done
    }

    mutating func apply(_ entry: NamespaceEntry) -> Effect {
        switch entry.operation {
        case .initialize(let setup):
            if nodes[.root] == nil {
                nodes[.root] = Node(kind: .directory, mode: setup.mode, parent: .root)
                stripeUnit = UInt64(setup.layout.stripeUnit)
                reserved = max(reserved, InodeNumber.root.rawValue + 4096)
            }
            return .shows(.root)
        case .create(let directory, let name, let file, let wanted):
            return create(directory, name, file, wanted, entry.semantics)
        case .link(let inode, let directory, let name): return link(inode, directory, name)
        case .remove(let directory, let name): return remove(directory, name, wantsDirectory: false)
        case .removeDirectory(let directory, let name): return remove(directory, name, wantsDirectory: true)
        case .rename(let from, let name, let to, let newName): return rename(from, name, to, newName)
        case .setAttributes(let inode, let changes, _): return setAttributes(inode, changes, entry.semantics)
        case .raiseLimit(let inode, let limit):
            return regular(inode) { $0.limit = max($0.limit, limit) }
        case .extend(let inode, let size, let truncation):
            guard let node = nodes[inode] else { return .failed(.stale) }
            if node.kind == .regular, truncation == node.truncation, size > max(node.size, node.limit) {
                return .failed(.invalid)
            }
            return regular(inode) { if truncation == $0.truncation { $0.size = max($0.size, size) } }
        case .finishRangeDeletion(let inode, let number):
            deletions.removeAll { $0.inode == inode && $0.number == number }
            return .done
        case .reserveInodes(let through):
            reserved = max(reserved, through.rawValue)
            return .done
        case .abandonReservation:
            next = max(next, reserved + 1)
            return .done
        case .touchAccessTime(let inode): return nodes[inode] == nil ? .failed(.stale) : .shows(inode)
        case .registerWriter(let inode, _), .settle(let inode, _, _, _): return regular(inode) { _ in }
        case .settleSession, .recordFileUsage, .recordUsage, .setQuota: return .done
        }
    }

    private mutating func regular(_ inode: InodeNumber, _ change: (inout Node) -> Void) -> Effect {
        guard var node = nodes[inode] else { return .failed(.stale) }
        guard node.kind == .regular else { return .failed(.invalid) }
        change(&node)
        nodes[inode] = node
        return .shows(inode)
    }

    /// Why a directory cannot be used as one.
    private func refusal(_ directory: InodeNumber) -> NamespaceFailure? {
        guard let node = nodes[directory] else { return .stale }
        return node.kind == .directory ? nil : .notDirectory
    }

    private mutating func add(_ name: FileName, to directory: InodeNumber, _ inode: InodeNumber) {
        guard let cookie = nodes[directory]?.nextCookie else { return }
        nodes[directory]?.nextCookie += 1
        nodes[directory]?.children[name] = Child(inode: inode, cookie: cookie)
    }

    /// The name goes, and with the last one the inode.
    private mutating func drop(_ name: FileName, from directory: InodeNumber) {
        guard let child = nodes[directory]?.children.removeValue(forKey: name), let node = nodes[child.inode] else {
            return
        }
        guard node.kind == .directory || linkCount(child.inode) == 0 else { return }
        nodes[child.inode] = nil
        guard node.kind == .regular else { return }
        deletions.removeAll { $0.inode == child.inode }
        deletions.append(Deletion(inode: child.inode, number: node.truncation.next, kind: .removal))
    }

    private mutating func create(
        _ directory: InodeNumber, _ name: FileName, _ file: NewFile, _ wanted: AttributeChanges, _ semantics: UInt32
    ) -> Effect {
        if let failure = refusal(directory) { return .failed(failure) }
        if let found = nodes[directory]?.children[name]?.inode {
            guard case .regular(let how) = file, let node = nodes[found], node.kind == .regular else {
                return .failed(.exists)
            }
            switch how {
            case .guarded: return .failed(.exists)
            case .exclusive(let verifier): return node.verifier == verifier ? .shows(found) : .failed(.exists)
            case .unchecked:
                return wanted.size == 0 ? setAttributes(found, AttributeChanges(size: 0), semantics) : .shows(found)
            }
        }
        guard reserved >= next else { return .failed(.noSpace) }
        var node: Node
        switch file {
        case .regular(let how):
            node = Node(kind: .regular, mode: wanted.mode ?? 0o600)
            node.size = wanted.size ?? 0
            node.limit = stripeUnit
            if case .exclusive(let verifier) = how { node.verifier = verifier }
        case .directory: node = Node(kind: .directory, mode: wanted.mode ?? 0o700, parent: directory)
        case .symbolicLink(let target):
            node = Node(kind: .symbolicLink, mode: 0o777)
            node.target = target
        case .device(let kind, _): node = Node(kind: kind, mode: wanted.mode ?? 0o600)
        case .fifo: node = Node(kind: .fifo, mode: wanted.mode ?? 0o600)
        case .socket: node = Node(kind: .socket, mode: wanted.mode ?? 0o600)
        }
        let inode = InodeNumber(next)
        next += 1
        nodes[inode] = node
        add(name, to: directory, inode)
        return .shows(inode)
    }

    private mutating func link(_ inode: InodeNumber, _ directory: InodeNumber, _ name: FileName) -> Effect {
        guard let node = nodes[inode] else { return .failed(.stale) }
        if let failure = refusal(directory) { return .failed(failure) }
        if nodes[directory]?.children[name] != nil { return .failed(.exists) }
        if node.kind == .directory { return .failed(.notPermitted) }
        add(name, to: directory, inode)
        return .shows(inode)
    }

    private mutating func remove(_ directory: InodeNumber, _ name: FileName, wantsDirectory: Bool) -> Effect {
        if let failure = refusal(directory) { return .failed(failure) }
        guard let inode = nodes[directory]?.children[name]?.inode, let node = nodes[inode] else {
            return .failed(.notFound)
        }
        if wantsDirectory {
            if node.kind != .directory { return .failed(.notDirectory) }
            if !node.children.isEmpty { return .failed(.notEmpty) }
        } else if node.kind == .directory {
            return .failed(.isDirectory)
        }
        drop(name, from: directory)
        return .done
    }

    private func isWithin(_ directory: InodeNumber, _ ancestor: InodeNumber) -> Bool {
        var inode = directory
        while inode != ancestor {
            guard inode != .root, let parent = nodes[inode]?.parent else { return false }
            inode = parent
        }
        return true
    }

    private mutating func rename(
        _ from: InodeNumber, _ name: FileName, _ to: InodeNumber, _ newName: FileName
    ) -> Effect {
        if let failure = refusal(from) ?? refusal(to) { return .failed(failure) }
        guard let moving = nodes[from]?.children[name], let file = nodes[moving.inode] else {
            return .failed(.notFound)
        }
        if file.kind == .directory, isWithin(to, moving.inode) { return .failed(.invalid) }
        let replaced = nodes[to]?.children[newName]
        if replaced?.inode == moving.inode { return .shows(moving.inode) }
        if let replaced, let old = nodes[replaced.inode] {
            if file.kind == .directory {
                if old.kind != .directory { return .failed(.notDirectory) }
                if !old.children.isEmpty { return .failed(.notEmpty) }
            } else if old.kind == .directory {
                return .failed(.isDirectory)
            }
            drop(newName, from: to)
        }
        nodes[from]?.children[name] = nil
        if let replaced {
            nodes[to]?.children[newName] = Child(inode: moving.inode, cookie: replaced.cookie)
        } else if from == to {
            nodes[to]?.children[newName] = moving
        } else {
            add(newName, to: to, moving.inode)
        }
        if file.kind == .directory { nodes[moving.inode]?.parent = to }
        return .shows(moving.inode)
    }

    private mutating func setAttributes(
        _ inode: InodeNumber, _ changes: AttributeChanges, _ semantics: UInt32
    ) -> Effect {
        guard var node = nodes[inode] else { return .failed(.stale) }
        if let size = changes.size {
            if node.kind == .directory { return .failed(.isDirectory) }
            if node.kind != .regular { return .failed(.invalid) }
            if size < node.size {
                if semantics >= 2, deletions.contains(where: { $0.inode == inode }) { return .failed(.cutUnfinished) }
                node.truncation = node.truncation.next
                node.limit = min(node.limit, max(size, stripeUnit))
                deletions.append(Deletion(inode: inode, number: node.truncation, kind: .truncation))
            }
            node.size = size
        }
        if let mode = changes.mode { node.mode = mode }
        nodes[inode] = node
        return .shows(inode)
    }
}

// MARK: - What others answer

extension ModelTree {
    /// How a result differs from what it should be.
    func difference(_ effect: Effect, _ result: NamespaceResult) -> String? {
        switch effect {
        case .failed(let failure):
            return result.failure == failure ? nil : "\(shown(result.failure)) for \(shown(failure))"
        case .done: return result.failure.map { "\($0) for success" }
        case .shows(let inode):
            if let failure = result.failure { return "\(failure) for success" }
            guard let found = result.inode else { return "no inode where \(inode) should be" }
            return difference(inode, found.attributes)
        }
    }

    private func shown(_ failure: NamespaceFailure?) -> String { failure.map { "\($0)" } ?? "success" }

    func difference(_ inode: InodeNumber, _ found: FileAttributes) -> String? {
        guard let node = nodes[inode] else { return "inode \(found.file.inode), which is not there" }
        if found.file.inode != inode { return "inode \(found.file.inode) for \(inode)" }
        if found.kind != node.kind { return "\(found.kind) for \(node.kind)" }
        if found.linkCount != linkCount(inode) {
            return "\(found.linkCount) links of inode \(inode) for \(linkCount(inode))"
        }
        if found.mode != node.mode { return "mode \(found.mode) of inode \(inode) for \(node.mode)" }
        if node.kind == .regular, found.size != node.size {
            return "size \(found.size) of inode \(inode) for \(node.size)"
        }
        return nil
    }

    /// How an answer differs from what it should be.
    func difference(_ query: NamespaceQuery, _ answer: NamespaceAnswer) -> String? {
        func inode(_ wanted: InodeNumber, _ failure: NamespaceFailure?) -> String? {
            switch (failure, answer) {
            case (let failure?, .failed(let found)): return failure == found ? nil : "\(found) for \(failure)"
            case (nil, .found(let found, _)), (nil, .inode(let found)): return difference(wanted, found.attributes)
            default: return "\(answer) for \(shown(failure))"
            }
        }
        switch query {
        case .lookup(let directory, let name):
            let child = nodes[directory]?.children[name]
            return inode(
                child?.inode ?? InodeNumber(0), refusal(directory) ?? (child == nil ? .notFound : nil))
        case .parent(let directory):
            return inode(nodes[directory]?.parent ?? InodeNumber(0), refusal(directory))
        case .attributes(let number): return inode(number, nodes[number] == nil ? .stale : nil)
        case .list(let directory, let cookie, let limit, _):
            if let failure = refusal(directory) { return answer == .failed(failure) ? nil : "\(answer) for \(failure)" }
            guard case .entries(let entries, _, let end) = answer else { return "\(answer) for a listing" }
            let rest = (nodes[directory]?.listed ?? []).filter { $0.child.cookie > cookie }
            let wanted = rest.prefix(limit)
            let isEqual =
                entries.count == wanted.count
                && zip(entries, wanted).allSatisfy {
                    $0.name == $1.name && $0.inode == $1.child.inode && $0.cookie == $1.child.cookie
                }
            guard isEqual, end == (rest.count > limit ? .more : .reached) else {
                return
                    "\(entries.map { "\($0.name) \($0.inode)" }) \(end) for \(wanted.map { "\($0.name) \($0.child.inode)" })"
            }
            for entry in entries {
                if let details = entry.details, let wrong = difference(entry.inode, details.attributes) { return wrong }
            }
            return nil
        case .readSymbolicLink(let number):
            guard let node = nodes[number] else { return answer == .failed(.stale) ? nil : "\(answer) for stale" }
            if node.kind != .symbolicLink { return answer == .failed(.invalid) ? nil : "\(answer) for invalid" }
            guard case .symbolicLink(node.target, _) = answer else { return "\(answer) for a target" }
            return nil
        case .usage:
            guard case .usage(let usage, _) = answer else { return "\(answer) for a usage" }
            return usage.inodes == UInt64(nodes.count) ? nil : "\(usage.inodes) inodes for \(nodes.count)"
        case .pendingDeletions(let after, let limit):
            guard case .deletions(let found) = answer else { return "\(answer) for deletions" }
            let rest = deletions.filter { $0.inode > after }
            let wanted = found.map { Deletion(inode: $0.file.inode, number: $0.truncation.number, kind: $0.kind) }
            let isWhole = rest.count > limit || wanted.count == rest.count
            return isWhole && wanted.allSatisfy(rest.contains) ? nil : "deletions \(wanted) for \(rest)"
        case .access, .measurable, .allocation: return nil
        }
    }
}
