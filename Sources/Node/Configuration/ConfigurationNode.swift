import Yams

/// A place in a YAML file: its node, where it stands, and how it is called. Knows nothing of clusters.
///
/// Invariant: every key that is present is read, or refused as unknown by `finish`.
final class ConfigurationNode {
    let node: Yams.Node
    let file: String
    let key: String
    private var read: Set<String> = []

    init(node: Yams.Node, file: String, key: String) {
        self.node = node
        self.file = file
        self.key = key
    }

    func error(found: String, expected: String, at other: Yams.Node? = nil, key childKey: String? = nil)
        -> ConfigurationError
    {
        ConfigurationError(
            file: file, line: (other ?? node).mark?.line ?? 0, key: childKey ?? key, found: found, expected: expected)
    }

    /// What a node is, for messages.
    private static func describe(_ node: Yams.Node) -> String {
        switch node {
        case .scalar(let scalar): scalar.string.isEmpty ? "nothing" : "\"\(scalar.string)\""
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    var described: String { ConfigurationNode.describe(node) }

    private func child(_ name: String) -> String { key.isEmpty ? name : "\(key).\(name)" }

    /// The value of a key; nil if it is not there.
    func optional(_ name: String) throws(ConfigurationError) -> ConfigurationNode? {
        guard case .mapping(let mapping) = node else { throw error(found: described, expected: "keys and values") }
        read.insert(name)
        guard let value = mapping[Yams.Node(name)] else { return nil }
        return ConfigurationNode(node: value, file: file, key: child(name))
    }

    func required(_ name: String, _ meaning: String) throws(ConfigurationError) -> ConfigurationNode {
        guard let value = try optional(name) else { throw error(found: "nothing", expected: meaning, key: child(name)) }
        return value
    }

    func elements() throws(ConfigurationError) -> [ConfigurationNode] {
        guard case .sequence(let sequence) = node else { throw error(found: described, expected: "a list") }
        return sequence.enumerated().map { ConfigurationNode(node: $1, file: file, key: "\(key)[\($0)]") }
    }

    /// Refuses keys that nobody asked for, and keys that stand twice.
    func finish() throws(ConfigurationError) {
        guard case .mapping(let mapping) = node else { return }
        for (name, _) in mapping {
            let text = name.string ?? ConfigurationNode.describe(name)
            if !read.contains(text) {
                throw error(
                    found: "the unknown key \"\(text)\"", expected: "one of \(read.sorted().joined(separator: ", "))",
                    at: name,
                    key: child(text))
            }
        }
    }

    func string(_ expected: String) throws(ConfigurationError) -> String {
        guard case .scalar(let scalar) = node, !scalar.string.isEmpty else {
            throw error(found: described, expected: expected)
        }
        return scalar.string
    }

    func integer(_ range: ClosedRange<UInt64>, _ unit: String) throws(ConfigurationError) -> UInt64 {
        let expected = "\(unit), \(range.lowerBound) … \(range.upperBound)"
        guard let value = UInt64(try string(expected)), range.contains(value) else {
            throw error(found: described, expected: expected)
        }
        return value
    }

    /// "64KiB", "1MiB", "10GiB", "2TiB" or plain bytes.
    func bytes(_ range: ClosedRange<UInt64>) throws(ConfigurationError) -> UInt64 {
        let expected = "a size such as 64KiB, 1MiB or 10GiB, \(range.lowerBound) … \(range.upperBound) bytes"
        let text = try string(expected)
        let units: [(String, UInt64)] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)]
        var digits = Substring(text)
        var factor: UInt64 = 1
        for (suffix, value) in units where text.hasSuffix(suffix) {
            digits = text.dropLast(suffix.count)
            factor = value
        }
        guard let number = UInt64(digits.filter { $0 != " " }) else {
            throw error(found: described, expected: expected)
        }
        let (value, overflow) = number.multipliedReportingOverflow(by: factor)
        if overflow || !range.contains(value) { throw error(found: described, expected: expected) }
        return value
    }

    func flag() throws(ConfigurationError) -> Bool {
        switch try string("true or false") {
        case "true": true
        case "false": false
        default: throw error(found: described, expected: "true or false")
        }
    }

    func choice<T>(_ choices: [(String, T)]) throws(ConfigurationError) -> T {
        let expected = "one of " + choices.map(\.0).joined(separator: ", ")
        let text = try string(expected)
        guard let match = choices.first(where: { $0.0 == text }) else {
            throw error(found: described, expected: expected)
        }
        return match.1
    }
}
