import Testing

@testable import Node

@Suite struct OperatorErrorTests {
    @Test("Every code has a page with a title, a cause and a next step", arguments: OperatorError.Code.allCases)
    func pages(code: OperatorError.Code) {
        #expect(!code.page.title.isEmpty)
        #expect(code.page.cause.hasSuffix("."))
        #expect(!code.page.next.isEmpty)
        #expect(code.name == "ST\(code.rawValue)")
        #expect(OperatorError(code, "x").description.contains(code.page.next))
    }

    @Test("Titles differ, so that a page is known by its title") func titles() {
        #expect(Set(OperatorError.Code.allCases.map(\.page.title)).count == OperatorError.Code.allCases.count)
    }
}
