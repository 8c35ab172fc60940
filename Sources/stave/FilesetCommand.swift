import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct FilesetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fileset",
        abstract: "Create, list and delete filesets: parts of the tree with their own metadata.",
        discussion: """
            Examples:
              stave fileset create golden --at /golden --stripe-unit 262144
              stave fileset list
              stave fileset delete golden
            Renames and hard links do not cross from one fileset to another.
            """,
        subcommands: [Create.self, List.self, Delete.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create a fileset and join it into the tree.")
        @Argument(help: "Its name.") var name: String
        @Option(
            name: .long, help: ArgumentHelp("Where it is joined into the tree; /NAME without it.", valueName: "path"))
        var at: String?
        @Option(
            name: .long,
            help: ArgumentHelp("Bytes of a stripe unit: a power of two, 65536 … 4194304.", valueName: "bytes"))
        var stripeUnit = 1 << 20
        @Option(name: .long, help: ArgumentHelp("Objects in a stripe, 1 … 64.", valueName: "count"))
        var stripeCount = 4
        @Option(name: .long, help: ArgumentHelp("Octal mode of its top folder.", valueName: "mode")) var mode = "755"
        @Option(name: .long, help: ArgumentHelp("Owner of its top folder.", valueName: "id")) var uid: UInt32 = 0
        @Option(name: .long, help: ArgumentHelp("Group of its top folder.", valueName: "id")) var gid: UInt32 = 0
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let cluster = try cluster.open()
            let made: FilesetReport = try cluster.ask(
                AdminQuestion(
                    .createFileset,
                    [
                        "name": name, "path": at ?? "/\(name)", "stripe-unit": "\(stripeUnit)",
                        "stripe-count": "\(stripeCount)",
                        "mode": mode, "uid": "\(uid)", "gid": "\(gid)",
                    ]))
            if output.json { return try printJSON(made) }
            print("Created the fileset \(made.name) (\(made.group)) at \(at ?? "/\(name)")")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the filesets.")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let cluster = try cluster.open()
            var filesets = try cluster.ask(AdminQuestion(.map), MapReport.self).filesets
            // A node knows the usage of the filesets whose metadata it holds.
            if filesets.contains(where: { $0.inodes == nil }) {
                for (_, map) in cluster.askAll(AdminQuestion(.map), MapReport.self).answers {
                    for i in filesets.indices where filesets[i].inodes == nil {
                        if let known = map.filesets.first(where: { $0.id == filesets[i].id }) { filesets[i] = known }
                    }
                }
            }
            if output.json { return try printJSON(filesets) }
            var table = Table("id", "name", "group", "stripes", "inodes", "used", "joined", "state")
            for fileset in filesets {
                table.add(
                    "\(fileset.id)", fileset.name, fileset.group,
                    "\(fileset.stripeCount) x \(size(UInt64(fileset.stripeUnit)))",
                    text(fileset.inodes), fileset.bytes.map(size) ?? "-",
                    fileset.junction.map { "\($0) in fs\(fileset.parentFileset ?? 0)/i\(fileset.parentInode ?? 0)" }
                        ?? "the root",
                    fileset.state)
            }
            print(table.text)
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a fileset.",
            discussion: """
                Its files are gone at once, through every gateway. Its space comes back behind that: each disk removes what it
                has of it, those that are away now when they return. Until all of it is gone `stave fileset list` shows what is
                left; then the name is free again. There is no way back. A fileset that an export shows, or that another one is
                joined into, is refused.
                """)
        @Argument(help: "Its name.") var name: String
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let cluster = try cluster.open()
            let deleted: FilesetReport = try cluster.ask(AdminQuestion(.deleteFileset, ["name": name]))
            if output.json { return try printJSON(deleted) }
            print(
                "The fileset \(name) is deleted. Its space\(deleted.bytes.map { " (\(size($0)))" } ?? "") comes back now: `stave fileset list` shows what is left."
            )
        }
    }
}

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Create, list and delete exports: what NFS clients may mount.",
        discussion: """
            Examples:
              stave export create /images --clients 10.1.0.0/16,10.2.0.5
              stave export create /golden --folder /images/golden --clients 127.0.0.0/8 --access read-only
              stave export list
              stave export delete /golden
            """,
        subcommands: [Create.self, List.self, Delete.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let clients mount a folder.",
            discussion: """
                The superuser of clients is squashed to nobody unless --squash none is given. Give that only for hosts whose
                root you trust with every file of the export: QEMU on KVM hosts runs as root or with files of one user.
                """)
        @Argument(help: ArgumentHelp("The name that clients mount.", valueName: "path")) var path: String
        @Option(
            name: .long,
            help: ArgumentHelp(
                "The cluster's folder that it shows; without it, the one called like the export.", valueName: "path"))
        var folder: String?
        @Option(
            name: .long,
            help: ArgumentHelp("Addresses and networks that may mount it, with commas between.", valueName: "list"))
        var clients: String
        @Option(name: .long, help: ArgumentHelp("Whose identity is replaced: none, root or all.", valueName: "who"))
        var squash = "root"
        @Option(name: .long, help: ArgumentHelp("read-only or read-write.", valueName: "kind")) var access =
            "read-write"
        @Option(name: .long, help: ArgumentHelp("User id of squashed callers.", valueName: "id")) var anonymousUID:
            UInt32 = 65534
        @Option(name: .long, help: ArgumentHelp("Group id of squashed callers.", valueName: "id")) var anonymousGID:
            UInt32 = 65534
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            var arguments = [
                "path": path, "clients": clients, "squash": squash, "access": access,
                "anonymous-uid": "\(anonymousUID)",
                "anonymous-gid": "\(anonymousGID)",
            ]
            arguments["folder"] = folder
            let made: ExportReport = try cluster.open().ask(AdminQuestion(.createExport, arguments))
            if output.json { return try printJSON(made) }
            print("Clients \(made.clients.joined(separator: ", ")) may mount \(made.path)")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the exports.")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let exports = try cluster.open().ask(AdminQuestion(.map), MapReport.self).exports
            if output.json { return try printJSON(exports) }
            var table = Table("id", "path", "shows", "access", "squash", "clients")
            for export in exports {
                table.add(
                    "\(export.id)", export.path, "fs\(export.fileset)/i\(export.inode)", export.access, export.squash,
                    export.clients.joined(separator: ","))
            }
            print(table.text)
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End an export; its files stay, handles given under it are stale.")
        @Argument(help: ArgumentHelp("The name that clients mount.", valueName: "path")) var path: String
        @OptionGroup var cluster: ClusterOptions

        func run() throws {
            let _: Done = try cluster.open().ask(AdminQuestion(.deleteExport, ["path": path]))
            print("Nobody may mount \(path) any more; its files stay")
        }
    }
}
