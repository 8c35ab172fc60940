/// A place in a `SlotTable`. A place that was given up and given again has another generation.
struct SlotID: Hashable, Sendable {
    var index: UInt32
    var generation: UInt32
}

/// Boxes by place, found without hashing and walked in one order for ever.
struct SlotTable<Element> {
    private var elements: [Element?] = []
    private var generations: [UInt32] = []
    private var free: [UInt32] = []
    private(set) var count = 0

    /// Places there are, used or not: for walks.
    var places: Int { elements.count }

    mutating func insert(_ element: Element) -> SlotID {
        count += 1
        if let index = free.popLast() {
            elements[Int(index)] = element
            return SlotID(index: index, generation: generations[Int(index)])
        }
        elements.append(element)
        generations.append(0)
        return SlotID(index: UInt32(elements.count - 1), generation: 0)
    }

    /// Nil when it was given up.
    subscript(_ id: SlotID) -> Element? {
        let index = Int(id.index)
        guard index < elements.count, generations[index] == id.generation else { return nil }
        return elements[index]
    }

    func at(_ place: Int) -> Element? { elements[place] }

    @discardableResult
    mutating func remove(_ id: SlotID) -> Element? {
        let index = Int(id.index)
        guard index < elements.count, generations[index] == id.generation, let element = elements[index] else {
            return nil
        }
        elements[index] = nil
        generations[index] &+= 1
        free.append(id.index)
        count -= 1
        return element
    }

    mutating func removeAll() {
        for index in elements.indices where elements[index] != nil {
            elements[index] = nil
            generations[index] &+= 1
            free.append(UInt32(index))
        }
        count = 0
    }
}
