import Foundation

/// A regular expression and what to do instead of what it finds.
struct Ban: Sendable {
    var pattern: String
    var sentence: String
    init(_ pattern: String, _ sentence: String) {
        self.pattern = pattern
        self.sentence = sentence
    }

    /// Every line of `text` that the pattern finds something in.
    func violations(in text: String, path: String) throws -> [Violation] {
        let expression = try NSRegularExpression(pattern: pattern, options: [.anchorsMatchLines])
        let whole = NSRange(text.startIndex..., in: text)
        return expression.matches(in: text, range: whole).compactMap { match in
            guard let range = Range(match.range, in: text) else { return nil }
            let line = text[..<range.lowerBound].utf8.count { $0 == 0x0A } + 1
            return Violation(path: path, line: line, sentence: sentence)
        }
    }

    /// The first captured group of every match.
    static func captures(_ pattern: String, in text: String) throws -> [String] {
        let expression = try NSRegularExpression(pattern: pattern, options: [.anchorsMatchLines])
        return expression.matches(in: text, range: NSRange(text.startIndex..., in: text)).compactMap { match in
            Range(match.range(at: 1), in: text).map { String(text[$0]) }
        }
    }
}
