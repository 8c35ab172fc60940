import ClusterModel
import Wire

/// Answers of a metadata primary that show a cut of a file which not every data group of its range has yet, held back
/// (namespace.md, Size, limit, truncation).
///
/// A gateway may write and read under a hint from before the cut for `FileHint.lifetime`, and a data group that has not heard of
/// the cut takes such a write, which is answered and then cut off. That is right as long as nobody has seen the cut: it came
/// after the write. So nobody sees it before no data group takes older hints any more, or none is left.
///
/// Invariants:
/// - an answer that shows a file with an unfinished cut leaves when that cut is finished, or `patience` after it was first seen
///   here, whichever comes first; a later cut of the file does not hold it longer;
/// - the answer to the operation that made the cut is not held: who gets it finishes the cut, and shows nothing before;
/// - a cut is first seen here no earlier than its entry was decided, and hints that are asked for after that show it: so none of
///   before is left after `patience`, whoever was primary then.
public struct HeldAnswers<Answer> {
    /// A hint's lifetime, measured by a clock that runs a quarter slower than this one.
    public static var patience: TimeSpan { TimeSpan(nanoseconds: FileHint.lifetime.nanoseconds * 5 / 4) }

    private struct Cut {
        var number: TruncationNumber
        var since: Instant
    }
    private struct Held {
        var answer: Answer
        /// What it shows and waits for.
        var cuts: [(inode: InodeNumber, number: TruncationNumber)]
    }

    private var cuts: [InodeNumber: Cut] = [:]
    /// In the order of their coming.
    private var held: [Held] = []
    /// No cut holds anything back from here on.
    private var quietFrom = Instant(nanoseconds: 0)

    public init() {}

    /// Whether an answer could be held at all: else nobody need look at what it shows.
    public func isLooking(at now: Instant) -> Bool { now < quietFrom }

    /// The cuts that are not finished, as of the last entry applied.
    public mutating func update(_ unfinished: [InodeNumber: TruncationNumber], at now: Instant) {
        if unfinished.isEmpty, cuts.isEmpty { return }
        var known: [InodeNumber: Cut] = [:]
        known.reserveCapacity(unfinished.count)
        for inode in unfinished.keys.sorted() {
            guard let number = unfinished[inode] else { continue }
            if let old = cuts[inode], old.number == number {
                known[inode] = old
            } else {
                known[inode] = Cut(number: number, since: now)
                quietFrom = now + HeldAnswers.patience
            }
        }
        cuts = known
    }

    /// Nil when the answer was taken, and will come out of `takeReleased`; else the answer, which may leave now.
    public mutating func hold(_ answer: Answer, showing inodes: Set<InodeNumber>, at now: Instant) -> Answer? {
        let waitsFor = inodes.sorted().compactMap { inode -> (inode: InodeNumber, number: TruncationNumber)? in
            guard let cut = cuts[inode], isFresh(cut, now) else { return nil }
            return (inode, cut.number)
        }
        if waitsFor.isEmpty { return answer }
        held.append(Held(answer: answer, cuts: waitsFor))
        return nil
    }

    /// What may leave now, in the order in which it came.
    public mutating func takeReleased(at now: Instant) -> [Answer] {
        if held.isEmpty { return [] }
        var waiting: [Held] = []
        var released: [Answer] = []
        for one in held { if isWaiting(one, now) { waiting.append(one) } else { released.append(one.answer) } }
        held = waiting
        return released
    }

    /// Everything, whatever it shows: this node does not speak for the group any more.
    public mutating func takeAll() -> [Answer] {
        defer { held = [] }
        return held.map(\.answer)
    }

    private func isWaiting(_ one: Held, _ now: Instant) -> Bool {
        one.cuts.contains { inode, number in
            guard let cut = cuts[inode], cut.number == number else { return false }
            return isFresh(cut, now)
        }
    }

    private func isFresh(_ cut: Cut, _ now: Instant) -> Bool { now < cut.since + HeldAnswers.patience }
}

extension NamespaceAnswer {
    /// The inodes that it shows with their attributes.
    public var shown: Set<InodeNumber> {
        switch self {
        case .found(let inode, let directory): [inode.attributes.file.inode, directory.file.inode]
        case .inode(let inode): [inode.attributes.file.inode]
        case .access(_, let attributes), .symbolicLink(_, let attributes): [attributes.file.inode]
        case .entries(let entries, let directory, _):
            Set(entries.compactMap { $0.details?.attributes.file.inode } + [directory.file.inode])
        // What is left is no file's, or for gateways only.
        case .failed, .usage, .deletions, .measurable, .allocation: []
        }
    }
}

extension NamespaceResult {
    /// The inodes that it shows with their attributes to those who have not cut them.
    public var shown: Set<InodeNumber> {
        let changes = [directory, secondDirectory].compactMap { $0 }
        var inodes = Set(changes.map(\.after.file.inode))
        if let inode { inodes.insert(inode.attributes.file.inode) }
        if let deletion { inodes.remove(deletion.file.inode) }
        return inodes
    }
}
