import ClusterModel
import Wire

/// A file tree written for plainness only: nodes with children, everything else computed by walking. It says what the
/// operations should answer and what the tree should look like.
final class ReferenceTree {
    final class Node {
        let kind: FileKind
        var mode: UInt16
        var uid: UInt32
        var gid: UInt32
        var size: UInt64 = 0
        var target: [UInt8] = []
        var children: [FileName: Node] = [:]
        var number: InodeNumber
        init(_ kind: FileKind, mode: UInt16, uid: UInt32, gid: UInt32, number: InodeNumber) {
            self.kind = kind
            self.mode = mode
            self.uid = uid
            self.gid = gid
            self.number = number
        }
        var sortedChildren: [(FileName, Node)] { children.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    let root: Node
    /// Regular files that lost their last name, and cuts.
    var deletions = 0

    init(mode: UInt16) { root = Node(.directory, mode: mode, uid: 0, gid: 0, number: .root) }

    // MARK: Looking

    /// Every directory with its parent, the root first.
    var directories: [(node: Node, parent: Node)] {
        var found: [(Node, Node)] = [(root, root)]
        var i = 0
        while i < found.count {
            for (_, child) in found[i].0.sortedChildren where child.kind == .directory {
                found.append((child, found[i].0))
            }
            i += 1
        }
        return found
    }

    var allNodes: [Node] {
        var seen: Set<InodeNumber> = [root.number]
        var nodes = [root]
        for (directory, _) in directories {
            for (_, child) in directory.sortedChildren where seen.insert(child.number).inserted { nodes.append(child) }
        }
        return nodes
    }

    func linkCount(_ node: Node) -> UInt32 {
        if node.kind == .directory { return 2 + UInt32(node.children.values.filter { $0.kind == .directory }.count) }
        return directories.reduce(0) { $0 + UInt32($1.node.children.values.filter { $0 === node }.count) }
    }

    func may(_ bit: UInt16, _ node: Node, _ caller: Credentials) -> Bool {
        if caller.uid == 0 { return bit != 1 || node.kind == .directory || node.mode & 0o111 != 0 }
        if caller.uid == node.uid { return node.mode & (bit << 6) != 0 }
        if caller.gid == node.gid || caller.groups.contains(node.gid) { return node.mode & (bit << 3) != 0 }
        return node.mode & bit != 0
    }

    func contains(_ node: Node, _ other: Node) -> Bool {
        node === other || node.children.values.contains { contains($0, other) }
    }

    private func sticks(_ directory: Node, _ file: Node, _ caller: Credentials) -> Bool {
        directory.mode & 0o1000 != 0 && caller.uid != 0 && caller.uid != file.uid && caller.uid != directory.uid
    }

    // MARK: Operations: the failure, or nil

    func create(
        _ directory: Node, _ name: FileName, _ file: NewFile, mode: UInt16, _ caller: Credentials, number: InodeNumber
    ) -> NamespaceFailure? {
        guard directory.kind == .directory else { return .notDirectory }
        guard may(1, directory, caller) else { return .accessDenied }
        if let old = directory.children[name] {
            guard case .regular(let how) = file, how == .unchecked, old.kind == .regular else { return .exists }
            return nil
        }
        guard may(2, directory, caller) else { return .accessDenied }
        let node: Node
        switch file {
        case .regular: node = Node(.regular, mode: mode, uid: caller.uid, gid: caller.gid, number: number)
        case .directory: node = Node(.directory, mode: mode, uid: caller.uid, gid: caller.gid, number: number)
        case .symbolicLink(let target):
            node = Node(.symbolicLink, mode: 0o777, uid: caller.uid, gid: caller.gid, number: number)
            node.target = target
        case .fifo: node = Node(.fifo, mode: mode, uid: caller.uid, gid: caller.gid, number: number)
        case .device, .socket: return .invalid
        }
        if directory.mode & 0o2000 != 0 {
            node.gid = directory.gid
            if node.kind == .directory {
                node.mode |= 0o2000
            } else if node.mode & 0o2010 == 0o2010, caller.uid != 0,
                caller.gid != directory.gid && !caller.groups.contains(directory.gid)
            {
                node.mode &= ~0o2000
            }
        }
        directory.children[name] = node
        return nil
    }

    func remove(_ directory: Node, _ name: FileName, wantsDirectory: Bool, _ caller: Credentials) -> NamespaceFailure? {
        guard directory.kind == .directory else { return .notDirectory }
        guard may(1, directory, caller) else { return .accessDenied }
        guard let file = directory.children[name] else { return .notFound }
        guard may(2, directory, caller) else { return .accessDenied }
        if sticks(directory, file, caller) { return .notPermitted }
        if wantsDirectory {
            guard file.kind == .directory else { return .notDirectory }
            guard file.children.isEmpty else { return .notEmpty }
        } else if file.kind == .directory {
            return .isDirectory
        }
        drop(directory, name)
        return nil
    }

    private func drop(_ directory: Node, _ name: FileName) {
        if let file = directory.children[name], file.kind == .regular, linkCount(file) == 1 { deletions += 1 }
        directory.children[name] = nil
    }

    func link(_ file: Node, _ directory: Node, _ name: FileName, _ caller: Credentials) -> NamespaceFailure? {
        guard directory.kind == .directory else { return .notDirectory }
        guard may(1, directory, caller) else { return .accessDenied }
        if directory.children[name] != nil { return .exists }
        guard may(2, directory, caller) else { return .accessDenied }
        if file.kind == .directory { return .notPermitted }
        directory.children[name] = file
        return nil
    }

    func rename(
        _ from: Node, _ name: FileName, _ to: Node, _ newName: FileName, _ caller: Credentials
    ) -> NamespaceFailure? {
        for directory in [from, to] {
            guard directory.kind == .directory else { return .notDirectory }
            guard may(1, directory, caller) else { return .accessDenied }
        }
        guard let file = from.children[name] else { return .notFound }
        if contains(file, to) { return .invalid }
        let old = to.children[newName]
        if old === file { return nil }
        guard may(2, from, caller), may(2, to, caller) else { return .accessDenied }
        if sticks(from, file, caller) { return .notPermitted }
        if file.kind == .directory, from !== to, !may(2, file, caller) { return .accessDenied }
        if let old {
            if sticks(to, old, caller) { return .notPermitted }
            if file.kind == .directory {
                if old.kind != .directory { return .notDirectory }
                if !old.children.isEmpty { return .notEmpty }
            } else if old.kind == .directory {
                return .isDirectory
            }
            drop(to, newName)
        }
        from.children[name] = nil
        to.children[newName] = file
        return nil
    }

    func setMode(_ node: Node, _ mode: UInt16, _ caller: Credentials) -> NamespaceFailure? {
        guard caller.uid == 0 || caller.uid == node.uid else { return .notPermitted }
        node.mode = mode
        if caller.uid != 0, caller.gid != node.gid, !caller.groups.contains(node.gid) { node.mode &= ~0o2000 }
        return nil
    }

    func setOwner(_ node: Node, uid: UInt32?, gid: UInt32?, _ caller: Credentials) -> NamespaceFailure? {
        if caller.uid != 0 {
            if let uid, uid != node.uid || caller.uid != node.uid { return .notPermitted }
            if let gid {
                guard caller.uid == node.uid else { return .notPermitted }
                guard gid == node.gid || gid == caller.gid || caller.groups.contains(gid) else { return .notPermitted }
            }
        }
        node.uid = uid ?? node.uid
        node.gid = gid ?? node.gid
        if node.kind != .directory {
            node.mode &= ~0o4000
            if node.mode & 0o10 != 0 { node.mode &= ~0o2000 }
        }
        return nil
    }

    func setSize(_ node: Node, _ size: UInt64, _ caller: Credentials) -> NamespaceFailure? {
        if node.kind == .directory { return .isDirectory }
        if node.kind != .regular { return .invalid }
        guard caller.uid == node.uid || may(2, node, caller) else { return .accessDenied }
        if size < node.size { deletions += 1 }
        node.size = size
        if caller.uid != 0 {
            node.mode &= ~0o4000
            if node.mode & 0o10 != 0 { node.mode &= ~0o2000 }
        }
        return nil
    }
}
