/// Bounds of the coordination store. They are small on purpose: nothing of a data path is kept here.
public enum CoordinationLimits {
    /// Longest key in bytes; a longer one is refused.
    public static let keyBytes = 512
    /// Longest value in bytes; a longer one is refused.
    public static let valueBytes = 256 * 1024
    /// Most puts and deletes of one transaction, and most comparisons beside them; more are refused.
    public static let operationsPerTransaction = 256
    /// Most bytes of keys and values that one transaction puts; more are refused (etcd refuses requests of over 1.5 MiB).
    public static let transactionBytes = 1024 * 1024
    /// Most entries that one read gives; a read that finds more fails instead of showing a part.
    public static let entriesPerRead = 65_536
    /// Longest text that names the owner of a lease, in UTF-8 bytes.
    public static let ownerBytes = 128
    /// Most requests that wait for the store in one process; one more is refused with `overloaded`.
    public static let waitingRequests = 4_096
    /// Most watches of one process.
    public static let watches = 64
    /// Most events in one delivery to a watch; the rest follows in the next one.
    public static let eventsPerDelivery = 1_024
    /// How many deleted keys the store remembers for watches. A watch that is further behind has lost its place.
    public static let rememberedDeletions = 1_024
    /// Bytes of the local store's journal that stay between transactions; a greater one is cut after its transaction.
    static let journalBytes = 1 << 20
    /// Most lease words in one lease file. An index is never used again within a boot.
    public static let leaseWords = 65_536
    /// Greatest lease number (24 bits). Numbers are never used again in a store.
    public static let greatestLeaseNumber: UInt32 = 0xff_ffff
}
