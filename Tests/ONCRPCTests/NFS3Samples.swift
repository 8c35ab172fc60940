import ONCRPC
import Testing

/// A form of the wire: random values of it in our writing and in that of the oracle, field by field after the RFC.
struct WireForm: Sendable, CustomTestStringConvertible {
    let name: String
    /// A random value, written by us and by libtirpc.
    let sample: @Sendable (inout TestRandom) -> (ours: [UInt8], oracle: [UInt8])
    /// Reads the bytes and writes them again; throws the decoder's reason.
    let rewrite: @Sendable ([UInt8]) throws -> [UInt8]
    var testDescription: String { name }

    init<T: XDRCodable & SendableMetatype>(
        _ name: String, _ make: @escaping @Sendable (inout TestRandom) -> T,
        oracle: @escaping @Sendable (T, Tirpc) -> Void
    ) {
        self.name = name
        sample = { random in
            let value = make(&random)
            let stream = Tirpc(encodingUpTo: 64 << 10)
            oracle(value, stream)
            return (encoded(value), stream.bytes)
        }
        rewrite = { encoded(try decoded(T.self, $0)) }
    }

    static let all: [WireForm] = arguments + results + others
}

extension TestRandom {
    mutating func optional<T>(_ body: (inout TestRandom) -> T) -> T? { flag() ? body(&self) : nil }
    mutating func handle() -> NFS3.FileHandle { NFS3.FileHandle(bytes(below(65))) }
    mutating func time() -> NFS3.Time { NFS3.Time(seconds: u32(), nanoseconds: u32()) }
    mutating func place() -> NFS3.NameArguments { NFS3.NameArguments(directory: handle(), name: bytes(below(40))) }
    mutating func verifier() -> NFS3.Verifier { NFS3.Verifier(next()) }
    mutating func failure() -> NFS3.Status { NFS3.Status.allCases[1 + below(NFS3.Status.allCases.count - 1)] }
    mutating func attributes() -> NFS3.Attributes {
        NFS3.Attributes(
            type: NFS3.FileType.allCases[below(7)], mode: u32(), linkCount: u32(), uid: u32(), gid: u32(), size: next(),
            used: next(), device: NFS3.DeviceNumber(major: u32(), minor: u32()), fileSystemID: next(), fileID: next(),
            accessTime: time(), modifyTime: time(), changeTime: time())
    }
    mutating func post() -> NFS3.Attributes? { optional { $0.attributes() } }
    mutating func cache() -> NFS3.CacheData {
        NFS3.CacheData(
            before: optional { NFS3.WeakAttributes(size: $0.next(), modifyTime: $0.time(), changeTime: $0.time()) },
            after: post())
    }
    mutating func setTime() -> NFS3.SetTime {
        switch below(3) {
        case 0: .keep
        case 1: .serverTime
        default: .to(time())
        }
    }
    mutating func set() -> NFS3.SetAttributes {
        NFS3.SetAttributes(
            mode: optional { $0.u32() }, uid: optional { $0.u32() }, gid: optional { $0.u32() },
            size: optional { $0.next() }, accessTime: setTime(), modifyTime: setTime())
    }
    mutating func result<S, F>(_ ok: (inout TestRandom) -> S, _ failed: (inout TestRandom) -> F) -> NFS3.Result<S, F> {
        flag() ? .ok(ok(&self)) : .failed(failure(), failed(&self))
    }
}

extension Tirpc {
    func handle(_ h: NFS3.FileHandle) { opaque(h.withBytes { [UInt8]($0) }) }
    func place(_ p: NFS3.NameArguments) {
        handle(p.directory)
        opaque(p.name)
    }
    func time(_ t: NFS3.Time) {
        u32(t.seconds)
        u32(t.nanoseconds)
    }
    func attributes(_ a: NFS3.Attributes) {
        for word in [a.type.rawValue, a.mode, a.linkCount, a.uid, a.gid] { u32(word) }
        u64(a.size)
        u64(a.used)
        u32(a.device.major)
        u32(a.device.minor)
        u64(a.fileSystemID)
        u64(a.fileID)
        for t in [a.accessTime, a.modifyTime, a.changeTime] { time(t) }
    }
    func post(_ a: NFS3.Attributes?) { optional(a) { attributes($0) } }
    func cache(_ c: NFS3.CacheData) {
        optional(c.before) {
            u64($0.size)
            time($0.modifyTime)
            time($0.changeTime)
        }
        post(c.after)
    }
    func setTime(_ t: NFS3.SetTime) {
        switch t {
        case .keep: u32(0)
        case .serverTime: u32(1)
        case .to(let value):
            u32(2)
            time(value)
        }
    }
    func set(_ a: NFS3.SetAttributes) {
        for field in [a.mode, a.uid, a.gid] { optional(field) { u32($0) } }
        optional(a.size) { u64($0) }
        setTime(a.accessTime)
        setTime(a.modifyTime)
    }
    func result<S, F>(_ r: NFS3.Result<S, F>, _ ok: (S) -> Void, _ failed: (F) -> Void) {
        switch r {
        case .ok(let value):
            u32(0)
            ok(value)
        case .failed(let status, let value):
            u32(status.rawValue)
            failed(value)
        }
    }
}

