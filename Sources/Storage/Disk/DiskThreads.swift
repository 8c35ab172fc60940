import DiskIO

/// The threads of one disk: one that syncs, one for slots and cold reads, one for the index. The namespace thread is the
/// node's.
struct DiskThreads: Sendable {
    let sync: SyncThread
    let io: DiskThread
    let index: DiskThread

    init(number: Int) throws(DiskError) {
        sync = try SyncThread(name: "sync\(number)")
        io = try DiskThread(name: "io\(number)")
        index = try DiskThread(name: "index\(number)")
    }

    var marks: [CallMark] { sync.marks + io.marks + index.marks }

    /// Ends the threads after what waits was done.
    func stop() {
        io.stop()
        index.stop()
        sync.stop()
    }
}
