import ClusterModel
import Foundation

@testable import Coordination

/// One cluster's coordination as the conformance suite sees it: what a second implementation has to provide to be put
/// under the same tests.
protocol ConformanceSubject: Sendable {
    /// Another member of the cluster opens the store.
    func open() throws -> any Coordinator
    /// Makes the store forget the changes so far, so that watches of earlier revisions have lost their place.
    func forgetHistory(through coordinator: any Coordinator) async throws
}

/// An implementation, by the name that test reports show.
struct ConformanceImplementation: Sendable, CustomStringConvertible {
    var description: String
    var make: @Sendable () throws -> any ConformanceSubject

    static let all = [ConformanceImplementation(description: "local", make: { try LocalSubject() })]
}

private struct LocalSubject: ConformanceSubject {
    let folder: TestFolder
    init() throws {
        folder = try TestFolder()
        try folder.create()
    }
    func open() throws -> any Coordinator { try folder.open() }

    func forgetHistory(through coordinator: any Coordinator) async throws {
        let keys = (0..<(CoordinationLimits.rememberedDeletions + 256)).map { Key("forgotten/\($0)") }
        for start in stride(from: 0, to: keys.count, by: 256) {
            let part = keys[start..<min(start + 256, keys.count)]
            try await coordinator.make(part.map { .put($0, []) })
            try await coordinator.make(part.map { .delete($0) })
        }
    }
}