extension WireForm {
    static let arguments: [WireForm] = [
        WireForm("nfs_fh3", { $0.handle() }, oracle: { $1.handle($0) }),
        WireForm("diropargs3", { $0.place() }, oracle: { $1.place($0) }),
        WireForm(
            "SETATTR3args",
            { NFS3.SetattrArguments(file: $0.handle(), attributes: $0.set(), guardTime: $0.optional { $0.time() }) },
            oracle: { v, x in
                x.handle(v.file)
                x.set(v.attributes)
                x.optional(v.guardTime) { x.time($0) }
            }),
        WireForm(
            "ACCESS3args", { NFS3.AccessArguments(file: $0.handle(), access: NFS3.AccessBits(rawValue: $0.u32())) },
            oracle: { v, x in
                x.handle(v.file)
                x.u32(v.access.rawValue)
            }),
        WireForm(
            "READ3args", { NFS3.RangeArguments(file: $0.handle(), offset: $0.next(), count: $0.u32()) },
            oracle: { v, x in
                x.handle(v.file)
                x.u64(v.offset)
                x.u32(v.count)
            }),
        WireForm(
            "CREATE3args",
            {
                let place = $0.place()
                switch $0.below(3) {
                case 0: return NFS3.CreateArguments(place: place, mode: .unchecked($0.set()))
                case 1: return NFS3.CreateArguments(place: place, mode: .guarded($0.set()))
                default: return NFS3.CreateArguments(place: place, mode: .exclusive($0.verifier()))
                }
            },
            oracle: { v, x in
                x.place(v.place)
                switch v.mode {
                case .unchecked(let a):
                    x.u32(0)
                    x.set(a)
                case .guarded(let a):
                    x.u32(1)
                    x.set(a)
                case .exclusive(let verifier):
                    x.u32(2)
                    x.u64(verifier.rawValue)
                }
            }),
        WireForm(
            "MKDIR3args", { NFS3.MkdirArguments(place: $0.place(), attributes: $0.set()) },
            oracle: { v, x in
                x.place(v.place)
                x.set(v.attributes)
            }),
        WireForm(
            "SYMLINK3args",
            { NFS3.SymlinkArguments(place: $0.place(), attributes: $0.set(), target: $0.bytes($0.below(90))) },
            oracle: { v, x in
                x.place(v.place)
                x.set(v.attributes)
                x.opaque(v.target)
            }),
        WireForm(
            "MKNOD3args",
            {
                let place = $0.place()
                let device = NFS3.DeviceNumber(major: $0.u32(), minor: $0.u32())
                switch $0.below(5) {
                case 0: return NFS3.MknodArguments(place: place, kind: .characterDevice($0.set(), device))
                case 1: return NFS3.MknodArguments(place: place, kind: .blockDevice($0.set(), device))
                case 2: return NFS3.MknodArguments(place: place, kind: .socket($0.set()))
                case 3: return NFS3.MknodArguments(place: place, kind: .fifo($0.set()))
                default: return NFS3.MknodArguments(place: place, kind: .other(.directory))
                }
            },
            oracle: { v, x in
                x.place(v.place)
                switch v.kind {
                case .characterDevice(let a, let d), .blockDevice(let a, let d):
                    if case .characterDevice = v.kind { x.u32(4) } else { x.u32(3) }
                    x.set(a)
                    x.u32(d.major)
                    x.u32(d.minor)
                case .socket(let a):
                    x.u32(6)
                    x.set(a)
                case .fifo(let a):
                    x.u32(7)
                    x.set(a)
                case .other: x.u32(2)
                }
            }),
        WireForm(
            "RENAME3args", { NFS3.RenameArguments(from: $0.place(), to: $0.place()) },
            oracle: { v, x in
                x.place(v.from)
                x.place(v.to)
            }),
        WireForm(
            "LINK3args", { NFS3.LinkArguments(file: $0.handle(), place: $0.place()) },
            oracle: { v, x in
                x.handle(v.file)
                x.place(v.place)
            }),
        WireForm(
            "READDIR3args",
            {
                NFS3.ReaddirArguments(
                    directory: $0.handle(), cookie: $0.next(), verifier: $0.verifier(), count: $0.u32())
            },
            oracle: { v, x in
                x.handle(v.directory)
                x.u64(v.cookie)
                x.u64(v.verifier.rawValue)
                x.u32(v.count)
            }),
        WireForm(
            "READDIRPLUS3args",
            {
                NFS3.ReaddirplusArguments(
                    directory: $0.handle(), cookie: $0.next(), verifier: $0.verifier(), directoryCount: $0.u32(),
                    maximumCount: $0.u32())
            },
            oracle: { v, x in
                x.handle(v.directory)
                x.u64(v.cookie)
                x.u64(v.verifier.rawValue)
                x.u32(v.directoryCount)
                x.u32(v.maximumCount)
            }),
    ]

