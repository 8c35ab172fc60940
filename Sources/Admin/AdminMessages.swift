import Foundation

/// A question of the command line to one node: a command with its arguments, all of them text.
public struct AdminQuestion: Codable, Hashable, Sendable {
    public var command: AdminCommand
    public var arguments: [String: String]
    public init(_ command: AdminCommand, _ arguments: [String: String] = [:]) {
        self.command = command
        self.arguments = arguments
    }
}

/// What a node can be asked.
public enum AdminCommand: String, Codable, Hashable, Sendable, CaseIterable {
    case status
    case map
    case groups
    case waits
    case acceptLoss = "pg-accept-loss"
    case upgrade = "cluster-upgrade"
    case setDuty = "node-duty"
    case addNode = "node-add"
    case removeNode = "node-remove"
    case addDisk = "disk-add"
    case replaceDisk = "disk-replace"
    case setDiskDuty = "disk-duty"
    case removeDisk = "disk-remove"
    case createFileset = "fileset-create"
    case deleteFileset = "fileset-delete"
    case createExport = "export-create"
    case deleteExport = "export-delete"
    case look = "fs-stat"
    case list = "fs-list"
    case read = "fs-read"
    case create = "fs-create"
    case write = "fs-write"
    case makeFolder = "fs-mkdir"
    case remove = "fs-remove"
    case locate = "object-locate"
    case releasePortmap = "portmap-release"
    case scrubBegin = "scrub-begin"
    case scrubStop = "scrub-stop"
    case scrubObjects = "scrub-objects"
}

/// Why a question has no answer.
public struct AdminFailure: Error, Codable, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Codable, Hashable, Sendable {
        case notFound = "not-found"
        case refused
        /// The question itself is off.
        case invalid
        /// Not now: the node is starting, or the storage does not serve.
        case unavailable
    }
    public var kind: Kind
    public var message: String
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
    public var description: String { message }
}

/// What travels back: the value or the failure.
public enum AdminReply<Value: Codable & Sendable>: Codable, Sendable {
    case value(Value)
    case failure(AdminFailure)

    private enum Keys: String, CodingKey {
        case value
        case error
    }

    public init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: Keys.self)
        if let failure = try box.decodeIfPresent(AdminFailure.self, forKey: .error) {
            self = .failure(failure)
        } else {
            self = .value(try box.decode(Value.self, forKey: .value))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var box = encoder.container(keyedBy: Keys.self)
        switch self {
        case .value(let value): try box.encode(value, forKey: .value)
        case .failure(let failure): try box.encode(failure, forKey: .error)
        }
    }
}

/// An answer without content.
public struct Done: Codable, Hashable, Sendable {
    public init() {}
}

/// JSON as nodes and the command line exchange it.
public enum AdminCoding {
    public static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }
    public static func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) throws -> T {
        try JSONDecoder().decode(type, from: Data(bytes))
    }
}

/// What became of a portmapper's port.
public enum PortmapRelease: String, Codable, Hashable, Sendable {
    case released
    /// The gateway does not hold it: a running rpcbind does, or none is wanted.
    case notHeld = "not-held"
}
