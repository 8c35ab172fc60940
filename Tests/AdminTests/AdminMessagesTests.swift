import ClusterModel
import Testing

@testable import Admin

@Suite struct AdminMessagesTests {
    @Test("A question survives its coding", arguments: AdminCommand.allCases) func question(command: AdminCommand)
        throws
    {
        let question = AdminQuestion(command, ["path": "/a \u{e9}\"\\/b", "n": "1"])
        #expect(try AdminCoding.decode(AdminQuestion.self, AdminCoding.encode(question)) == question)
    }

    @Test("A failure survives its coding as an answer") func failure() throws {
        let bytes = try AdminCoding.encode(AdminReply<Done>.failure(AdminFailure(.notFound, "gone")))
        guard case .failure(let failure) = try AdminCoding.decode(AdminReply<Done>.self, bytes) else {
            Issue.record("it came back as a value")
            return
        }
        #expect(failure == AdminFailure(.notFound, "gone"))
    }

    @Test(
        "Questions with an unknown command, or that are no JSON, are refused",
        arguments: ["{}", "[", "{\"command\":\"dance\",\"arguments\":{}}", ""])
    func garbage(text: String) {
        #expect(throws: (any Error).self) { try AdminCoding.decode(AdminQuestion.self, Array(text.utf8)) }
    }

    @Test("An object survives its coding") func object() throws {
        let object = ScrubObject(fileset: 2, inode: UInt64.max, index: 3)
        #expect(try AdminCoding.decode(ScrubObject.self, AdminCoding.encode(object)) == object)
    }

    @Test("Paths are absolute and hold no names that are none") func paths() throws {
        func path(_ text: String) throws -> [String] {
            try AdminArguments(["path": text]).path("path").map(\.description)
        }
        #expect(try path("/") == [])
        #expect(try path("/a//b/") == ["a", "b"])
        #expect(throws: AdminFailure.self) { try path("a/b") }
        #expect(throws: AdminFailure.self) { try path("/a/../b") }
        #expect(throws: AdminFailure.self) { try path("/" + String(repeating: "x", count: 256)) }
        #expect(throws: AdminFailure.self) { try path(String(repeating: "/x", count: 257)) }
    }

    @Test("Numbers out of range are refused, not cut") func numbers() throws {
        let arguments = AdminArguments(["small": "65536", "minus": "-1", "good": "12", "words": "ten"])
        #expect(try arguments.number("good", UInt16.self) == 12)
        #expect(throws: AdminFailure.self) { try arguments.number("small", UInt16.self) }
        #expect(throws: AdminFailure.self) { try arguments.number("minus", UInt64.self) }
        #expect(throws: AdminFailure.self) { try arguments.number("words", Int.self) }
        #expect(throws: AdminFailure.self) { try arguments.number("absent", Int.self) }
    }

    @Test("Clients of exports are addresses and networks") func networks() {
        for good in ["10.0.0.1", "10.0.0.0/8", "127.0.0.0/32", "0.0.0.0/0"] { #expect(AdminService.isNetwork(good)) }
        for bad in ["10.0.0", "10.0.0.0/33", "host", "", "1.2.3.4/8/8", "256.1.1.1", "+1.2.3.4", "1.2.3.4/"] {
            #expect(!AdminService.isNetwork(bad), "\(bad)")
        }
    }

    @Test("The root, a fileset that is exported, and one with another in it cannot be deleted") func obstacles() throws
    {
        var map = ClusterMap(cluster: ClusterID(1), policy: try #require(ReplicationPolicy(copies: 1)), dataPGCount: 1)
        func fileset(_ id: UInt32, in parent: UInt32?) -> Fileset {
            Fileset(
                id: FilesetID(id), name: "f\(id)", layout: .standard, state: .live,
                junction: parent.map { Junction(directory: FileID(fileset: FilesetID($0), inode: .root), name: [0x61]) }
            )
        }
        map.filesets = [fileset(1, in: nil), fileset(2, in: 1), fileset(3, in: 2), fileset(4, in: 1)]
        map.exports = [
            Export(
                id: ExportID(1), path: "/f4", root: FileID(fileset: FilesetID(4), inode: .root), clients: ["127.0.0.1"],
                squash: .root)
        ]
        #expect(AdminService.obstacle(to: map.filesets[0], map)?.contains("root") == true)
        #expect(AdminService.obstacle(to: map.filesets[1], map)?.contains("f3") == true)
        #expect(AdminService.obstacle(to: map.filesets[2], map) == nil)
        #expect(AdminService.obstacle(to: map.filesets[3], map)?.contains("/f4") == true)
    }
}

@Suite struct FileRangesTests {
    @Test(
        "The ranges of all objects make up the file, each byte once",
        arguments: [0, 1, 65536, 1_000_000, 16_777_216, 40_000_001])
    func cover(size: UInt64) throws {
        for (unit, count) in [(1 << 20, 4), (65536, 3), (4 << 20, 1), (262144, 64)] {
            let layout = try #require(Layout(stripeUnit: unit, stripeCount: count))
            var ranges: [[UInt64]] = []
            for index in 0..<layout.objectCount(fileSize: size) {
                ranges += FileRanges.of(object: index, layout, fileSize: size)
            }
            var next: UInt64 = 0
            for range in ranges.sorted(by: { $0[0] < $1[0] }) {
                #expect(range[0] == next)
                next = range[0] + range[1]
            }
            #expect(next == size)
        }
    }

    @Test("A byte's object is the one that the layout locates it in") func located() throws {
        let layout = try #require(Layout(stripeUnit: 65536, stripeCount: 3))
        let size: UInt64 = 30_000_000
        for offset in stride(from: UInt64(0), to: size, by: 777_777) {
            let (index, _) = layout.locate(offset)
            #expect(
                FileRanges.of(object: index, layout, fileSize: size).contains {
                    $0[0] <= offset && offset < $0[0] + $0[1]
                })
        }
    }

    @Test("Neighbouring units in one object are one range") func joined() throws {
        let layout = try #require(Layout(stripeUnit: 65536, stripeCount: 1))
        #expect(FileRanges.of(object: 1, layout, fileSize: 10_000_000) == [[4_194_304, 4_194_304]])
    }
}
