import ClusterModel
import Wire

/// Requests for filesets that were deleted.
extension PlacementGroup {
    /// Whether the request's fileset was deleted. Who asks for the removal of what it left knows the map that says so, and
    /// whoever claims the group reads the map first: so no late request of the fileset is ever served behind it.
    func isGone(_ request: PGRequest, _ map: MapFacts) -> Bool {
        if let fileset = pg.fileset { return map.filesets.isGone(fileset) }
        return switch request.body {
        case .write(let range, _, _), .read(let range, _), .readVersion(let range, _):
            map.filesets.isGone(range.object.file.fileset)
        case .zero(let object, _, _, _): map.filesets.isGone(object.file.fileset)
        case .deleteRange(let deletion): map.filesets.isGone(deletion.file.fileset)
        case .mutate, .query, .flush: false
        }
    }

    /// The file went with its fileset while it was read.
    public func readGone(_ ticket: ReadTicket, at now: Moment) {
        self.now = now
        refuse(ticket.token, .removed)
    }
}
