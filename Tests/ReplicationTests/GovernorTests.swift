import ClusterModel
import Testing

@testable import Replication

/// A node whose clients suffer from its background work: their latencies grow with what is done of it.
private struct Patient {
    var governor: Governor
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Of a healthy answer; one in a hundred takes three times as long.
    var latency: [Governor.RequestClass: TimeSpan] = [.unstable: .milliseconds(1)]
    var answersInWindow = 500
    /// Background work at which the clients' latencies have doubled.
    var doubledAt = Pace.mebibytes(100)
    /// What the disks can do at most.
    var capacity = Pace.mebibytes(400)

    init(_ settings: Governor.Settings = Governor.Settings()) { governor = Governor(settings, at: now) }

    /// Windows of half a second go by.
    mutating func pass(_ windows: Int, _ activity: Governor.Activity, waiting: Int = 0) {
        for _ in 0..<windows {
            let done: Pace =
                switch activity {
                case .none, .elsewhere: .zero
                case .scrub: min(governor.scrubPace, capacity)
                case .here: min(governor.pace, capacity)
                }
            let percent = 100 + done.bytesPerSecond * 100 / doubledAt.bytesPerSecond
            for kind in Governor.RequestClass.allCases {
                guard let healthy = latency[kind] else { continue }
                for i in 0..<answersInWindow {
                    let times: UInt64 = i % 50 == 0 ? 3 : 1
                    governor.answered(kind, after: TimeSpan(nanoseconds: healthy.nanoseconds / 100 * percent * times))
                }
            }
            governor.worked(done.bytesPerSecond / 2)
            now = now + .milliseconds(500)
            governor.look(activity, waiting: waiting, at: now)
        }
    }
}

struct GovernorTests {
    @Test(
        "Background work settles below where the clients' p99 has risen by the configured share, and not far below",
        arguments: [50, 100, 300])
    func settles(rise: UInt64) {
        var settings = Governor.Settings()
        settings.latencyRise = rise
        var patient = Patient(settings)
        patient.pass(60, .none)
        patient.pass(40, .here)
        var sum: UInt64 = 0
        for _ in 0..<40 {
            patient.pass(1, .here)
            sum += patient.governor.pace.bytesPerSecond
        }
        let wanted = patient.doubledAt.bytesPerSecond * rise / 100
        #expect(sum / 40 > wanted * 45 / 100)
        #expect(sum / 40 < wanted)
    }

    @Test("However clients suffer, the floor is kept, and never gone below")
    func floor() {
        var patient = Patient()
        patient.pass(60, .none)
        patient.doubledAt = .mebibytes(1)
        for _ in 0..<100 {
            patient.pass(1, .here)
            #expect(patient.governor.pace >= .mebibytes(8))
        }
        #expect(patient.governor.pace == .mebibytes(8))
    }

    @Test("Where nobody asks for anything, the pace is at the ceiling within seconds")
    func idle() {
        var patient = Patient()
        patient.pass(60, .none)
        patient.doubledAt = .mebibytes(1)
        patient.pass(40, .here)
        #expect(patient.governor.pace == .mebibytes(8))
        patient.answersInWindow = 0
        patient.pass(6, .here)
        #expect(patient.governor.pace == Governor.ceiling)
    }

    @Test("Silence because requests wait is no idleness")
    func stalled() {
        var patient = Patient()
        patient.pass(60, .none)
        patient.doubledAt = .mebibytes(1)
        patient.pass(40, .here)
        patient.answersInWindow = 0
        patient.pass(20, .here, waiting: 16)
        #expect(patient.governor.pace == .mebibytes(8))
    }

    @Test("What clients suffer during recovery, here or elsewhere, never becomes what is healthy")
    func healthyStays() throws {
        var patient = Patient()
        patient.pass(60, .none)
        let healthy = try #require(patient.governor.p99(.unstable).healthy)
        patient.pass(200, .here)
        #expect(patient.governor.p99(.unstable).healthy == healthy)
        patient.latency[.unstable] = .milliseconds(50)
        patient.pass(200, .elsewhere)
        #expect(patient.governor.p99(.unstable).healthy == healthy)
    }

    @Test("What is healthy follows the clients' load within minutes")
    func healthyFollows() throws {
        var patient = Patient()
        patient.pass(200, .none)
        patient.latency[.unstable] = .milliseconds(10)
        patient.pass(600, .none)
        let healthy = try #require(patient.governor.p99(.unstable).healthy)
        #expect(healthy > .milliseconds(25) && healthy < .milliseconds(36))
        patient.latency[.unstable] = .milliseconds(1)
        patient.pass(1200, .none)
        #expect(try #require(patient.governor.p99(.unstable).healthy) < .milliseconds(4))
    }

    @Test("The kind of request that suffers most decides")
    func worstDecides() {
        var patient = Patient()
        patient.latency = [.unstable: .milliseconds(1), .stable: .milliseconds(5), .read: .milliseconds(1)]
        patient.pass(60, .none)
        patient.pass(30, .here)
        // Reads alone become slow.
        patient.latency[.read] = .milliseconds(20)
        patient.pass(30, .here)
        #expect(patient.governor.pace == .mebibytes(8))
    }

    @Test("Clients of whom nothing healthy is known get a moderate pace, not the ceiling")
    func unknown() {
        var patient = Patient()
        patient.pass(100, .here)
        #expect(patient.governor.pace <= Governor.start)
        patient.answersInWindow = 0
        patient.pass(10, .here)
        #expect(patient.governor.pace == Governor.ceiling)
        patient.answersInWindow = 500
        patient.pass(1, .here)
        #expect(patient.governor.pace <= Governor.start)
    }

