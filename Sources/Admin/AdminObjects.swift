import ClusterModel
import Storage
import Wire

/// Questions about objects and replicas.
extension AdminService {
    private static let objectsPerPage: UInt64 = 64
    /// Objects of one question: each is read whole.
    static let scrubObjectsAtOnce = 16

    func locate(_ arguments: AdminArguments, _ done: @escaping Answer<LocationReport>) throws(AdminFailure) {
        let path = try arguments.path("path")
        let first = try arguments.number("first", or: UInt64(0))
        resolve(path[...]) { [self] found in
            switch found {
            case .failure(let failure): done(.failure(failure))
            case .success(let inode):
                guard let hint = inode.hint else {
                    return done(.failure(AdminFailure(.refused, "\(path.path) is no regular file: it has no objects")))
                }
                let size = inode.attributes.size
                let count = hint.layout.objectCount(fileSize: size)
                let end = min(count, first.addingReportingOverflow(Self.objectsPerPage).partialValue)
                let objects =
                    first < end ? (first..<end).map { objectReport(inode.attributes.file, $0, hint.layout, size) } : []
                done(
                    .success(
                        LocationReport(
                            path: path.path, fileset: Int(inode.attributes.file.fileset.rawValue),
                            inode: inode.attributes.file.inode.rawValue, size: size, stripeUnit: hint.layout.stripeUnit,
                            stripeCount: hint.layout.stripeCount, objectCount: count, objects: objects,
                            next: end < count ? end : nil)))
            }
        }
    }

    private func objectReport(_ file: FileID, _ index: UInt64, _ layout: Layout, _ size: UInt64) -> ObjectReport {
        let view = node.view
        let pg = Placement.group(of: ObjectID(file: file, index: index), groupCount: view.map.dataPGCount)
        let record = view.record(pg)
        func member(_ member: Member, _ state: String) -> MemberReport {
            MemberReport(node: Int(member.node.rawValue), disk: "\(member.disk)", state: state)
        }
        return ObjectReport(
            index: index, group: "\(pg)", primary: record?.primary.map { Int($0.rawValue) },
            ranges: FileRanges.of(object: index, layout, fileSize: size),
            members: (record?.inSync ?? []).map { member($0, "in-sync") }
                + (record?.learners ?? []).map { member($0, "learner") })
    }

    func scrubObjects(_ arguments: AdminArguments, _ done: @escaping Answer<ScrubReport>) throws(AdminFailure) {
        let group = try arguments.group("group")
        guard let wanted = try? AdminCoding.decode([ScrubObject].self, Array(try arguments.text("objects").utf8)),
            wanted.count <= Self.scrubObjectsAtOnce
        else { throw AdminFailure(.invalid, "objects is no list of at most \(Self.scrubObjectsAtOnce)") }
        guard let place = node.replicaPlace(group) else {
            throw AdminFailure(.unavailable, "there is no replica of \(group) here")
        }
        node.scrub(wanted.map(ObjectID.init), of: group) { digests in
            guard let digests else {
                return done(.failure(AdminFailure(.unavailable, "the disk of \(group) is out of use here")))
            }
            done(
                .success(
                    ScrubReport(
                        decided: place.decided.plain, disk: "\(place.disk)",
                        objects: digests.map {
                            ScrubDigest(
                                object: ScrubObject($0.object), version: $0.version.plain,
                                digest: $0.digest == 0 && $0.blocks == 0 ? "" : String($0.digest, radix: 16),
                                blocks: $0.blocks, mended: $0.mended, fault: $0.fault)
                        })))
        }
    }
}

extension EntryName {
    /// "epoch.n"
    var plain: String { "\(epoch.rawValue).\(n)" }
}

extension ScrubObject {
    init(_ object: ObjectID) {
        self.init(
            fileset: object.file.fileset.rawValue, inode: object.file.inode.rawValue, index: object.index)
    }
}

extension ObjectID {
    init(_ object: ScrubObject) {
        self.init(
            file: FileID(fileset: FilesetID(object.fileset), inode: InodeNumber(object.inode)), index: object.index)
    }
}

/// Which bytes of a file lie in an object.
public enum FileRanges {
    /// [offset, length] in file order; neighbouring units are one range. At most 64.
    public static func of(object index: UInt64, _ layout: Layout, fileSize size: UInt64) -> [[UInt64]] {
        var ranges: [[UInt64]] = []
        for unit in 0..<Geometry.objectSize / layout.stripeUnit {
            let start = layout.fileOffset(index: index, offset: unit * layout.stripeUnit)
            if start >= size { break }
            let length = min(UInt64(layout.stripeUnit), size - start)
            if let last = ranges.last, last[0] + last[1] == start {
                ranges[ranges.count - 1][1] += length
            } else {
                ranges.append([start, length])
            }
        }
        return ranges
    }
}
