import ClusterModel
import Wire

/// Recognises a file whose writes are flushed one by one (a database in a guest: a write, a flush, a write, a flush), from the
/// order of its WRITEs and COMMITs.
///
/// The data of a write that will be flushed at once is made stable on its way, while the write is answered; the flush then
/// finds nothing left to sync, and costs its messages only. The write's answer promises no more than was asked for, so that a
/// wrong guess costs one early sync, and the second write without a flush between ends the guessing.
struct FlushPattern {
    private var singles = 0
    private var writesSinceFlush = 0

    /// Flushes of one write in a row before the next write is taken for another.
    private static let needed = 2

    /// A write that asks for no stability begins. How durable its data is to be.
    mutating func writeBegan() -> Durability {
        if writesSinceFlush > 0 { singles = 0 }
        writesSinceFlush += 1
        return singles >= FlushPattern.needed ? .stable : .unstable
    }

    mutating func flushBegan() {
        if writesSinceFlush == 1 { singles += 1 }
        if writesSinceFlush > 1 { singles = 0 }
        writesSinceFlush = 0
    }
}
