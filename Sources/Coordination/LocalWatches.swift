import ClusterModel
import Synchronization

/// The watches of this process. Used on the worker's thread only, but for `Shared`.
final class LocalWatches {
    /// What the deliveries and the caller change.
    final class Shared: Sendable {
        struct State {
            var isDelivering = false
            var isCancelled = false
        }
        let state = Mutex(State())
    }

    private struct Registration {
        let prefix: Key
        var place: LocalStore.Place
        var isBehind = true
        let executor: CompletionExecutor
        let handler: @Sendable (WatchDelivery) -> Void
        let shared: Shared
    }

    private var registrations: [Registration] = []
    /// Wakes the worker when a delivery has been handled.
    private let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    func add(
        _ prefix: Key, after revision: Revision, executor: @escaping CompletionExecutor,
        handler: @escaping @Sendable (WatchDelivery) -> Void, shared: Shared
    ) {
        registrations.removeAll { $0.shared.state.withLock { $0.isCancelled } }
        guard registrations.count < CoordinationLimits.watches else {
            executor { handler(.failed(.invalid("more than \(CoordinationLimits.watches) watches"))) }
            return
        }
        registrations.append(
            Registration(
                prefix: prefix, place: .init(revision: revision, key: nil), executor: executor, handler: handler,
                shared: shared))
    }

    /// Something was committed, here or elsewhere.
    func changed() {
        for index in registrations.indices { registrations[index].isBehind = true }
    }

    /// Gives each watch that is behind and idle its next changes. A slow handler gets them later, and fewer: of each key
    /// only the last state.
    func deliver(from store: LocalStore) {
        registrations.removeAll { registration in
            registration.shared.state.withLock { $0.isCancelled }
        }
        var ended: [Int] = []
        for index in registrations.indices {
            let registration = registrations[index]
            guard registration.isBehind, !registration.shared.state.withLock({ $0.isDelivering }) else { continue }
            let limit = CoordinationLimits.eventsPerDelivery
            let result = store.transact(.deferred) { db -> (LocalStore.Header, [WatchEvent]) in
                let header = try LocalStore.header(db)
                guard !Self.isLost(registration.place, header) else { return (header, []) }
                return (
                    header,
                    try LocalStore.changes(db, prefix: registration.prefix, behind: registration.place, limit: limit)
                )
            }
            switch result {
            case .made(let (header, events)):
                if Self.isLost(registration.place, header) {
                    send(.lostPlace, to: registration)
                    ended.append(index)
                } else {
                    let isAll = events.count < limit
                    registrations[index].isBehind = !isAll
                    registrations[index].place =
                        isAll
                        ? .init(revision: header.revision, key: nil)
                        : .init(revision: events[limit - 1].revision, key: events[limit - 1].key)
                    if !events.isEmpty { send(.events(events), to: registration) }
                }
            case .notMade(let error), .unknown(let error):
                if store.outOfService != nil {
                    send(.failed(error), to: registration)
                    ended.append(index)
                }
            }
        }
        for index in ended.reversed() { registrations.remove(at: index) }
    }

    func endAll(_ error: CoordinationError) {
        for registration in registrations { send(.failed(error), to: registration) }
        registrations = []
    }

    /// Whether deletions behind that place may have been forgotten, or the store is older than the place.
    static func isLost(_ place: LocalStore.Place, _ header: LocalStore.Header) -> Bool {
        if place.revision > header.revision { return true }
        return place.key == nil ? place.revision < header.forgotten : place.revision <= header.forgotten
    }

    private func send(_ delivery: WatchDelivery, to registration: Registration) {
        let (shared, handler, wake) = (registration.shared, registration.handler, wake)
        shared.state.withLock { $0.isDelivering = true }
        registration.executor {
            if !shared.state.withLock({ $0.isCancelled }) { handler(delivery) }
            shared.state.withLock { $0.isDelivering = false }
            wake()
        }
    }
}
