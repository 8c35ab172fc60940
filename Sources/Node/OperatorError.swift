/// An error that an operator meets: a code, what happened, why, and what to do. `stave explain CODE` prints the page.
public struct OperatorError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: Int, Sendable, Hashable, CaseIterable {
        case configuration = 1001
        case clusterExists = 1002
        case clusterIncomplete = 1003
        case clusterAbsent = 1004
        case nodeUnknown = 1005
        case nodeFailed = 1006
        case notHealthy = 1007
        case nodeNotRunning = 1008
        case noCluster = 1009
        case portTaken = 1010
        case diskFailed = 1011
        case coordinationFailed = 1012
        case notFound = 1013
        case refused = 1014
        case scrubDiffers = 1015
        case preflight = 1016
        case usage = 1017
        case diskLearns = 1018
        case stopHangs = 1019
        case stillLeads = 1030
        case notConfirmed = 1031
        case nothingLeft = 1032
        case stillMoving = 1040
        case scrubUnfinished = 1041

        /// "ST1003"
        public var name: String { "ST\(rawValue)" }
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code.name): \(message)\n  next: \(code.page.next)" }
}

extension OperatorError.Code {
    /// What `stave explain` tells of a code.
    public struct Page: Sendable {
        public var title: String
        public var cause: String
        public var next: String
    }

