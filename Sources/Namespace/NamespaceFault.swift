import ClusterModel

/// Why a namespace cannot go on: not an answer to a caller, but a defect or a damaged disk. The replica stops.
public enum NamespaceFault: Error, Hashable, CustomStringConvertible {
    /// An entry of a meaning that this node does not speak; it must not be applied by guessing.
    case unknownSemantics(UInt32)
    /// Entries are applied one after another; `next` was handed over after `applied`.
    case outOfOrder(applied: EntryName, next: EntryName)
    /// A row does not have the form that was written.
    case damagedRow(String)
    /// A row that another one names is missing.
    case missingRow(String)
    /// The store belongs to another fileset.
    case otherFileset(FilesetID)

    public var description: String {
        switch self {
        case .unknownSemantics(let version):
            "an entry with namespace semantics \(version), but this node speaks \(FilesetState.semantics.lowerBound) to \(FilesetState.semantics.upperBound): upgrade it"
        case .outOfOrder(let applied, let next):
            "entry \(next) was handed to the namespace right after \(applied)"
        case .damagedRow(let why): "a damaged row of the namespace: \(why)"
        case .missingRow(let what): "the namespace lacks a row: \(what)"
        case .otherFileset(let fileset): "the rows are those of fileset \(fileset)"
        }
    }
}
