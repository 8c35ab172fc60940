import CSupport
import ClusterModel
import NFS
import NIOCore
import Storage

/// What a gateway must know of losses of unstable data: the number, and when it last rose.
final class LossHistory: LossNumberSource {
    private let view: () -> ClusterView
    private var known: LossNumber
    private(set) var lastRise: NIODeadline?

    /// A process that starts under a raised number takes the time of the rise from the map, or, if that has none, its own
    /// start: too late a time costs a client an error, too early a time may cost it data.
    init(
        now: NIODeadline = .now(), time: Timestamp = Timestamp(nanoseconds: cs_wall_time_ns()),
        view: @escaping () -> ClusterView
    ) {
        self.view = view
        let map = view().map
        known = map.lossNumber
        guard known > .zero else { return }
        // A wall clock that was set back since then tells nothing.
        let raised = map.lossRaised ?? time
        let (difference, isBeyond) = time.nanoseconds.subtractingReportingOverflow(raised.nanoseconds)
        let elapsed = isBeyond ? 0 : max(difference, 0)
        lastRise = .uptimeNanoseconds(now.uptimeNanoseconds - min(UInt64(elapsed), now.uptimeNanoseconds))
    }

    /// A rise that is seen happened since the last look, whatever another machine's clock says.
    var lossNumber: LossNumber {
        let number = view().map.lossNumber
        if number > known {
            known = number
            lastRise = .now()
        }
        return known
    }
}
