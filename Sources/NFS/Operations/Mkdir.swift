import ONCRPC

/// MKDIR (RFC 1813, section 3.3.9).
func mkdirOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.MkdirArguments(from: &reader)
    call.make(.directory, at: arguments.place, attributes: arguments.attributes)
}
