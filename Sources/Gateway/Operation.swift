import ClusterModel

/// One operation of a door, from `begin` to its `finish` effect. A box, so that what waits for it can name it.
class Operation {
    let id: OperationID
    let caller: Caller
    let began: Instant
    var slot = SlotID(index: 0, generation: 0)
    var isFinished = false
    /// How often a truncation turned it back.
    var redoings = 0
    /// Whether it waits for attributes.
    var isAsking = false
    var interest = Interest.wanted

    init(id: OperationID, caller: Caller, began: Instant) {
        self.id = id
        self.caller = caller
        self.began = began
    }

    /// Does all that can be done now; called again whenever something that it waits for has come.
    func advance(_ gateway: GatewayMachine) {}

    /// The attributes that it asked for came: from a question sent after it asked.
    func hintArrived(_ gateway: GatewayMachine) { advance(gateway) }

    /// The question for attributes was answered with a failure.
    func hintFailed(_ failure: FileFailure, _ gateway: GatewayMachine) { gateway.finish(self, .failure(failure)) }

    /// Nobody waits for it, and what had not been sent of it, or was lost, has ended: ends it, unless something of it is under
    /// way, whose end will.
    func giveUp(_ gateway: GatewayMachine) { gateway.finish(self, .failure(.unavailable)) }

    /// Gives back the data it kept; called when it fails.
    func release(_ gateway: GatewayMachine) {}

    /// The inode whose state it uses; kept while it runs.
    var fileState: FileState? { nil }
}
