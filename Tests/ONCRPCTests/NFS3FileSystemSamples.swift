import ONCRPC

extension Tirpc {
    func entry(_ e: NFS3.DirectoryEntry) {
        u64(e.fileID)
        opaque(e.name)
        u64(e.cookie)
    }
    func page<E>(_ p: NFS3.DirectoryPage<E>, _ body: (E) -> Void) {
        post(p.attributes)
        u64(p.verifier.rawValue)
        for e in p.entries {
            bool(true)
            body(e)
        }
        bool(false)
        bool(p.endOfDirectory)
    }
}

extension TestRandom {
    mutating func entry() -> NFS3.DirectoryEntry {
        NFS3.DirectoryEntry(fileID: next(), name: bytes(below(30)), cookie: next())
    }
    mutating func page<E>(_ body: (inout TestRandom) -> E) -> NFS3.DirectoryPage<E> {
        NFS3.DirectoryPage(
            attributes: post(), verifier: verifier(), entries: (0..<below(5)).map { _ in body(&self) },
            endOfDirectory: flag())
    }
}

extension WireForm {
    static let others: [WireForm] = [
        WireForm(
            "READDIR3res", { $0.result({ $0.page { $0.entry() } }, { NFS3.PostAttributes($0.post()) }) },
            oracle: { v, x in x.result(v, { x.page($0) { x.entry($0) } }, { x.post($0.attributes) }) }),
        WireForm(
            "READDIRPLUS3res",
            {
                $0.result(
                    {
                        $0.page {
                            NFS3.DirectoryEntryPlus(
                                entry: $0.entry(), attributes: $0.post(), file: $0.optional { $0.handle() })
                        }
                    }, { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.page($0) {
                            x.entry($0.entry)
                            x.post($0.attributes)
                            x.optional($0.file) { x.handle($0) }
                        }
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "FSSTAT3res",
            {
                $0.result(
                    {
                        NFS3.FileSystemUsage(
                            attributes: $0.post(), totalBytes: $0.next(), freeBytes: $0.next(),
                            availableBytes: $0.next(),
                            totalFiles: $0.next(), freeFiles: $0.next(), availableFiles: $0.next(),
                            invariantSeconds: $0.u32())
                    }, { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.post($0.attributes)
                        for n in [
                            $0.totalBytes, $0.freeBytes, $0.availableBytes, $0.totalFiles, $0.freeFiles,
                            $0.availableFiles,
                        ] { x.u64(n) }
                        x.u32($0.invariantSeconds)
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "FSINFO3res",
            {
                $0.result(
                    {
                        NFS3.FileSystemInfo(
                            attributes: $0.post(), readMaximum: $0.u32(), readPreferred: $0.u32(),
                            readMultiple: $0.u32(), writeMaximum: $0.u32(), writePreferred: $0.u32(),
                            writeMultiple: $0.u32(), directoryPreferred: $0.u32(), fileMaximum: $0.next(),
                            timeDelta: $0.time(), properties: NFS3.Properties(rawValue: $0.u32()))
                    }, { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.post($0.attributes)
                        for n in [
                            $0.readMaximum, $0.readPreferred, $0.readMultiple, $0.writeMaximum, $0.writePreferred,
                            $0.writeMultiple, $0.directoryPreferred,
                        ] { x.u32(n) }
                        x.u64($0.fileMaximum)
                        x.time($0.timeDelta)
                        x.u32($0.properties.rawValue)
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "PATHCONF3res",
            {
                $0.result(
                    {
                        NFS3.PathConfiguration(
                            attributes: $0.post(), linkMaximum: $0.u32(), nameMaximum: $0.u32(),
                            traits: NFS3.PathTraits(rawValue: UInt8($0.below(16))))
                    }, { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.post($0.attributes)
                        x.u32($0.linkMaximum)
                        x.u32($0.nameMaximum)
                        x.bool($0.traits.contains(.noTruncation))
                        x.bool($0.traits.contains(.chownRestricted))
                        x.bool($0.traits.contains(.caseInsensitive))
                        x.bool($0.traits.contains(.casePreserving))
                    }, { x.post($0.attributes) })
            }),
        WireForm("dirpath", { Mount.Path($0.bytes($0.below(60))) }, oracle: { $1.opaque($0.bytes) }),
        WireForm(
            "mountres3",
            {
                $0.flag()
                    ? Mount.Result.ok($0.handle(), flavors: [$0.u32(), $0.u32()])
                    : .failed(Mount.Status.allCases[1 + $0.below(Mount.Status.allCases.count - 1)])
            },
            oracle: { v, x in
                switch v {
                case .ok(let handle, let flavors):
                    x.u32(0)
                    x.handle(handle)
                    x.u32(UInt32(flavors.count))
                    for flavor in flavors { x.u32(flavor) }
                case .failed(let status): x.u32(status.rawValue)
                }
            }),
        WireForm(
            "mountlist",
            {
                var random = $0
                $0 = TestRandom(seed: random.next())
                return XDRList(
                    (0..<random.below(4)).map { _ in
                        Mount.Mounted(host: random.text(random.below(9)), path: random.bytes(random.below(20)))
                    })
            },
            oracle: { v, x in
                for m in v.elements {
                    x.bool(true)
                    x.text(m.host)
                    x.opaque(m.path)
                }
                x.bool(false)
            }),
        WireForm(
            "exports",
            {
                var random = $0
                $0 = TestRandom(seed: random.next())
                return XDRList(
                    (0..<random.below(4)).map { _ in
                        Mount.Export(
                            path: random.bytes(random.below(20)),
                            groups: (0..<random.below(3)).map { _ in random.text(random.below(20)) })
                    })
            },
            oracle: { v, x in
                for e in v.elements {
                    x.bool(true)
                    x.opaque(e.path)
                    for group in e.groups {
                        x.bool(true)
                        x.text(group)
                    }
                    x.bool(false)
                }
                x.bool(false)
            }),
    ]
}
