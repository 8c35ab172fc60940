import ClusterModel
import Replication
import Wire

/// The simulated shell: executes effects on the fake disk and network.
extension Simulator {
    func later(_ n: Int, _ delay: UInt64, _ completion: Completion) {
        agenda.add(.done(node: n, life: nodes[n].life, completion), at: clock + delay)
    }

    func perform(_ n: Int, _ effect: ReplicaEffect) {
        switch effect {
        case .append(let entry, let durability):
            mix(entry.name.n &* 31 &+ entry.name.epoch.rawValue)
            nodes[n].disk.perform(.append(FakeDisk.Record(entry: entry, content: content(n, entry.payload))))
            let at = max(clock + below(200_000), nodes[n].appendedAt)
            nodes[n].appendedAt = at
            agenda.add(.done(node: n, life: nodes[n].life, .appended(entry.name)), at: at)
            if durability == .stable { startSync(n) }
        case .sync: startSync(n)
        case .cutLog(let name, let token):
            tell("\(nodes[n].id) cuts its log after \(name)")
            nodes[n].disk.cut(after: name)
            later(n, below(3 * millisecond), .cut(token))
        case .restartLog(let name): nodes[n].disk.restart(after: name)
        case .writeState(let state, let tables, let token):
            // Durable when it is done: until then the old one is what a crash leaves.
            pendingState(n, state, tables, token)
        case .decided(let name):
            nodes[n].disk.perform(.decided(name))
            if scenario.metadata {
                let results = nodes[n].disk.applyRows()
                later(n, below(millisecond), .applied(name, results))
            }
        case .send(let message, let node): send(n, message, to: node)
        case .drop(let handle): nodes[n].payloads[handle.id] = nil
        case .answer(let token, let response, let lease): answer(n, token, response, lease)
        case .read(let ticket, let range, _):
            let first = range.offset / FakeDisk.halfBlock
            let object = nodes[n].disk.present.visible(range.object)
            let content = (0..<range.length / FakeDisk.halfBlock).map { object.halves[first + $0] ?? 0 }
            later(n, below(millisecond), .read(ticket, content))
        case .query(let ticket, let handle):
            let key = content(n, handle).first ?? 0
            later(n, below(millisecond), .read(ticket, [nodes[n].disk.present.rows[key] ?? 0]))
        case .fetchResult(let ticket, let session, let number, _):
            let kept = nodes[n].disk.present.results[LostRequest(session: session, request: number)]
            if kept == nil { fail("\(nodes[n].id) has no result of \(session) \(number)") }
            later(n, below(millisecond), .read(ticket, [kept ?? 0]))
        case .completeEdges(let token, let merge): completeEdges(n, token, merge)
        case .propose(let proposal): toCoordinator(.propose(node: n, life: nodes[n].life, proposal), n)
        case .askLease(let number): toCoordinator(.askLease(node: n, life: nodes[n].life, number), n)
        case .readMap(let token): toCoordinator(.readMap(node: n, life: nodes[n].life, token), n)
        case .readRecord: toCoordinator(.readRecord(node: n, life: nodes[n].life), n)
        case .listChanges(let name, let token):
            let image = nodes[n].disk.present
            let changed = workObjects.filter {
                image.visible($0).version.n > name.n || image.visible($0).version > name
            }
            tell("\(nodes[n].id) lists changes after \(name): \(changed)")
            later(n, below(2 * millisecond), .changes(token, changed))
        case .readPiece(let object, let blocks, let token): readPiece(n, object, blocks, token)
        case .installPiece(let piece, let token):
            nodes[n].disk.perform(.piece(piece, content(n, piece.payload)))
            later(n, below(2 * millisecond), .installed(token))
        case .removeObject(let object, let token):
            nodes[n].disk.perform(.remove(object))
            later(n, below(2 * millisecond), .installed(token))
        case .readSnapshot(let token):
            let image = nodes[n].disk.present
            var words: Content = [UInt32(image.rows.count)]
            for key in image.rows.keys.sorted() { words += [key, image.rows[key] ?? 0] }
            let kept = image.results.keys.sorted {
                $0.session != $1.session ? $0.session < $1.session : $0.request < $1.request
            }
            for k in kept {
                words += [UInt32(k.session.rawValue), UInt32(k.request.rawValue), image.results[k] ?? 0]
            }
            later(n, below(3 * millisecond), .snapshot(token, words, image.rowsApplied))
        case .installSnapshot(let part, let token):
            nodes[n].disk.perform(.snapshot(rows: content(n, part.payload), asOf: part.asOf))
            later(n, below(3 * millisecond), .installed(token))
        case .syncAll(let token):
            later(n, below(5 * millisecond), .synced(token))
        case .report(let report):
            tell("\(nodes[n].id) \(report)")
            counts[String(String(describing: report).prefix(8)), default: 0] += 1
        }
    }

