import CTirpc
import ONCRPC
import Testing

private func call(_ credential: RPCCredential, xid: UInt32 = 7) -> RPCCall {
    RPCCall(xid: TransactionID(xid), program: .nfs3, procedure: 6, credential: credential)
}

private func encodedCall(_ call: RPCCall) -> [UInt8] {
    var writer = XDRWriter()
    call.encode(into: &writer)
    return writer.bytes
}

private let someone = AuthSys(stamp: 3, machineName: Array("host".utf8), uid: 1000, gid: 100, groups: [4, 24, 27])

@Suite struct RPCMessageTests {
    @Test("A call's header is what libtirpc writes, with AUTH_NONE and AUTH_SYS, and is read back", arguments: 0..<100)
    func callAgainstOracle(seed: Int) throws {
        var random = TestRandom(seed: UInt64(seed))
        let sys = AuthSys(
            stamp: random.u32(), machineName: Array(random.text(random.below(256)).utf8), uid: random.u32(),
            gid: random.u32(), groups: (0..<random.below(17)).map { _ in random.u32() })
        // libtirpc's own bound of 400 bytes holds for the whole body.
        let fits = 20 + XDRAlignment.padded(sys.machineName.count) + 4 * sys.groups.count <= RPCLimits.authBytes
        let credential: RPCCredential = random.flag() || !fits ? .none : .sys(sys)
        let message = RPCCall(
            xid: TransactionID(random.u32()), program: RPCProgram(number: random.u32(), version: random.u32()),
            procedure: random.u32(), credential: credential)
        let oracle = Tirpc()
        switch credential {
        case .none:
            oracle.with {
                ctirpc_encode_call(
                    $0, message.xid.rawValue, message.program.number, message.program.version, message.procedure, nil)
            }
        case .sys(let sys):
            var name = sys.machineName.map { CChar(bitPattern: $0) } + [0]
            var groups = sys.groups + [0]
            name.withUnsafeMutableBufferPointer { name in
                groups.withUnsafeMutableBufferPointer { groups in
                    var parms = authunix_parms(
                        aup_time: UInt(sys.stamp), aup_machname: name.baseAddress, aup_uid: sys.uid, aup_gid: sys.gid,
                        aup_len: UInt32(sys.groups.count), aup_gids: groups.baseAddress)
                    oracle.with {
                        ctirpc_encode_call(
                            $0, message.xid.rawValue, message.program.number, message.program.version,
                            message.procedure, &parms)
                    }
                }
            }
        }
        #expect(encodedCall(message) == oracle.bytes, "seed \(seed)")
        let (read, rest) = try reading(oracle.bytes) { reader in
            (try RPCCall.decode(&reader), reader.remaining)
        }
        #expect(read == .call(message) && rest == 0)
    }

    @Test("A call cut anywhere is refused or rejected, never taken")
    func truncatedCall() {
        let whole = encodedCall(call(.sys(someone)))
        for count in 0..<whole.count {
            let outcome = try? reading(Array(whole.prefix(count))) { try RPCCall.decode(&$0) }
            if case .call = outcome { Issue.record("\(count) of \(whole.count) bytes passed for a call") }
        }
    }

