import CTirpc
import ONCRPC
import Testing

@Suite struct PortmapTests {
    @Test("A portmap registration is what libtirpc writes", arguments: 0..<20)
    func mapping(seed: Int) throws {
        var random = TestRandom(seed: UInt64(seed))
        let mapping = Portmap.Mapping(
            program: RPCProgram(number: random.u32(), version: random.u32()), transport: random.u32(),
            port: random.u32())
        let oracle = Tirpc()
        var parms = pmap(
            pm_prog: UInt(mapping.program.number), pm_vers: UInt(mapping.program.version),
            pm_prot: UInt(mapping.transport), pm_port: UInt(mapping.port))
        oracle.with { ctirpc_pmap($0, &parms) }
        #expect(encoded(mapping) == oracle.bytes)
        #expect(try decoded(Portmap.Mapping.self, oracle.bytes) == mapping)
    }

    @Test("An rpcbind registration is what libtirpc writes", arguments: 0..<20)
    func registration(seed: Int) throws {
        var random = TestRandom(seed: UInt64(seed))
        let value = Rpcbind.Registration(
            program: RPCProgram(number: random.u32(), version: random.u32()), netID: random.text(random.below(9)),
            address: random.text(random.below(30)), owner: random.text(random.below(30)))
        let oracle = Tirpc()
        value.netID.withCString { netID in
            value.address.withCString { address in
                value.owner.withCString { owner in
                    var parms = rpcb(
                        r_prog: value.program.number, r_vers: value.program.version,
                        r_netid: UnsafeMutablePointer(mutating: netID), r_addr: UnsafeMutablePointer(mutating: address),
                        r_owner: UnsafeMutablePointer(mutating: owner))
                    oracle.with { ctirpc_rpcb($0, &parms) }
                }
            }
        }
        #expect(encoded(value) == oracle.bytes)
        #expect(try decoded(Rpcbind.Registration.self, oracle.bytes) == value)
    }

    @Test("An address entry of rpcbind is what libtirpc writes")
    func addressEntry() throws {
        let value = Rpcbind.AddressEntry(
            address: "127.0.0.11.8.1", netID: "tcp", semantics: 3, family: "inet", transport: "tcp")
        let oracle = Tirpc()
        func text<T>(_ s: String, _ body: (UnsafeMutablePointer<CChar>) -> T) -> T {
            s.withCString { body(UnsafeMutablePointer(mutating: $0)) }
        }
        text(value.address) { address in
            text(value.netID) { netID in
                text(value.family) { family in
                    text(value.transport) { transport in
                        var entry = rpcb_entry(
                            r_maddr: address, r_nc_netid: netID, r_nc_semantics: value.semantics,
                            r_nc_protofmly: family, r_nc_proto: transport)
                        oracle.with { ctirpc_rpcb_entry($0, &entry) }
                    }
                }
            }
        }
        #expect(encoded(value) == oracle.bytes)
        #expect(try decoded(Rpcbind.AddressEntry.self, oracle.bytes) == value)
    }

    @Test("A universal address is six numbers of one byte and nothing else")
    func universalAddress() {
        let address = Rpcbind.UniversalAddress(host: 0x7f00_000b, port: 2049)
        #expect(address.text == "127.0.0.11.8.1")
        #expect(Rpcbind.UniversalAddress("127.0.0.11.8.1") == address)
        for text in [
            "", "127.0.0.11.8", "127.0.0.11.8.1.1", "127.0.0.256.8.1", "127.0.0.+1.8.1", "a.0.0.1.8.1", "127..0.1.8.1",
        ] {
            #expect(Rpcbind.UniversalAddress(text) == nil, "\(text)")
        }
    }
}