    private func pendingState(_ n: Int, _ state: [UInt8], _ tables: [UInt8]?, _ token: WorkToken) {
        let asOf = tables.map { _ in nodes[n].disk.present.decided }
        let at = max(clock + below(3 * millisecond), nodes[n].stateAt)
        nodes[n].stateAt = at
        agenda.add(
            .done(node: n, life: nodes[n].life, .state(token, state, tables: tables, asOf: asOf)), at: at)
    }

    func startSync(_ n: Int) {
        if nodes[n].syncing {
            nodes[n].syncWanted = true
            return
        }
        nodes[n].syncing = true
        later(n, 200_000 + below(chance(3) ? 400 * millisecond : 2 * millisecond), .stable(logEnd(n)))
    }

    private func logEnd(_ n: Int) -> EntryName {
        nodes[n].disk.present.log.last?.entry.name ?? nodes[n].disk.present.trimmedThrough
    }

    func completed(_ n: Int, _ completion: Completion) {
        switch completion {
        case .appended(let name): withGroup(n) { $0.logAppended(through: name, at: moment) }
        case .stable(let name):
            nodes[n].disk.sync()
            nodes[n].syncing = false
            withGroup(n) { $0.logStable(through: name, at: moment) }
            if nodes[n].syncWanted {
                nodes[n].syncWanted = false
                startSync(n)
            }
        case .synced(let token):
            nodes[n].disk.sync()
            withGroup(n) { $0.installed(token, at: moment) }
        case .state(let token, let state, let tables, let asOf):
            nodes[n].disk.keep(state: state, tables: tables, asOf: asOf)
            withGroup(n) { $0.stateWritten(token, at: moment) }
        case .cut(let token): withGroup(n) { $0.logCut(token, at: moment) }
        case .installed(let token): withGroup(n) { $0.installed(token, at: moment) }
        case .edges(let token, let content):
            let handle = keep(n, content)
            withGroup(n) {
                $0.edgesCompleted(
                    token, handle, checksums: Array(repeating: 0, count: content.count / 2), at: moment)
            }
        case .read(let ticket, let content):
            let handle = keep(n, content)
            withGroup(n) { $0.readCompleted(ticket, handle, presence: .complete, at: moment) }
        case .changes(let token, let objects): withGroup(n) { $0.changesListed(token, objects, at: moment) }
        case .piece(let token, var piece, let content):
            piece.payload = content.isEmpty ? nil : keep(n, content)
            withGroup(n) { $0.pieceRead(token, piece, at: moment) }
        case .snapshot(let token, let words, let asOf):
            let handle = keep(n, words)
            withGroup(n) { $0.snapshotRead(token, handle, asOf: asOf, position: .last, at: moment) }
        case .applied(let name, let results):
            let list = results.map { AppliedResult(entry: $0.0, payload: keep(n, [$0.1])) }
            withGroup(n) { $0.namespaceApplied(through: name, results: list, at: moment) }
        }
    }

