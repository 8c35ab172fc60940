/// A linked list of XDR (RFC 4506, section 4.19): each element behind a boolean true, the end a boolean false.
public struct XDRList<Element: XDRCodable>: XDRCodable {
    /// The elements in order.
    public var elements: [Element]

    /// - Parameter elements: in order.
    public init(_ elements: [Element]) { self.elements = elements }

    /// Reads at most `RPCLimits.listEntries` elements; what is allocated grows with what was read.
    public init(from reader: inout XDRReader) throws(XDRError) {
        elements = []
        while try reader.bool() {
            guard elements.count < RPCLimits.listEntries else {
                throw XDRError("a list of more than \(RPCLimits.listEntries) elements")
            }
            elements.append(try Element(from: &reader))
        }
    }

    /// Appends the list.
    public func encode(into writer: inout XDRWriter) {
        for element in elements {
            writer.bool(true)
            element.encode(into: &writer)
        }
        writer.bool(false)
    }
}

extension XDRList: Equatable where Element: Equatable {}
extension XDRList: Sendable where Element: Sendable {}
