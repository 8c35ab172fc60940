import ClusterModel
import Wire

/// A question's arguments, checked one by one.
struct AdminArguments {
    private let values: [String: String]
    init(_ values: [String: String]) { self.values = values }

    func optional(_ name: String) -> String? { values[name] }

    func text(_ name: String) throws(AdminFailure) -> String {
        guard let value = values[name] else { throw AdminFailure(.invalid, "the argument \(name) is missing") }
        return value
    }

    func number<T: FixedWidthInteger>(_ name: String, _ type: T.Type = T.self) throws(AdminFailure) -> T {
        let text = try text(name)
        guard let value = T(text) else {
            throw AdminFailure(.invalid, "\(name) is \"\(text)\", which is no number in range")
        }
        return value
    }

    func number<T: FixedWidthInteger>(_ name: String, or standard: T) throws(AdminFailure) -> T {
        values[name] == nil ? standard : try number(name)
    }

    func group(_ name: String) throws(AdminFailure) -> PGID {
        let text = try text(name)
        guard let group = PGID(text) else {
            throw AdminFailure(.invalid, "\"\(text)\" is no group; groups are called d0, d1 … and m1 …")
        }
        return group
    }

    /// An absolute path as names; [] for "/".
    func path(_ name: String) throws(AdminFailure) -> [FileName] {
        let text = try text(name)
        guard text.hasPrefix("/") else {
            throw AdminFailure(.invalid, "\"\(text)\" is no path in the cluster: it begins with a slash")
        }
        var names: [FileName] = []
        for part in text.split(separator: "/") {
            guard let name = FileName(Array(part.utf8)) else {
                throw AdminFailure(.invalid, "\"\(part)\" is no name of a file")
            }
            names.append(name)
        }
        guard names.count <= 256 else { throw AdminFailure(.invalid, "\(names.count) folders deep; at most 256") }
        return names
    }
}

extension [FileName] {
    var path: String { "/" + map(\.description).joined(separator: "/") }
}
