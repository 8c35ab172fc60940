import ONCRPC

/// NULL of every program (RFC 1813, section 3.3.0).
func nullOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) { call.answer(NFS3.Nothing()) }