    @Test("A pace that is not used up does not grow, so that a cut is felt at once")
    func unused() {
        var patient = Patient()
        patient.capacity = .mebibytes(20)
        patient.doubledAt = .mebibytes(1000)
        patient.pass(60, .none)
        patient.pass(100, .here)
        #expect(patient.governor.pace <= .mebibytes(64))
        patient.latency[.unstable] = .milliseconds(3)
        patient.pass(1, .here)
        #expect(patient.governor.pace < .mebibytes(20))
    }

    @Test("Slow clients are judged too: of few answers, after some seconds")
    func fewAnswers() {
        var patient = Patient()
        patient.answersInWindow = 10
        patient.pass(400, .none)
        #expect(patient.governor.p99(.unstable).healthy != nil)
        patient.doubledAt = .mebibytes(1)
        patient.pass(60, .here)
        #expect(patient.governor.pace < .mebibytes(12))
    }

    @Test("Scrub gets a quarter of the pace, and at least a little")
    func scrub() {
        var patient = Patient()
        patient.answersInWindow = 0
        patient.pass(10, .here)
        #expect(patient.governor.scrubPace == .mebibytes(256))
        var settings = Governor.Settings()
        settings.floor = .mebibytes(1)
        var other = Patient(settings)
        other.pass(60, .none)
        other.doubledAt = Pace(bytesPerSecond: 1000)
        other.pass(60, .here)
        #expect(other.governor.scrubPace == .mebibytes(1))
    }

    @Test("Scrub alone yields to clients as recovery does, and gets its quarter of what they can bear")
    func scrubYields() {
        var patient = Patient()
        patient.doubledAt = .mebibytes(20)
        patient.pass(60, .none)
        patient.pass(100, .scrub)
        var done: [UInt64] = []
        for _ in 0..<100 {
            patient.pass(1, .scrub)
            done.append(patient.governor.scrubPace.bytesPerSecond)
        }
        #expect(done.allSatisfy { $0 <= 40 << 20 })
        #expect(done.reduce(0, +) / 100 > 2 << 20)
        patient.doubledAt = Pace(bytesPerSecond: 1000)
        patient.pass(60, .scrub)
        #expect(patient.governor.pace == .mebibytes(8))
    }

    @Test("What clients suffer beside a scrub never becomes what is healthy")
    func healthyBesideScrub() throws {
        var patient = Patient()
        patient.pass(60, .none)
        let healthy = try #require(patient.governor.p99(.unstable).healthy)
        patient.doubledAt = .mebibytes(1)
        patient.pass(1000, .scrub)
        let later = try #require(patient.governor.p99(.unstable).healthy)
        let percent = later.nanoseconds * 100 / healthy.nanoseconds
        #expect(percent > 75 && percent < 125)
    }

    @Test("A scrub that never ends does not keep healthy latencies from being learned, nor from following the load")
    func healthyDuringScrub() throws {
        var patient = Patient()
        patient.doubledAt = .mebibytes(1)
        patient.pass(200, .scrub)
        #expect(patient.governor.p99(.unstable).healthy != nil)
        patient.latency[.unstable] = .milliseconds(10)
        patient.pass(10_000, .scrub)
        let healthy = try #require(patient.governor.p99(.unstable).healthy)
        #expect(healthy > .milliseconds(25) && healthy < .milliseconds(36))
    }

    @Test("Scrub rests for a tenth of the time at most, and not at all where nobody asks for anything")
    func scrubRests() {
        var patient = Patient()
        patient.pass(60, .none)
        var rests = 0
        for _ in 0..<2000 {
            patient.pass(1, .scrub)
            if patient.governor.scrubPace == .zero { rests += 1 }
        }
        #expect(rests > 100 && rests <= 200)
        patient.answersInWindow = 0
        for _ in 0..<500 {
            patient.pass(1, .scrub)
            #expect(patient.governor.scrubPace > .zero)
        }
    }

    @Test("A p99 is right to a quarter of an octave, whatever the latencies are")
    func buckets() throws {
        var random = UInt64(7)
        for scale in [1_000, 30_000, 1_000_000, 80_000_000, 2_000_000_000] as [UInt64] {
            var buckets = LatencyBuckets()
            var values: [UInt64] = []
            for _ in 0..<1000 {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let value = scale + (random >> 33) % (scale * 3)
                values.append(value)
                buckets.add(TimeSpan(nanoseconds: value))
            }
            let exact = values.sorted()[989]
            let found = try #require(buckets.p99).nanoseconds
            #expect(found > exact * 80 / 100 && found < exact * 125 / 100 + 1300)
        }
        var far = LatencyBuckets()
        far.add(.seconds(100_000))
        far.add(.zero)
        #expect(far.total == 2)
        far.halve()
        #expect(far.total == 0)
        #expect(far.p99 == nil)
    }

    @Test("A pace counts in bytes and time without overflow")
    func pace() {
        #expect(Pace.mebibytes(8).time(for: 8 << 20) == .seconds(1))
        #expect(Pace.zero.time(for: .max) == .seconds(366 * 86_400))
        #expect(Pace(bytesPerSecond: .max).time(for: .max) == .seconds(1))
        #expect(Pace.mebibytes(8).bytes(in: .milliseconds(500)) == 4 << 20)
        #expect(Pace(bytesPerSecond: .max).bytes(in: .seconds(3600)) == .max)
        #expect(Pace(1 << 20, in: .seconds(2)) == Pace(bytesPerSecond: 1 << 19))
        #expect(Pace(.max, in: .zero) == Pace(bytesPerSecond: .max))
        #expect(Pace.mebibytes(8).shared(among: 0) == .mebibytes(8))
    }
}
