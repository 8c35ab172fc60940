import ClusterModel
import DiskIO
import NFS
import NIOCore
import Storage

/// What a gateway must know of losses of unstable data: the number, and when it last rose.
final class LossHistory: LossNumberSource {
    private let view: () -> ClusterView
    private var known: LossNumber
    private(set) var lastRise: NIODeadline?

    /// A process that starts under a raised number cannot know when it rose. It reckons with its own start only if the
    /// machine has been up for less than ten minutes: an unstable write is lost only when machines lose power.
    init(view: @escaping () -> ClusterView) {
        self.view = view
        known = view().map.lossNumber
        if known > .zero, BootClock.now() - Instant(nanoseconds: 0) < .seconds(600) { lastRise = .now() }
    }

    var lossNumber: LossNumber {
        let number = view().map.lossNumber
        if number > known {
            known = number
            lastRise = .now()
        }
        return known
    }
}
