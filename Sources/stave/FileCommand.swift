import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct FileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fs", abstract: "Look at and copy files of the cluster, as its superuser.",
        discussion: """
            Examples:
              stave fs ls /images
              stave fs stat /images/vm.img
              stave fs cp disk.img cluster:/images/disk.img      into the cluster
              stave fs cp cluster:/images/disk.img copy.img      out of it
              stave fs cat /images/note.txt
              stave fs mkdir /images/golden
              stave fs rm /images/disk.img
            The way is that of NFS: the same file system, through one node's gateway.
            """,
        subcommands: [List.self, Stat.self, Cat.self, Copy.self, Remove.self, MakeFolder.self])

    /// "cluster:/images/a" → "/images/a"; nil for a local path.
    static func clusterPath(_ text: String) -> String? {
        text.hasPrefix("cluster:") ? String(text.dropFirst("cluster:".count)) : nil
    }

    static func mode(_ file: FileReport) -> String {
        let kinds = [
            "file": "-", "folder": "d", "link": "l", "block": "b", "character": "c", "fifo": "p", "socket": "s",
        ]
        var text = kinds[file.kind] ?? "?"
        for shift in [6, 3, 0] {
            let bits = file.mode >> UInt16(shift)
            text += bits & 4 != 0 ? "r" : "-"
            text += bits & 2 != 0 ? "w" : "-"
            text += bits & 1 != 0 ? "x" : "-"
        }
        return text
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List a folder.")
        @Argument(help: ArgumentHelp("A path in the cluster.", valueName: "path")) var path = "/"
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let cluster = try cluster.open()
            var entries: [FileReport] = []
            var cookie: UInt64? = 0
            while let from = cookie {
                let page: ListReport = try cluster.ask(AdminQuestion(.list, ["path": path, "cookie": "\(from)"]))
                entries += page.entries
                cookie = page.next
            }
            if output.json { return try printJSON(entries) }
            var table = Table("mode", "links", "uid", "gid", "size", "modified", "name")
            for entry in entries {
                table.add(
                    FileCommand.mode(entry), "\(entry.links)", "\(entry.uid)", "\(entry.gid)", "\(entry.size)",
                    entry.modified == 0 ? "-" : date(entry.modified), entry.name)
            }
            print(table.text)
        }
    }

    struct Stat: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "stat", abstract: "Show a file's attributes.")
        @Argument(help: ArgumentHelp("A path in the cluster.", valueName: "path")) var path: String
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let file: FileReport = try cluster.open().ask(AdminQuestion(.look, ["path": path]))
            if output.json { return try printJSON(file) }
            print(
                "\(file.name): \(file.kind), \(file.size) bytes (\(size(file.size))), fileset \(file.fileset), inode \(file.inode)"
            )
            print("  uses \(file.used) bytes (\(size(file.used))) in one copy")
            print(
                "  mode \(FileCommand.mode(file)) (\(String(file.mode, radix: 8))), uid \(file.uid), gid \(file.gid), \(file.links) links"
            )
            print("  modified \(date(file.modified)), changed \(date(file.changed)), accessed \(date(file.accessed))")
            if let unit = file.stripeUnit, let count = file.stripeCount {
                print("  striped over \(count) objects at a time in units of \(size(UInt64(unit)))")
            }
            if let target = file.target { print("  -> \(target)") }
        }
    }

    struct Cat: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "cat", abstract: "Print a file.")
        @Argument(help: ArgumentHelp("A path in the cluster.", valueName: "path")) var path: String
        @OptionGroup var cluster: ClusterOptions

        func run() throws {
            try Transfer(cluster.open()).read(path) { data, _, _ in FileHandle.standardOutput.write(data) }
        }
    }

    struct Copy: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "cp", abstract: "Copy a file into or out of the cluster.",
            discussion: """
                One of the two is a path in the cluster, marked by "cluster:". A file that exists is replaced. Runs of zeros
                become holes.

                Examples:
                  stave fs cp disk.img cluster:/images/disk.img
                  stave fs cp cluster:/images/disk.img copy.img
                """)
        @Argument(help: ArgumentHelp("What to copy.", valueName: "from")) var source: String
        @Argument(help: ArgumentHelp("Where to.", valueName: "to")) var target: String
        @OptionGroup var cluster: ClusterOptions

        func run() throws {
            let transfer = Transfer(try cluster.open())
            switch (FileCommand.clusterPath(source), FileCommand.clusterPath(target)) {
            case (nil, let inside?): try transfer.copyIn(source, inside)
            case (let inside?, nil): try transfer.copyOut(inside, target)
            case (nil, nil), (_?, _?):
                throw OperatorError(
                    .usage,
                    "one of the two is a path in the cluster, such as cluster:/images/disk.img, the other is not")
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove files, or empty folders.")
        @Argument(help: ArgumentHelp("Paths in the cluster.", valueName: "path")) var paths: [String]
        @OptionGroup var cluster: ClusterOptions

        func run() throws {
            let cluster = try cluster.open()
            for path in paths { let _: Done = try cluster.ask(AdminQuestion(.remove, ["path": path])) }
        }
    }

    struct MakeFolder: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "mkdir", abstract: "Make folders.")
        @Argument(help: ArgumentHelp("Paths in the cluster.", valueName: "path")) var paths: [String]
        @Option(name: .long, help: ArgumentHelp("Octal mode.", valueName: "mode")) var mode = "755"
        @OptionGroup var cluster: ClusterOptions

        func run() throws {
            let cluster = try cluster.open()
            for path in paths {
                let _: Done = try cluster.ask(AdminQuestion(.makeFolder, ["path": path, "mode": mode]))
            }
        }
    }
}