    private func completeEdges(_ n: Int, _ token: WorkToken, _ merge: EdgeMerge) {
        var whole = Content(repeating: 0, count: merge.blocks.count * 2)
        func fill(_ base: EdgeBase?, _ block: Int) {
            guard let base else { return }
            let at = (block - merge.blocks.first) * 2
            switch base {
            case .zero: break
            case .inFlight(let handle, let offset):
                let bytes = content(n, handle)
                let from = offset / FakeDisk.halfBlock
                guard bytes.count >= from + 2 else {
                    fail("\(nodes[n].id) merges beyond a payload")
                    return
                }
                whole[at] = bytes[from]
                whole[at + 1] = bytes[from + 1]
            case .stored:
                let object = nodes[n].disk.present.visible(merge.object)
                whole[at] = object.halves[block * 2] ?? 0
                whole[at + 1] = object.halves[block * 2 + 1] ?? 0
            }
        }
        fill(merge.head, merge.blocks.first)
        fill(merge.tail, merge.blocks.end - 1)
        let from = merge.offset / FakeDisk.halfBlock - merge.blocks.first * 2
        for (i, v) in content(n, merge.payload).enumerated() { whole[from + i] = v }
        later(n, below(2 * millisecond), .edges(token, whole))
    }

    private func readPiece(_ n: Int, _ id: ObjectID, _ blocks: BlockRange, _ token: WorkToken) {
        let object = nodes[n].disk.present.visible(id)
        var bits: UInt64 = 0
        var words: Content = []
        for block in 0..<blocks.count {
            let at = (blocks.first + block) * 2
            guard object.halves[at] != nil || object.halves[at + 1] != nil else { continue }
            bits |= 1 << UInt64(block)
            words += [object.halves[at] ?? 0, object.halves[at + 1] ?? 0]
        }
        let more = object.halves.keys.contains { $0 >= blocks.end * 2 }
        let piece = PieceContent(
            content: bits, zero: 0, checksums: Array(repeating: 0, count: bits.nonzeroBitCount),
            version: object.version, truncation: .none, position: more ? .more : .last, payload: nil)
        later(n, below(2 * millisecond), .piece(token, piece, words))
    }

    // MARK: Network

    private func send(_ n: Int, _ message: ReplicaMessage, to node: NodeID) {
        let to = Int(node.rawValue) - 1
        guard to < nodes.count, to != n, links[n][to].isUp else { return }
        let bytes = message.payload.map { content(n, $0) }
        let at = max(clock + 30_000 + below(chance(2) ? 30 * millisecond : 300_000), links[n][to].lastDelivery + 1)
        links[n][to].lastDelivery = at
        agenda.add(.deliver(from: n, to: to, connection: links[n][to].connection, message, bytes), at: at)
    }

    func deliver(_ from: Int, _ to: Int, _ connection: Int, _ message: ReplicaMessage, _ content: Content?) {
        guard nodes[to].alive else { return }
        // What an old connection still held may arrive after its end, but seldom.
        if links[from][to].connection != connection || !links[from][to].isUp {
            if !chance(10) { return }
        }
        var message = message
        var writer = WireWriter()
        writer.replicaMessage(message)
        mix(UInt64(writer.bytes.count) &* 131 &+ UInt64(to))
        if random.below(8) == 0 {
            let decoded = writer.bytes.withUnsafeBytes { bytes -> ReplicaMessage? in
                var reader = WireReader(bytes)
                return try? reader.replicaMessage(PayloadSource(message.payload))
            }
            if decoded != message { fail("a message does not survive its codec: \(message)") }
        }
        if let content { message.payload = keep(to, content) }
        withGroup(to) { $0.messageArrived(from: nodes[from].id, message, at: moment) }
    }

    func connect(_ a: Int, _ b: Int, after delay: UInt64) {
        tell("\(nodes[a].id) and \(nodes[b].id) connect")
        for (from, to) in [(a, b), (b, a)] {
            links[from][to].connection += 1
            links[from][to].isUp = true
            links[from][to].lastDelivery = max(links[from][to].lastDelivery, clock + delay)
            agenda.add(.connected(from, to: to, connection: links[from][to].connection), at: clock + delay)
        }
    }

    func disconnect(_ a: Int, _ b: Int) {
        if links[a][b].isUp { tell("\(nodes[a].id) and \(nodes[b].id) are cut off") }
        for (from, to) in [(a, b), (b, a)] where links[from][to].isUp {
            links[from][to].isUp = false
            agenda.add(.disconnected(to, from: from), at: clock + below(20 * millisecond))
        }
    }
}
