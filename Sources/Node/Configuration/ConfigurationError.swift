/// What is wrong in a configuration file: where, what was found, what is expected.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    public var file: String
    /// From 1; 0 when the fault is no line's.
    public var line: Int
    /// "nodes[2].address"
    public var key: String
    public var found: String
    public var expected: String

    public init(file: String, line: Int, key: String, found: String, expected: String) {
        self.file = file
        self.line = line
        self.key = key
        self.found = found
        self.expected = expected
    }

    public var description: String {
        let place = line > 0 ? "\(file):\(line)" : file
        return "\(place): \(key.isEmpty ? "the file" : key): found \(found); expected \(expected)"
    }
}
