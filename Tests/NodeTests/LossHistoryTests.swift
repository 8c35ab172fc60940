import ClusterModel
import NIOCore
import Storage
import Testing
import Wire

@testable import Node

@Suite struct LossHistoryTests {
    /// Ten minutes of uptime, at a wall-clock time of a thousand seconds.
    private let now = NIODeadline.uptimeNanoseconds(600_000_000_000)
    private let time = Timestamp(nanoseconds: 1_000_000_000_000)

    private func view(_ number: UInt64, raised seconds: Int64?) throws -> ClusterView {
        let policy = try #require(ReplicationPolicy(copies: 1))
        var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 1)
        map.lossNumber = LossNumber(number)
        map.lossRaised = seconds.map { Timestamp(nanoseconds: $0 * 1_000_000_000) }
        return ClusterView(map: map, data: [nil], metadata: [])
    }

    private func rise(_ number: UInt64, raised seconds: Int64?) throws -> NIODeadline? {
        let view = try view(number, raised: seconds)
        return LossHistory(now: now, time: time) { view }.lastRise
    }

    @Test("A gateway that starts knows from the map when the loss number rose, however long the machine has been up")
    func fromTheMap() throws {
        #expect(try rise(0, raised: nil) == nil)
        #expect(try rise(3, raised: 990) == now - .seconds(10))
        #expect(try rise(3, raised: 400) == now - .seconds(600))
        #expect(try rise(3, raised: 10) == .uptimeNanoseconds(0), "before the boot counts as at the boot")
    }

    @Test("A rise whose time is not known, or lies ahead, is taken for as late as it can be")
    func unknownTime() throws {
        #expect(try rise(3, raised: nil) == now)
        #expect(try rise(3, raised: 2_000) == now)
        #expect(try rise(3, raised: .min / 1_000_000_000) == now)
    }

    @Test("A rise that is seen counts from then on")
    func seen() throws {
        var present = try view(3, raised: 990)
        let history = LossHistory(now: now, time: time) { present }
        #expect(history.lossNumber == LossNumber(3) && history.lastRise == now - .seconds(10))
        present = try view(4, raised: 991)
        let before = NIODeadline.now()
        #expect(history.lossNumber == LossNumber(4))
        #expect(try #require(history.lastRise) >= before)
    }

    @Test("The time of a rise is kept with the map, and a map of the format before is read without one")
    func coding() throws {
        let map = try view(3, raised: 990).map
        var bytes = map.encoded()
        #expect(try ClusterMap(decoding: bytes).lossRaised == Timestamp(nanoseconds: 990_000_000_000))
        bytes[0] = 1
        #expect(try ClusterMap(decoding: Array(bytes.dropLast(13))).lossRaised == nil)
        bytes[0] = 2
        #expect(try ClusterMap(decoding: Array(bytes.dropLast(4))).lossRaised != nil)
        bytes[0] = 4
        #expect(throws: WireError.self) { try ClusterMap(decoding: bytes) }
    }
}
