import ClusterModel

extension DirectoryChange {
    func encode(into w: inout WireWriter) {
        before.encode(into: &w)
        after.encode(into: &w)
    }

    init(from r: inout WireReader) throws(WireError) {
        self.init(before: try FileAttributes(from: &r), after: try FileAttributes(from: &r))
    }
}

extension NamespaceResult {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.u8(failure?.rawValue ?? 0)
        w.optional(inode) { w, i in i.encode(into: &w) }
        w.optional(directory) { w, d in d.encode(into: &w) }
        w.optional(secondDirectory) { w, d in d.encode(into: &w) }
        w.optional(deletion) { w, d in w.rangeDeletion(d) }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        self.init()
        let code = try r.u8()
        if code != 0 {
            guard let failure = NamespaceFailure(rawValue: code) else {
                throw WireError("\(code) is no failure of the namespace")
            }
            self.failure = failure
        }
        inode = try r.optional { r throws(WireError) in try Inode(from: &r) }
        directory = try r.optional { r throws(WireError) in try DirectoryChange(from: &r) }
        secondDirectory = try r.optional { r throws(WireError) in try DirectoryChange(from: &r) }
        deletion = try r.optional { r throws(WireError) in try r.rangeDeletion() }
    }
}
