import ClusterModel
import Store

/// Lists all objects that changed after an entry, tombstones included, page by page.
final class ChangeListing {
    private let host: DiskHost
    private let pg: PGID
    private let done: ([ObjectID]) -> Void
    private var objects: [ObjectID] = []
    private var listed: Set<ObjectID> = []

    init(host: DiskHost, pg: PGID, done: @escaping ([ObjectID]) -> Void) {
        self.host = host
        self.pg = pg
        self.done = done
    }

    func start(after name: EntryName) { next(ChangeCursor(after: name)) }

    private func next(_ cursor: ChangeCursor) {
        host.changes(pg, after: cursor) { [self] page in
            for change in page.changes {
                switch change {
                // A cut's objects carry its version themselves where it cut anything.
                case .cut: break
                case .object(let object, _, _): if listed.insert(object).inserted { objects.append(object) }
                }
            }
            if let cursor = page.next { next(cursor) } else { done(objects) }
        }
    }
}
