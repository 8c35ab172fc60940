import ONCRPC

/// RMDIR (RFC 1813, section 3.3.13).
func rmdirOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let place = try NFS3.NameArguments(from: &reader)
    call.takeOut(place) { call.vfs.removeDirectory($0, in: $1.file, name: $2, done: $3) }
}