    @Test("Another version of RPC is RPC_MISMATCH 2 to 2")
    func otherVersion() throws {
        var bytes = encodedCall(call(.none))
        bytes[11] = 3
        #expect(
            try reading(bytes) { try RPCCall.decode(&$0) } == .rejected(TransactionID(7), .rpcMismatch(low: 2, high: 2))
        )
    }

    @Test("A reply in place of a call is refused")
    func notACall() {
        var bytes = encodedCall(call(.none))
        bytes[7] = 1
        #expect(throws: XDRError.self) { try reading(bytes) { try RPCCall.decode(&$0) } }
    }

    @Test(
        "A flavor that is not taken is answered by its kind of AUTH_ERROR",
        arguments: [
            (UInt8(2), RPCAuthFailure.rejectedCredential), (3, .badCredential), (6, .tooWeak), (77, .badCredential),
        ])
    func flavors(flavor: UInt8, failure: RPCAuthFailure) throws {
        var bytes = encodedCall(call(.none))
        bytes[27] = flavor
        #expect(try reading(bytes) { try RPCCall.decode(&$0) } == .rejected(TransactionID(7), .auth(failure)))
    }

    @Test("A credential of 17 groups, one longer than 400 bytes, and one shorter than its length are AUTH_BADCRED")
    func badCredentials() throws {
        func message(_ body: [UInt8], length: Int? = nil) -> [UInt8] {
            var writer = XDRWriter()
            for word: UInt32 in [7, 0, 2, 100_003, 3, 0, 1, UInt32(length ?? body.count)] { writer.uint32(word) }
            writer.fixed(body)
            writer.uint32(0)
            writer.uint32(0)
            return writer.bytes
        }
        var groups = XDRWriter()
        for word: UInt32 in [1, 0, 0, 0, 17] { groups.uint32(word) }
        for group in 0..<17 { groups.uint32(UInt32(group)) }
        let expected = RPCCall.Decoded.rejected(TransactionID(7), .auth(.badCredential))
        for bytes in [
            message(groups.bytes), message([UInt8](repeating: 0, count: 404)),
            message([UInt8](repeating: 0, count: 40)), message([UInt8](repeating: 255, count: 20)),
        ] {
            #expect(try reading(bytes) { try RPCCall.decode(&$0) } == expected)
        }
    }

    @Test("A verifier longer than 400 bytes is AUTH_BADVERF")
    func badVerifier() throws {
        var writer = XDRWriter()
        for word: UInt32 in [7, 0, 2, 100_003, 3, 0, 0, 0, 0, 401] { writer.uint32(word) }
        #expect(
            try reading(writer.bytes) { try RPCCall.decode(&$0) } == .rejected(TransactionID(7), .auth(.badVerifier)))
    }

    static let replies: [RPCReply] =
        [
            .accepted(TransactionID(1), .success), .accepted(TransactionID(2), .programUnavailable),
            .accepted(TransactionID(3), .programMismatch(low: 1, high: 3)),
            .accepted(TransactionID(4), .procedureUnavailable), .accepted(TransactionID(5), .garbageArguments),
            .accepted(TransactionID(6), .systemError), .rejected(TransactionID(7), .rpcMismatch(low: 2, high: 2)),
        ] + RPCAuthFailure.allCases.map { .rejected(TransactionID(8), .auth($0)) }

    @Test("Every reply status is what libtirpc writes, is read back, and is refused when cut", arguments: replies)
    func replyAgainstOracle(reply: RPCReply) throws {
        let oracle = Tirpc()
        switch reply {
        case .accepted(let xid, let acceptance):
            var (code, low, high): (Int32, UInt32, UInt32) = (0, 0, 0)
            switch acceptance {
            case .success: code = 0
            case .programUnavailable: code = 1
            case .programMismatch(let l, let h): (code, low, high) = (2, l, h)
            case .procedureUnavailable: code = 3
            case .garbageArguments: code = 4
            case .systemError: code = 5
            }
            oracle.with { ctirpc_encode_accepted($0, xid.rawValue, code, low, high) }
        case .rejected(let xid, .rpcMismatch(let low, let high)):
            oracle.with { ctirpc_encode_rejected($0, xid.rawValue, 0, low, high) }
        case .rejected(let xid, .auth(let failure)):
            oracle.with { ctirpc_encode_rejected($0, xid.rawValue, Int32(failure.rawValue), 0, 0) }
        }
        var writer = XDRWriter()
        reply.encode(into: &writer)
        #expect(writer.bytes == oracle.bytes)
        #expect(try reading(oracle.bytes) { try RPCReply.decode(&$0) } == reply)
        for count in 0..<writer.bytes.count {
            #expect(throws: XDRError.self) {
                try reading(Array(writer.bytes.prefix(count))) { try RPCReply.decode(&$0) }
            }
        }
    }
}
