import ClusterModel

/// The last things that an operator may want to know, newest last.
public struct EventLog: Sendable {
    public init() {}

    public enum Subject: Sendable, Hashable {
        case group(PGID)
        case disk(DiskID)
        case leaseLapsed
        case sessionDropped
        case node
    }

    public struct Event: Sendable {
        public var subject: Subject
        public var text: String
        /// Since when, wall-clock time.
        public var time: Timestamp
    }

    /// Older ones are forgotten.
    static let capacity = 512
    public private(set) var events: [Event] = []

    mutating func add(_ subject: Subject, _ text: String, at time: Timestamp) {
        events.append(Event(subject: subject, text: text, time: time))
        if events.count > EventLog.capacity { events.removeFirst(events.count - EventLog.capacity) }
    }
}

/// What the object layer of one node has done since its start.
public struct StorageCounters: Sendable, Hashable {
    public var requests: UInt64 = 0
    /// Requests refused because too much was waiting.
    public var overloaded: UInt64 = 0
    /// Blocks that did not match their checksums, those of them that were taken from another replica and written anew, and
    /// those that no replica holds.
    public var badBlocks: UInt64 = 0
    public var mendedBlocks: UInt64 = 0
    public var lostBlocks: UInt64 = 0
    /// Reads that the own replica was asked for by the own gateway, and those of them that it could not serve.
    public var localReads: UInt64 = 0
    public var localReadsMissed: UInt64 = 0
    /// Scrubs that came to their end under this node's lead, and objects and rows that they found lost or differing.
    public var scrubs: UInt64 = 0
    public var scrubFindings: UInt64 = 0
    public init() {}
}
