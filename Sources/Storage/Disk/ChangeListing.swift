import ClusterModel
import Replication
import Store

/// Lists all objects that changed after an entry, tombstones included, and those that were copied in part, page by page.
final class ChangeListing {
    private let host: DiskHost
    private let pg: PGID
    private let done: ([ObjectID], [ListedCut]) -> Void
    private let after: EntryName
    private var objects: [ObjectID] = []
    private var listed: Set<ObjectID> = []
    private var cuts: [ListedCut] = []

    init(host: DiskHost, pg: PGID, after: EntryName, done: @escaping ([ObjectID], [ListedCut]) -> Void) {
        self.host = host
        self.pg = pg
        self.after = after
        self.done = done
    }

    func start() { next(ChangeCursor(incompleteAndAfter: after)) }

    private func next(_ cursor: ChangeCursor) {
        host.changes(pg, after: cursor) { [self] page in
            for change in page.changes {
                switch change {
                // A cut's objects carry its version themselves where it cut anything.
                case .cut(let cut):
                    if cut.version > after {
                        cuts.append(
                            ListedCut(
                                version: cut.version, file: cut.file, truncation: cut.truncation, kind: cut.kind))
                    }
                case .object(let object, _, _): if listed.insert(object).inserted { objects.append(object) }
                }
            }
            if let cursor = page.next { next(cursor) } else { done(objects, cuts) }
        }
    }
}
