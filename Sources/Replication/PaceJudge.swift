import ClusterModel
import Wire

/// Which members take far longer than the others to make a write stable, judged by a node from what it sees as primary of its
/// groups. A disk that is worn out or misconfigured answers every sync, late; each write of its groups waits for it.
///
/// Invariants:
/// - nobody is judged by few or old samples, or without others to compare it with;
/// - a judgement stands only when it has held for a while, and so does its end;
/// - who is judged out is looked at again after a time, for it gives no samples any more;
/// - of itself a node believes what others say as long as it has no samples of its own: its groups may have nothing to do.
public struct PaceJudge: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Samples that count, of each node, and how old they may be.
        public var samples = 64
        public var leastSamples = 8
        public var window = TimeSpan.seconds(60)
        /// Slow is who takes this many times as long as the others, and at least so long.
        public var slowFactor: UInt64 = 8
        public var slowLeast = TimeSpan.milliseconds(50)
        public var slowAfter = TimeSpan.seconds(5)
        /// Out is who goes on like this for so long.
        public var outFactor: UInt64 = 16
        public var outLeast = TimeSpan.milliseconds(200)
        public var outAfter = TimeSpan.seconds(60)
        /// Good is again who has been so for this long; and who was out is tried again after this.
        public var goodAfter = TimeSpan.seconds(30)
        public var probation = TimeSpan.seconds(120)
        /// What others said of this node counts for so long.
        public var wordPatience = TimeSpan.seconds(5)
        public init() {}
    }

    public enum Verdict: Hashable, Sendable {
        case good
        /// It leads nothing that others can lead, so that reads and the writes' order do not depend on it.
        case slow
        /// Groups go on without it, where enough other members are in sync.
        case out
    }

    public struct Standing: Hashable, Sendable {
        public var node: NodeID
        public var verdict: Verdict
        /// How long it takes to make a write stable, and how long the others do; zero where it is not known.
        public var median: TimeSpan
        public var others: TimeSpan
    }

    private struct Sample {
        var at: Instant
        var took: UInt64
    }

    private struct Watched {
        var node: NodeID
        var samples: [Sample] = []
        var next = 0
        var verdict = Verdict.good
        /// Since when the samples have spoken for each step.
        var slowSince: Instant?
        var outSince: Instant?
        var goodSince: Instant?
        var outAt = Instant(nanoseconds: 0)
        var median: UInt64 = 0
        var others: UInt64 = 0
    }

    public let limits: Limits
    private let local: NodeID
    /// Ascending by node.
    private var watched: [Watched] = []
    /// The last that another node said of this one.
    private var word: (PaceWord, at: Instant)?

    public init(local: NodeID, limits: Limits = Limits()) {
        self.local = local
        self.limits = limits
    }

    /// Another node finds this one slow.
    public mutating func told(_ word: PaceWord, at now: Instant) {
        self.word = (word, now)
        _ = place(of: local)
    }

    /// What others are to be told of themselves.
    public var words: [(node: NodeID, word: PaceWord)] {
        standings.filter { $0.node != local }.map { ($0.node, PaceWord(median: $0.median, others: $0.others)) }
    }

    /// A write became stable on that node so long after it was asked to.
    public mutating func took(_ node: NodeID, _ span: TimeSpan, at now: Instant) {
        let i = place(of: node)
        let sample = Sample(at: now, took: span.nanoseconds)
        if watched[i].samples.count < limits.samples {
            watched[i].samples.append(sample)
        } else {
            watched[i].samples[watched[i].next] = sample
            watched[i].next = (watched[i].next + 1) % limits.samples
        }
    }

    private mutating func place(of node: NodeID) -> Int {
        if let i = watched.firstIndex(where: { $0.node == node }) { return i }
        let i = watched.firstIndex { node < $0.node } ?? watched.count
        watched.insert(Watched(node: node), at: i)
        return i
    }

    /// Those that are not good.
    public var standings: [Standing] {
        watched.filter { $0.verdict != .good }.map {
            Standing(
                node: $0.node, verdict: $0.verdict, median: TimeSpan(nanoseconds: $0.median),
                others: TimeSpan(nanoseconds: $0.others))
        }
    }

    /// Nodes that are slow, those that are out included; and the latter.
    public var slow: [NodeID] { watched.filter { $0.verdict != .good }.map(\.node) }
    public var out: [NodeID] { watched.filter { $0.verdict == .out }.map(\.node) }

    /// To be called about once a second. Gives what has changed.
    public mutating func judge(at now: Instant) -> [Standing] {
        for i in watched.indices {
            watched[i].median = median(watched[i], now)
        }
        let medians = watched.map(\.median)
        var changed: [Standing] = []
        for i in watched.indices {
            let before = watched[i].verdict
            judge(i, medians, now)
            if watched[i].verdict != before {
                changed.append(
                    Standing(
                        node: watched[i].node, verdict: watched[i].verdict,
                        median: TimeSpan(nanoseconds: watched[i].median),
                        others: TimeSpan(nanoseconds: watched[i].others)))
            }
        }
        return changed
    }

    private mutating func judge(_ i: Int, _ medians: [UInt64], _ now: Instant) {
        let peers = medians.indices.filter { $0 != i && medians[$0] > 0 }.map { medians[$0] }.sorted()
        var w = watched[i]
        defer { watched[i] = w }
        if w.node == local, w.median == 0, let word, now < word.at + limits.wordPatience {
            w.verdict = .slow
            w.median = word.0.median.nanoseconds
            w.others = word.0.others.nanoseconds
            w.goodSince = nil
            return
        }
        if w.verdict == .out {
            if now >= w.outAt + limits.probation { w = Watched(node: w.node) }
            return
        }
        guard w.median > 0, let others = peers.isEmpty ? nil : peers[(peers.count - 1) / 2] else {
            // Nothing to compare: what was found stands no longer than it would otherwise.
            w.slowSince = nil
            w.outSince = nil
            w.goodSince = w.goodSince ?? now
            if w.verdict == .slow, now >= (w.goodSince ?? now) + limits.goodAfter { w.verdict = .good }
            return
        }
        w.others = others
        let isSlow = w.median >= max(others * limits.slowFactor, limits.slowLeast.nanoseconds)
        let isOut = w.median >= max(others * limits.outFactor, limits.outLeast.nanoseconds)
        let isGood = w.median < max(others * limits.slowFactor, limits.slowLeast.nanoseconds) / 2
        w.slowSince = isSlow ? w.slowSince ?? now : nil
        w.outSince = isOut ? w.outSince ?? now : nil
        w.goodSince = isGood ? w.goodSince ?? now : nil
        if w.verdict == .good, let since = w.slowSince, now >= since + limits.slowAfter { w.verdict = .slow }
        if w.verdict == .slow, let since = w.outSince, now >= since + limits.outAfter {
            w.verdict = .out
            w.outAt = now
        }
        if w.verdict == .slow, let since = w.goodSince, now >= since + limits.goodAfter { w.verdict = .good }
    }

    /// In nanoseconds; 0 without enough samples.
    private func median(_ w: Watched, _ now: Instant) -> UInt64 {
        let recent = w.samples.filter { now < $0.at + limits.window }.map(\.took).sorted()
        return recent.count < limits.leastSamples ? 0 : max(recent[recent.count / 2], 1)
    }
}