/// Copies bytes between this machine and the cluster, in pieces.
struct Transfer {
    let cluster: Cluster
    init(_ cluster: Cluster) { self.cluster = cluster }

    /// Calls `body` with each piece, how much was read so far, and the size.
    func read(_ path: String, _ body: (Data, UInt64, UInt64) throws -> Void) throws {
        let file: FileReport = try cluster.ask(AdminQuestion(.look, ["path": path]))
        guard file.kind == "file" else { throw OperatorError(.refused, "\(path) is a \(file.kind)") }
        var offset: UInt64 = 0
        while true {
            let piece: DataReport = try cluster.ask(
                AdminQuestion(.read, ["fileset": "\(file.fileset)", "inode": "\(file.inode)", "offset": "\(offset)"]))
            guard let data = Data(base64Encoded: piece.data) else {
                throw OperatorError(.refused, "the node's answer is no base 64")
            }
            offset += UInt64(data.count)
            if !data.isEmpty { try body(data, offset, file.size) }
            if piece.isEnd || data.isEmpty { return }
        }
    }

    func copyOut(_ path: String, _ target: String) throws {
        let part = target + ".part"
        guard FileManager.default.createFile(atPath: part, contents: nil), let file = FileHandle(forWritingAtPath: part)
        else {
            throw OperatorError(.refused, "\(part) cannot be written")
        }
        defer { try? file.close() }
        var progress = Progress("\(path) -> \(target)")
        do {
            try read(path) { data, done, size in
                try file.write(contentsOf: data)
                progress.report(done, of: size)
            }
            try file.synchronize()
            guard rename(part, target) == 0 else {
                throw OperatorError(.refused, "\(target): \(String(cString: strerror(errno)))")
            }
        } catch {
            unlink(part)
            throw error
        }
        progress.end()
    }

    func copyIn(_ source: String, _ path: String) throws {
        guard let file = FileHandle(forReadingAtPath: source) else {
            throw OperatorError(.notFound, "there is no readable file \(source)")
        }
        defer { try? file.close() }
        let size = try file.seekToEnd()
        try file.seek(toOffset: 0)
        let handle: FileHandleReport = try cluster.ask(AdminQuestion(.create, ["path": path]))
        var progress = Progress("\(source) -> \(path)")
        var offset: UInt64 = 0
        while let data = try file.read(upToCount: AdminService.pieceBytes), !data.isEmpty {
            let _: Done = try cluster.ask(
                AdminQuestion(
                    .write,
                    [
                        "fileset": "\(handle.fileset)", "inode": "\(handle.inode)", "offset": "\(offset)",
                        "data": data.base64EncodedString(),
                    ]))
            offset += UInt64(data.count)
            progress.report(offset, of: size)
        }
        progress.end()
    }
}

/// A line of progress on what takes longer than a second, on standard error.
struct Progress {
    private let what: String
    private let begin = Date()
    private var last = Date()
    private var hasTold = false
    init(_ what: String) { self.what = what }

    mutating func report(_ done: UInt64, of total: UInt64) {
        let now = Date()
        guard now.timeIntervalSince(last) > 1 else { return }
        last = now
        hasTold = true
        let rate = Double(done) / now.timeIntervalSince(begin)
        let share = total == 0 ? 100 : Int(Double(done) / Double(total) * 100)
        say("    \(what): \(share) %, \(size(done)) at \(size(UInt64(rate)))/s")
    }

    mutating func end() {
        if hasTold { say(String(format: "    %@: done in %.1f s", what, Date().timeIntervalSince(begin))) }
    }
}
