import ONCRPC

/// SYMLINK (RFC 1813, section 3.3.10). The target is any bytes; NUL ends a path everywhere, so it cannot be in one.
func symlinkOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.SymlinkArguments(from: &reader)
    guard arguments.target.count <= NFSLimits.symlinkBytes else { return call.refuseToMake(.nameTooLong) }
    guard !arguments.target.isEmpty, !arguments.target.contains(0) else { return call.refuseToMake(.invalid) }
    call.make(.symbolicLink(target: arguments.target), at: arguments.place, attributes: arguments.attributes)
}