    public var page: Page {
        switch self {
        case .configuration:
            Page(
                title: "The configuration file has a fault",
                cause: "A key is unknown, missing, doubled or has a value outside its range. Nothing was started.",
                next: "mend the line that the message names; cluster-configs/ has complete examples")
        case .clusterExists:
            Page(
                title: "The cluster exists already", cause: "Its coordination store and its disks are there.",
                next: "start it with `stave cluster up`, or remove it with `stave cluster wipe`")
        case .clusterIncomplete:
            Page(
                title: "Part of the cluster exists, part is missing",
                cause:
                    "A disk is not mounted, a folder was moved, or an earlier creation was interrupted. A cluster is "
                    + "never created over anything that exists, and an empty folder is never taken for a disk.",
                next:
                    "bring back what is missing (mount it, move it back); if nothing of it is wanted, `stave cluster wipe`"
            )
        case .clusterAbsent:
            Page(
                title: "The cluster was never created",
                cause: "There is neither a coordination store nor a disk of it.",
                next: "create and start it with `stave cluster up CONFIG` (or tools/up)")
        case .nodeUnknown:
            Page(
                title: "There is no such node",
                cause: "The configuration names no node with this id, or the cluster has not (or no longer) the node.",
                next: "look at the ids with `stave node list`; `stave node add` takes a node of the configuration in")
        case .nodeFailed:
            Page(
                title: "A node ended while it was starting", cause: "The end of its log tells why.",
                next: "read the log that the message names; `stave preflight` checks the machine")
        case .notHealthy:
            Page(
                title: "The cluster did not become healthy in time",
                cause: "Some placement group does not serve: a node is missing, or it waits for another.",
                next: "`stave why` names what waits for what; the nodes' logs are under the data folder")
        case .nodeNotRunning:
            Page(
                title: "The node does not answer",
                cause: "Its process is not running, is stopped, or is still starting.",
                next: "`stave cluster up CONFIG` starts what is not running")
        case .noCluster:
            Page(
                title: "No cluster was named and none was started here last",
                cause:
                    "Commands find the cluster that was last started with tools/up or `stave cluster up` by this user.",
                next: "start one, or name it with --config FILE")
        case .portTaken:
            Page(
                title: "A port is taken", cause: "Another server listens at the node's address.",
                next:
                    "find it with `ss -ltnp`, stop it, or set limits.nfsPort / limits.portmapPort in the configuration")
        case .diskFailed:
            Page(
                title: "A disk cannot be used",
                cause:
                    "A write, a sync or its database failed, another process holds it, or it is no disk of this cluster. "
                    + "A disk whose sync failed is never used again by the same process: the kernel tells of a failure once. "
                    + "The failure is noted, and the next process learns the disk's content anew from other nodes.",
                next:
                    "the message names the file and the system's error; mend or replace the disk, and restart the node")
        case .coordinationFailed:
            Page(
                title: "The coordination store failed",
                cause:
                    "The file with map and records cannot be opened or written, or a record in it cannot be read: it is "
                    + "damaged, or a later program has written it. A node stops then, for what it knows may be outdated.",
                next:
                    "check the path and the disk that the message names, or start the program that wrote the record; "
                    + "nothing is lost by waiting")
        case .notFound:
            Page(
                title: "There is no such thing", cause: "The path or name does not exist.",
                next: "list with `stave fs ls` or the list command of its kind")
        case .refused:
            Page(
                title: "The cluster refused the operation", cause: "The message says why.",
                next: "change what the message names and try again")
        case .scrubDiffers:
            Page(
                title: "Replicas do not agree, or were not all compared",
                cause:
                    "A copy differs from the others or does not match its checksums; or it could not be asked: its node is down, "
                    + "still learns, or runs an older program.",
                next:
                    "the report names group, object and disks; bring back what was not compared and run it again, and replace "
                    + "a disk whose copies differ")
        case .preflight:
            Page(
                title: "The machine is not ready", cause: "A check of `stave preflight` failed.",
                next: "each failed check is printed with its fix")
        case .diskLearns:
            Page(
                title: "A disk that failed learns its content anew",
                cause:
                    "A write or sync of it failed under an earlier process. What was in the page cache then may be nowhere "
                    + "else, so nothing on the disk counts until it has been copied from the other replicas.",
                next:
                    "look at the system's log for the device (`journalctl -k`); if it fails again, take it out of use. "
                    + "`stave why` shows when nothing is left to learn")
        case .stopHangs:
            Page(
                title: "A node did not stop in time, and ended as if it had been killed",
                cause:
                    "Something that it waited for did not come: a disk or the coordination store does not answer, or another "
                    + "process holds it. Nothing that was acknowledged is lost; the next start replays the disks' logs.",
                next: "look at what the message names (`journalctl -k` for a disk), then start the node again")
        case .stillLeads:
            Page(
                title: "A suspended node still leads groups",
                cause:
                    "No other member of these groups is in sync and could lead them: the others are not running, catch up, or "
                    + "are suspended, too. The node goes on serving them, and hands each over as soon as a member can take it.",
                next: "`stave pg show GROUP` shows the other members; do not stop the node before they are in sync")
        case .stillMoving:
            Page(
                title: "Replicas are not in place yet",
                cause:
                    "Groups move to other nodes or disks, and have not arrived within the time that --wait gave. They go on.",
                next:
                    "`stave pg list` shows which; `stave why` tells what they wait for; run the command again to go on waiting"
            )
        case .scrubUnfinished:
            Page(
                title: "A scrub has not come to its end",
                cause: "Groups were not compared within the time that --wait gave. Their nodes go on with it.",
                next:
                    "`stave pg show GROUP` tells how far each is, and later what was found; `stave scrub --stop` ends it"
            )
        case .notConfirmed:
            Page(
                title: "Accepting a loss was not confirmed",
                cause:
                    "`stave pg accept-loss` gives up members of a group for good, and with them what only they have. It says "
                    + "what that is, and changes nothing before somebody confirms it: with --yes or by typing it; with --lost "
                    + "NODE for members that are here or were a minute ago; with --incomplete for a replica that lacks content.",
                next:
                    "start every node whose disk may still be there; only if a disk is destroyed, give the command again "
                    + "with what the message names")
        case .nothingLeft:
            Page(
                title: "Nothing is left of a placement group",
                cause: "No node that answers has a replica of it with content.",
                next:
                    "start the nodes that should hold it (`stave pg show GROUP` names them), or bring back their disks; "
                    + "without any of them its content is gone")
        case .usage:
            Page(title: "The command's words are off", cause: "An argument is missing or wrong.", next: "see --help")
        }
    }
}
