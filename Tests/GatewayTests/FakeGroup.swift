import ClusterModel
import Wire

/// One placement group as its clients see it, whichever node is its primary: requests are executed once per number.
/// Contents are kept in units of 512 bytes, each with a value that names its write.
struct FakeGroup {
    static let unit = 512

    struct Object {
        var units: [UInt64?]
        var truncation: TruncationNumber
    }
    struct Window {
        var ended: UInt64 = 1
        var done: [UInt64: (request: PGRequestBody, answer: PGResponseBody, result: NamespaceResult?)] = [:]
    }
    enum Content {
        case units([UInt64], Presence)
        case result(NamespaceResult)
        case answer(NamespaceAnswer)
        case none
    }

    let pg: PGID
    var n: UInt64 = 0
    var objects: [ObjectID: Object] = [:]
    var marks: [FileID: TruncationMark] = [:]
    var removed: Set<FileID> = []
    var windows: [SessionID: Window] = [:]
    var namespace: FakeNamespace?
    /// Requests that were executed, by kind: so that a test can count.
    var executed = 0
    var raised = 0
    var extended = 0
    var standing = AllocationStanding.settled

    init(pg: PGID) { self.pg = pg }

    /// Executes, or repeats the first answer. `values` gives the payload's unit values.
    mutating func execute(
        _ request: PGRequest, _ payload: FakePayload, layout: Layout, loss: LossNumber, now: Timestamp
    ) -> (PGResponseBody, Content) {
        if request.number != .none {
            let k = request.number.rawValue
            var window = windows[request.session] ?? Window()
            if k < window.ended { return (.refused(.belowWindow), .none) }
            if request.ended.rawValue > window.ended {
                window.ended = request.ended.rawValue
                for old in window.done.keys where old < window.ended { window.done[old] = nil }
            }
            windows[request.session] = window
            if let done = window.done[k] {
                precondition(done.request == request.body, "number \(k) of \(pg) names two requests")
                return (done.answer, done.result.map { .result($0) } ?? .none)
            }
            if k >= window.ended + 256 { return (.refused(.beyondWindow), .none) }
        }
        let (answer, content) = perform(request.body, payload, layout: layout, loss: loss, now: now)
        if request.number != .none {
            if case .refused = answer { return (answer, content) }
            executed += 1
            var result: NamespaceResult?
            if case .result(let r) = content { result = r }
            windows[request.session]?.done[request.number.rawValue] = (request.body, answer, result)
        }
        return (answer, content)
    }

    private mutating func perform(
        _ body: PGRequestBody, _ payload: FakePayload, layout: Layout, loss: LossNumber, now: Timestamp
    ) -> (PGResponseBody, Content) {
        switch body {
        case .write(let range, let mark, _):
            if let refusal = check(range.object.file, mark) { return (.refused(refusal), .none) }
            prepare(range.object, mark, layout)
            guard case .units(let values) = payload else { preconditionFailure("a write without payload") }
            precondition(values.count * FakeGroup.unit == range.length, "the payload is the part's")
            let first = range.offset / FakeGroup.unit
            for (i, value) in values.enumerated() { objects[range.object]?.units[first + i] = value }
            n += 1
            return (.written(stamp: loss), .none)
        case .zero(let object, let blocks, let mark, _):
            if let refusal = check(object.file, mark) { return (.refused(refusal), .none) }
            prepare(object, mark, layout)
            let first = blocks.first * Geometry.blockSize / FakeGroup.unit
            for u in first..<first + blocks.byteCount / FakeGroup.unit { objects[object]?.units[u] = 0 }
            n += 1
            return (.written(stamp: loss), .none)
        case .deleteRange(let deletion):
            for object in objects.keys where object.file == deletion.file {
                if deletion.kind == .removal {
                    objects[object] = nil
                } else {
                    clip(object, deletion.truncation, layout)
                }
            }
            if deletion.kind == .removal { removed.insert(deletion.file) }
            adopt(deletion.file, deletion.truncation)
            n += 1
            return (.written(stamp: loss), .none)
        case .read(let range, let mark):
            if let refusal = check(range.object.file, mark) { return (.refused(refusal), .none) }
            let (units, presence) = read(range, mark, layout)
            return (.data(present: presence), .units(units, presence))
        case .readVersion(let range, let mark):
            if let refusal = check(range.object.file, mark) { return (.refused(refusal), .none) }
            let name = EntryName(epoch: Epoch(1), n: n)
            return (.version(name, decidedThrough: name), .none)
        case .mutate:
            guard case .operation(let operation) = payload else {
                preconditionFailure("a change without its operation")
            }
            if case .raiseLimit = operation { raised += 1 }
            if case .extend = operation { extended += 1 }
            guard let result = namespace?.apply(operation, now) else { return (.refused(.invalid), .none) }
            n += 1
            return (.mutated(stamp: loss), .result(result))
        case .query:
            guard case .question(let question) = payload else { return (.refused(.invalid), .none) }
            if case .allocation(let file) = question.query {
                return (.answered, .answer(.allocation(FileAllocation(bytes: allocated(file), standing: standing))))
            }
            guard let answer = namespace?.answer(question, now) else { return (.refused(.invalid), .none) }
            return (.answered, .answer(answer))
        case .flush: return (.flushed(stamp: loss), .none)
        }
    }

