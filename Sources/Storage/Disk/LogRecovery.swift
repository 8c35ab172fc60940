import ClusterModel
import NIOCore
import Replication
import Store
import Transport
import Wire

import struct Wire.VoidRecord

/// Turns what the store found in its log into what replicas begin with: fetches the payloads of entries that are not
/// applied yet, one after the other.
final class LogRecovery {
    private let host: DiskHost
    private let report: RecoveryReport
    private let payloads: PayloadTable
    private var found: [RecoveredOnDisk] = []
    /// (group of `found`, entry of it, whether it is decided) still to be fetched, in reverse order.
    private var wanted: [(group: Int, entry: Entry, decided: Bool)] = []
    private var done: ((Result<[RecoveredOnDisk], StoreFailure>) -> Void)?

    init(host: DiskHost, report: RecoveryReport, payloads: PayloadTable) {
        self.host = host
        self.report = report
        self.payloads = payloads
    }

    func run(_ done: @escaping (Result<[RecoveredOnDisk], StoreFailure>) -> Void) {
        self.done = done
        for group in report.groups {
            var recovered = RecoveredOnDisk(pg: group.pg, state: group.state, tables: group.tables)
            recovered.entries = group.decided
            recovered.decided = group.decidedThrough
            recovered.stable = group.logEnd
            recovered.opening = report.closing == .clean ? .clean : .crashed
            recovered.voids = group.voids.map {
                VoidRecord(
                    entry: $0.name, object: $0.object, request: LostRequest(session: $0.session, request: $0.request))
            }
            switch group.health {
            case .whole: break
            case .corrupt: recovered.origin = .corrupt
            case .piecesLost: if !RecoveredReplica.isLearning(state: group.state) { recovered.origin = .corrupt }
            }
            let index = found.count
            found.append(recovered)
            for entry in group.reapply { wanted.append((index, entry, true)) }
            for entry in group.undecided { wanted.append((index, entry, false)) }
        }
        wanted.reverse()
        next()
    }

    private func next() {
        while let item = wanted.popLast() {
            guard item.entry.payload != nil, let location = host.location(found[item.group].pg, item.entry.name) else {
                take(item, nil)
                continue
            }
            host.readPayload(location) { [self] bytes in
                host.finished(location)
                if bytes == nil { found[item.group].origin = .corrupt }
                take(item, bytes)
                next()
            }
            return
        }
        finish(.success(found))
    }

    private func take(_ item: (group: Int, entry: Entry, decided: Bool), _ bytes: ByteBuffer?) {
        if item.decided {
            found[item.group].reapply.append((item.entry, bytes))
            return
        }
        var entry = item.entry
        entry.payload = bytes.map(payloads.add)
        found[item.group].entries.append(entry)
        found[item.group].undecided.append(entry)
    }

    private func finish(_ result: Result<[RecoveredOnDisk], StoreFailure>) {
        done?(result)
        done = nil
    }
}
