import Admin
import ClusterModel
import Foundation
import Node

/// One object on all members of its group.
struct ObjectComparison: Encodable {
    var object: ScrubObject
    var agrees: Bool
    var copies: [Copy]

    struct Copy: Encodable {
        var node: Int
        var disk: String
        var version: String
        var digest: String
        var blocks: Int
        /// Bad blocks that were written anew with what another replica held.
        var mended: Int
        var fault: String?
    }

    var summary: String {
        guard let first = copies.first else { return "no copy" }
        if agrees {
            return "\(copies.count) agree: \(first.blocks) blocks, digest \(first.digest.isEmpty ? "-" : first.digest)"
        }
        return copies.map {
            "node \($0.node): version \($0.version), \($0.blocks) blocks, digest \($0.digest.isEmpty ? "-" : $0.digest)\($0.fault.map { " (\($0))" } ?? "")"
        }
        .joined(separator: "; ")
    }
}

/// Compares the members of a group, while clients go on writing.
///
/// Copies agree when they have the same digest as of the same entry; what differs is asked again until it rests, for only
/// copies of the same entry can be told apart.
struct ReplicaComparison {
    let cluster: Cluster
    let group: String
    let members: [NodeID]
    /// Seconds that objects which keep changing are asked again.
    static let patience = 30.0

    init(_ cluster: Cluster, group: String, members: [NodeID]) {
        self.cluster = cluster
        self.group = group
        self.members = members
    }

    /// One comparison for each object, in order.
    func compare(_ objects: [ScrubObject]) throws -> [ObjectComparison] {
        var results: [ScrubObject: ObjectComparison] = [:]
        var open = objects
        let deadline = Date().addingTimeInterval(Self.patience)
        var settled: [ScrubObject: Int] = [:]
        while true {
            for var comparison in try once(open) {
                let old = results[comparison.object]
                // What was mended the first time is good the second.
                for (i, copy) in (old?.copies ?? []).enumerated() where i < comparison.copies.count {
                    comparison.copies[i].mended += copy.mended
                }
                results[comparison.object] = comparison
                // The same difference seen again and again is one.
                let same = old.map { $0.copies.map(\.version) == comparison.copies.map(\.version) } ?? false
                settled[comparison.object] = same ? (settled[comparison.object] ?? 0) + 1 : 0
            }
            open = open.filter { object in
                guard let result = results[object], !result.agrees else { return false }
                let versions = Set(result.copies.map(\.version))
                // Copies of one entry that differ stay different; members that are behind catch up within moments.
                return (settled[object] ?? 0) < (versions.count == 1 ? 2 : 40)
            }
            if open.isEmpty || Date() > deadline { break }
            usleep(200_000)
        }
        return objects.compactMap { results[$0] }
    }

    private func once(_ objects: [ScrubObject]) throws -> [ObjectComparison] {
        let text = String(decoding: try AdminCoding.encode(objects), as: UTF8.self)
        var copies: [[ObjectComparison.Copy]] = Array(repeating: [], count: objects.count)
        for member in members {
            let report: ScrubReport = try cluster.ask(
                member, AdminQuestion(.scrubObjects, ["group": group, "objects": text]))
            guard report.objects.count == objects.count else {
                throw OperatorError(
                    .refused, "node \(member.rawValue) answered for \(report.objects.count) of \(objects.count) objects"
                )
            }
            for (i, digest) in report.objects.enumerated() {
                copies[i].append(
                    ObjectComparison.Copy(
                        node: Int(member.rawValue), disk: report.disk, version: digest.version, digest: digest.digest,
                        blocks: digest.blocks, mended: digest.mended, fault: digest.fault))
            }
        }
        return zip(objects, copies).map { object, copies in
            // Versions may differ for equal content: a learner carries cuts out under the entry that its log begins behind.
            let agrees = copies.allSatisfy { $0.fault == nil } && Set(copies.map(\.digest)).count == 1
            return ObjectComparison(object: object, agrees: agrees, copies: copies)
        }
    }
}
