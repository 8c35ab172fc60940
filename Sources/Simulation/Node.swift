import ClusterModel
import Replication
import Store
import Wire

extension Simulator {
    /// A simulated node: what outlives its processes, and the process that runs, if one does.
    final class Node {
        let id: NodeID
        let index: Int
        var boot: UInt64 = 1
        private(set) var disk: FakeDisk
        /// How many disks it has had.
        private var diskCount = 1
        /// The metadata group's database, if there is one.
        var namespace: FakeDatabase?
        /// A sync of the disk failed, as the coordination store knows, and the disk's own log does not say so yet.
        var isDoubtful = false

        var alive = false
        /// Counts processes, so that what was under way for a dead one is dropped.
        var life = 0
        var pausedUntil: UInt64?
        var host: HostedDisk?
        /// In the order of the groups.
        var replicas: [HostedReplica] = []
        /// Given up; what is under way for them still comes back.
        var retired: [HostedReplica] = []
        /// The newest record of each group that has been delivered to this process.
        var view: [PGRecord?] = []
        /// The newest placement that it has heard of.
        var placementVersion = 0
        /// Replicas have been made: the process takes part.
        var isOpen = false
        /// Its disk failed under it: it lives on without replicas.
        var lostItsDisk = false
        var dirty: [HostedReplica] = []
        var isSettling = false
        var cycleScheduled = false
        var completions: [() -> Void] = []
        /// The process dies when it has executed so many effects more.
        var stepsToLive: Int?
        /// It dies then by a loss of power.
        var cutsPower = false
        /// The disk is slow, or full, until then.
        var slowUntil: UInt64 = 0
        var fullUntil: UInt64 = 0
        /// What is asked of the disk comes back after this.
        var hungUntil: UInt64 = 0
        var restartAfter: UInt64 = 0
        var tickAt: UInt64 = 0
        var namespaceSyncedAt: UInt64 = 0
        /// How far the log was stable when this process looked, ascending.
        var stableMarks: [LogPosition] = []

        var lease: LeaseNumber = .none
        /// Until then the holder may use it.
        var leaseUntil: UInt64 = 0
        /// Milliseconds that its clock counts in a second.
        var rate: UInt64 = 1000
        /// How far its wall clock is off.
        var wallOffset: Int64 = 0
        /// The newest version of the protocol that its program speaks.
        var newestProtocol = ProtocolVersion.newest
        var awayFromCoordinatorUntil: UInt64 = 0
        /// Nothing that changes reaches it until then.
        var watchesLostUntil: UInt64 = 0

        /// Quicker than in production, for a run is short.
        static let paceLimits: PaceJudge.Limits = {
            var limits = PaceJudge.Limits()
            limits.leastSamples = 4
            limits.window = .seconds(6)
            limits.slowLeast = .milliseconds(20)
            limits.slowAfter = .seconds(1)
            limits.outLeast = .milliseconds(30)
            limits.outAfter = .seconds(2)
            limits.goodAfter = .seconds(3)
            limits.probation = .seconds(8)
            limits.wordPatience = .seconds(2)
            return limits
        }()
        var paces: PaceJudge
        var lastPaces: UInt64 = 0
        var balancer = PrimaryBalancer()
        var lastBalance: UInt64 = 0
        /// It has told the others that it is about to stop.
        var isLeaving = false

        var payloads: [UInt64: (bytes: [UInt8], references: Int)] = [:]
        private var nextPayload: UInt64 = 0
        var tokens: [UInt64: (client: Int, attempt: Int)] = [:]
        var nextToken: UInt64 = 0

        init(index: Int, hasNamespace: Bool) {
            id = NodeID(UInt16(index + 1))
            self.index = index
            paces = PaceJudge(local: id, limits: Node.paceLimits)
            disk = FakeDisk(id: DiskID(UInt128(index + 1)), crc: BlockContent.crc)
            namespace = hasNamespace ? FakeDatabase() : nil
        }

        /// An empty disk takes the place of the old one.
        func replaceDisk() {
            disk = FakeDisk(id: DiskID(UInt128(index + 1 + 1000 * diskCount)), crc: BlockContent.crc)
            diskCount += 1
            isDoubtful = false
            if namespace != nil { namespace = FakeDatabase() }
        }

        var bootID: BootID { BootID(UInt128(boot) << 8 | UInt128(index + 1)) }

        /// A new process: nothing of the old one's memory is left.
        func beginLife() {
            life += 1
            alive = true
            pausedUntil = nil
            host = nil
            replicas = []
            retired = []
            view = []
            placementVersion = 0
            watchesLostUntil = 0
            isOpen = false
            lostItsDisk = false
            dirty = []
            isSettling = false
            cycleScheduled = false
            completions = []
            stepsToLive = nil
            cutsPower = false
            tickAt = 0
            stableMarks = []
            lease = .none
            leaseUntil = 0
            paces = PaceJudge(local: id, limits: Node.paceLimits)
            lastPaces = 0
            balancer = PrimaryBalancer()
            lastBalance = 0
            isLeaving = false
            payloads = [:]
            tokens = [:]
        }

        func endLife() {
            collectSituations()
            alive = false
            life += 1
            pausedUntil = nil
            isOpen = false
            stepsToLive = nil
            cutsPower = false
        }

        /// What the machines of its processes have met, of those that have ended.
        var situations = Situations()

        func collectSituations() {
            #if DEBUG || STAVE_MUTANTS
                for replica in replicas + retired { situations.formUnion(replica.group.situations) }
                if let host { situations.formUnion(host.store.situations) }
            #endif
        }

        // MARK: Payloads, with counts of those who use them

        func keep(_ bytes: [UInt8]) -> PayloadHandle {
            nextPayload += 1
            payloads[nextPayload] = (bytes, 1)
            return PayloadHandle(id: nextPayload, length: bytes.count)
        }
        func retain(_ handle: PayloadHandle) { payloads[handle.id]?.references += 1 }
        func drop(_ handle: PayloadHandle) {
            guard let held = payloads[handle.id] else { return }
            if held.references == 1 { payloads[handle.id] = nil } else { payloads[handle.id]?.references -= 1 }
        }
    }
}