    /// Bytes in blocks of which any unit was written.
    func allocated(_ file: FileID) -> UInt64 {
        let perBlock = Geometry.blockSize / FakeGroup.unit
        var blocks: UInt64 = 0
        for (id, object) in objects where id.file == file {
            for first in stride(from: 0, to: object.units.count, by: perBlock)
            where object.units[first..<first + perBlock].contains(where: { ($0 ?? 0) != 0 }) { blocks += 1 }
        }
        return blocks * UInt64(Geometry.blockSize)
    }

    private func check(_ file: FileID, _ mark: TruncationMark) -> PGRefusal? {
        if removed.contains(file) { return .removed }
        if let known = marks[file], known.number > mark.number { return .truncated(known) }
        return nil
    }

    private mutating func adopt(_ file: FileID, _ mark: TruncationMark) {
        if mark.number > marks[file]?.number ?? .zero { marks[file] = mark }
    }

    private mutating func prepare(_ object: ObjectID, _ mark: TruncationMark, _ layout: Layout) {
        if objects[object] == nil {
            objects[object] = Object(
                units: .init(repeating: nil, count: Geometry.objectSize / FakeGroup.unit), truncation: mark.number)
        }
        clip(object, mark, layout)
    }

    private mutating func clip(_ object: ObjectID, _ mark: TruncationMark, _ layout: Layout) {
        guard let old = objects[object]?.truncation, old < mark.number else { return }
        let length = layout.objectLength(index: object.index, fileSize: mark.size)
        for u in (length / FakeGroup.unit)..<(Geometry.objectSize / FakeGroup.unit) { objects[object]?.units[u] = nil }
        objects[object]?.truncation = mark.number
    }

    /// What a read with this mark shows, without changing anything.
    func read(_ range: ObjectRange, _ mark: TruncationMark, _ layout: Layout) -> ([UInt64], Presence) {
        let first = range.offset / FakeGroup.unit
        let count = range.length / FakeGroup.unit
        guard let object = objects[range.object] else { return (.init(repeating: 0, count: count), .someAbsent) }
        var kept = Geometry.objectSize
        if object.truncation < mark.number {
            kept = layout.objectLength(index: range.object.index, fileSize: mark.size)
        }
        var presence = Presence.complete
        var values: [UInt64] = []
        values.reserveCapacity(count)
        for u in first..<first + count {
            if u * FakeGroup.unit < kept, let value = object.units[u] {
                values.append(value)
            } else {
                values.append(0)
                presence = .someAbsent
            }
        }
        return (values, presence)
    }
}

enum FakePayload {
    case none
    case units([UInt64])
    case operation(NamespaceOperation)
    case question(NamespaceQuestion)
}
