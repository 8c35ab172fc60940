import ArgumentParser
import Glibc
import Node

/// The command line. Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 something that was named does not exist,
/// 4 a deadline passed.
@main
enum Main {
    static func main() {
        do {
            var command = try Stave.parseAsRoot()
            try command.run()
        } catch let error as OperatorError {
            fail(error)
        } catch let error as ConfigurationError {
            fail(OperatorError(.configuration, "\(error)"))
        } catch let code as ExitCode {
            exit(code.rawValue)
        } catch {
            let code = Stave.exitCode(for: error)
            if code == .success {
                print(Stave.fullMessage(for: error))
                exit(0)
            }
            say(Stave.fullMessage(for: error))
            exit(code == .validationFailure ? 2 : 1)
        }
    }

    private static func fail(_ error: OperatorError) -> Never {
        say("error: \(error)")
        exit(error.code.exitCode)
    }
}

extension OperatorError.Code {
    var exitCode: Int32 {
        switch self {
        case .configuration, .usage: 2
        case .clusterAbsent, .nodeUnknown, .noCluster, .notFound: 3
        case .notHealthy, .stillLeads, .stillMoving, .scrubUnfinished: 4
        case .clusterExists, .clusterIncomplete, .nodeFailed, .nodeNotRunning, .portTaken, .diskFailed,
            .coordinationFailed,
            .refused, .scrubDiffers, .preflight, .diskLearns, .stopHangs,
            .notConfirmed, .nothingLeft:
            1
        }
    }
}

struct Stave: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stave",
        abstract: "A scale-out NAS: several nodes share one striped, replicated store and show one file tree over NFS.",
        discussion: """
            The first steps:
              stave cluster up cluster-configs/three-nodes.yaml    create and start a cluster on this machine
              stave status                                         how it is
              qemu-img create nfs://127.0.0.11/images/vm.img 10G   keep a guest's disk on it
              stave object locate /images/vm.img                   where its bytes lie
              stave cluster down                                   stop it; the data stays

            Commands work on the cluster that was started last; --config FILE names another one. With --json they answer
            for programs. Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 something named does not exist,
            4 a deadline passed. Errors have codes such as ST1007; `stave explain ST1007` tells what to do.
            Completions: stave --generate-completion-script bash > /etc/bash_completion.d/stave
            """,
        version: "stave 0.1",
        subcommands: [
            ClusterCommand.self, StatusCommand.self, WhyCommand.self, NodeCommand.self, DiskCommand.self,
            GroupCommand.self,
            FilesetCommand.self, ExportCommand.self, FileCommand.self, ObjectCommand.self, ScrubCommand.self,
            PreflightCommand.self, PortmapCommand.self, ExplainCommand.self,
        ])
}
