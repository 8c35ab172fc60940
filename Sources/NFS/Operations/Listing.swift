import ClusterModel
import Filesystem
import ONCRPC
import Wire

/// How much of a directory fits into one answer.
///
/// Invariants:
/// - the answer's form (attributes, verifier, entries, end) is never greater than the client's maximum;
/// - the bytes of file ids, names and cookies are never more than its dircount, but for one entry, which always may go;
/// - at most 512 entries, whatever the client allows (namespace.md).
struct DirectoryRoom {
    private var bytes: Int
    private var nameBytes: Int
    private let entryRest: Int
    private(set) var taken = 0

    /// - Parameters:
    ///   - maximum: bytes of the whole READDIR3resok or READDIRPLUS3resok.
    ///   - names: bytes of file ids, names and cookies.
    ///   - entryRest: bytes that an entry has beyond these.
    init(maximum: UInt32, names: UInt32, entryRest: Int) {
        // Attributes with their mark 88, verifier 8, end of list 4, end of directory 4.
        bytes = min(Int(maximum), NFSLimits.directoryBytes) - 104
        nameBytes = Int(names)
        self.entryRest = entryRest
    }

    /// The entries that are worth asking for, at least one.
    var limit: Int {
        min(
            max(bytes / (NFS3.DirectoryEntry.encodedBytes(nameCount: 1) + entryRest), 1),
            NFSLimits.directoryEntries - taken)
    }

    /// Takes an entry's place; false when it does not fit.
    mutating func take(nameCount: Int) -> Bool {
        let size = NFS3.DirectoryEntry.encodedBytes(nameCount: nameCount)
        guard taken < NFSLimits.directoryEntries, bytes >= size + entryRest, taken == 0 || nameBytes >= size - 4 else {
            return false
        }
        bytes -= size + entryRest
        nameBytes -= size - 4
        taken += 1
        return true
    }
}

/// An entry on its way to READDIR or READDIRPLUS.
struct ListedEntry {
    var entry: NFS3.DirectoryEntry
    var details: FileAttributes?
}

/// A part of a directory.
struct ListedPage {
    var entries: [ListedEntry]
    var directory: FileAttributes
    var isLast: Bool
}

/// What became of a listing.
enum ListOutcome {
    case page(ListedPage)
    /// Not even one entry fits.
    case tooSmall(FileAttributes)
    case failed(VFSFailure)
}

/// The cookies of the two entries that every directory begins with; those of the file system begin at 3.
private enum DotCookie {
    static let dot: UInt64 = 1
    static let dotDot: UInt64 = 2
}

extension NFSCall {
    /// What READDIR and READDIRPLUS have in common. Cookies stay valid for ever (namespace.md), so verifiers are 0 and
    /// not compared.
    func list(
        _ target: Target, after cookie: UInt64, room: DirectoryRoom, detail: ListDetail,
        done: @escaping (ListOutcome) -> Void
    ) {
        expectAnswer(bytes: NFSLimits.directoryBytes / 4)
        guard cookie < DotCookie.dotDot else {
            return list(target, after: cookie, room: room, detail: detail, parent: nil, done: done)
        }
        findParentInode(of: target) { result in
            switch result {
            case .failure(let failure): done(.failed(failure))
            case .success(let parent):
                self.list(target, after: cookie, room: room, detail: detail, parent: parent, done: done)
            }
        }
    }

    private func list(
        _ target: Target, after cookie: UInt64, room given: DirectoryRoom, detail: ListDetail, parent: InodeNumber?,
        done: @escaping (ListOutcome) -> Void
    ) {
        var room = given
        var entries: [ListedEntry] = []
        var isFull = false
        func add(_ name: [UInt8], _ inode: InodeNumber, _ cookie: UInt64, _ details: FileAttributes?) {
            guard !isFull, room.take(nameCount: name.count) else {
                isFull = true
                return
            }
            entries.append(
                ListedEntry(
                    entry: NFS3.DirectoryEntry(fileID: inode.rawValue, name: name, cookie: cookie), details: details))
        }
        if let parent {
            if cookie < DotCookie.dot { add(FileName.dot, target.file.inode, DotCookie.dot, nil) }
            add(FileName.dotDot, parent, DotCookie.dotDot, nil)
        }
        let start = cookie <= DotCookie.dotDot ? 0 : cookie
        vfs.list(target.context, directory: target.file, cookie: start, limit: max(room.limit, 1), detail: detail) {
            result in
            switch result {
            case .failure(let failure): done(.failed(failure))
            case .success(let list):
                for entry in list.entries {
                    add(entry.name.bytes, entry.inode, entry.cookie, entry.details?.attributes)
                }
                let isLast: Bool
                switch list.end {
                case .reached: isLast = !isFull
                case .more: isLast = false
                }
                if entries.isEmpty && !isLast { return done(.tooSmall(list.directory)) }
                done(.page(ListedPage(entries: entries, directory: list.directory, isLast: isLast)))
            }
        }
    }
}
