import ONCRPC
import Wire

/// CREATE (RFC 1813, section 3.3.8).
func createOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.CreateArguments(from: &reader)
    switch arguments.mode {
    case .unchecked(let attributes):
        call.make(.regular(.unchecked), at: arguments.place, attributes: attributes)
    case .guarded(let attributes):
        call.make(.regular(.guarded), at: arguments.place, attributes: attributes)
    case .exclusive(let verifier):
        call.make(
            .regular(.exclusive(verifier: verifier.rawValue)), at: arguments.place, attributes: NFS3.SetAttributes())
    }
}