    static let results: [WireForm] = [
        WireForm(
            "GETATTR3res", { $0.result({ $0.attributes() }, { _ in NFS3.Nothing() }) },
            oracle: { v, x in x.result(v, { x.attributes($0) }, { _ in }) }),
        WireForm(
            "SETATTR3res", { $0.result({ $0.cache() }, { $0.cache() }) },
            oracle: { v, x in x.result(v, { x.cache($0) }, { x.cache($0) }) }),
        WireForm(
            "LOOKUP3res",
            {
                $0.result(
                    { NFS3.Found(file: $0.handle(), attributes: $0.post(), directory: $0.post()) },
                    { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.handle($0.file)
                        x.post($0.attributes)
                        x.post($0.directory)
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "ACCESS3res",
            {
                $0.result(
                    { NFS3.Granted(attributes: $0.post(), access: NFS3.AccessBits(rawValue: $0.u32())) },
                    { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.post($0.attributes)
                        x.u32($0.access.rawValue)
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "READLINK3res",
            {
                $0.result(
                    { NFS3.LinkTarget(attributes: $0.post(), target: $0.bytes($0.below(50))) },
                    { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.post($0.attributes)
                        x.opaque($0.target)
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "READ3res up to its data",
            {
                $0.result(
                    {
                        NFS3.ReadHead(
                            attributes: $0.post(), endOfFile: $0.flag(), dataCount: UInt32($0.below(1 << 20)))
                    },
                    { NFS3.PostAttributes($0.post()) })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.post($0.attributes)
                        x.u32($0.dataCount)
                        x.bool($0.endOfFile)
                        x.u32($0.dataCount)
                    }, { x.post($0.attributes) })
            }),
        WireForm(
            "WRITE3res",
            {
                $0.result(
                    {
                        NFS3.Written(
                            cache: $0.cache(), count: $0.u32(), committed: NFS3.Stability.allCases[$0.below(3)],
                            verifier: $0.verifier())
                    }, { $0.cache() })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.cache($0.cache)
                        x.u32($0.count)
                        x.u32($0.committed.rawValue)
                        x.u64($0.verifier.rawValue)
                    }, { x.cache($0) })
            }),
        WireForm(
            "CREATE3res",
            {
                $0.result(
                    {
                        NFS3.Created(
                            file: $0.optional { $0.handle() }, attributes: $0.post(), directory: $0.cache())
                    }, { $0.cache() })
            },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.optional($0.file) { x.handle($0) }
                        x.post($0.attributes)
                        x.cache($0.directory)
                    }, { x.cache($0) })
            }),
        WireForm(
            "RENAME3res",
            {
                $0.result(
                    { NFS3.Renamed(from: $0.cache(), to: $0.cache()) },
                    { NFS3.Renamed(from: $0.cache(), to: $0.cache()) })
            },
            oracle: { v, x in
                let both = { (r: NFS3.Renamed) in
                    x.cache(r.from)
                    x.cache(r.to)
                }
                x.result(v, both, both)
            }),
        WireForm(
            "LINK3res",
            {
                $0.result(
                    { NFS3.Linked(attributes: $0.post(), directory: $0.cache()) },
                    { NFS3.Linked(attributes: $0.post(), directory: $0.cache()) })
            },
            oracle: { v, x in
                let both = { (r: NFS3.Linked) in
                    x.post(r.attributes)
                    x.cache(r.directory)
                }
                x.result(v, both, both)
            }),
        WireForm(
            "COMMIT3res",
            { $0.result({ NFS3.Committed(cache: $0.cache(), verifier: $0.verifier()) }, { $0.cache() }) },
            oracle: { v, x in
                x.result(
                    v,
                    {
                        x.cache($0.cache)
                        x.u64($0.verifier.rawValue)
                    }, { x.cache($0) })
            }),
    ]
}
