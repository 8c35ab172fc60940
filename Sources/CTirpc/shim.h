/* libtirpc as Swift can call it: its macros and its XDR callbacks as functions. */
#ifndef STAVE_CTIRPC_SHIM_H
#define STAVE_CTIRPC_SHIM_H

#include <arpa/inet.h>
#include <netconfig.h>
#include <netinet/in.h>
#include <rpc/rpc.h>
#include <rpc/pmap_prot.h>
#include <rpc/pmap_clnt.h>
#include <rpc/rpcb_clnt.h>
#include <rpc/rpcb_prot.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A stream over memory; op is 0 to encode, 1 to decode. */
static inline void ctirpc_xdrmem_create(XDR *x, void *memory, uint32_t size, int op) {
    xdrmem_create(x, (char *)memory, size, op == 0 ? XDR_ENCODE : XDR_DECODE);
}
static inline uint32_t ctirpc_getpos(XDR *x) { return x->x_ops->x_getpostn(x); }
static inline void ctirpc_destroy(XDR *x) { if (x->x_ops->x_destroy) x->x_ops->x_destroy(x); }

static inline bool ctirpc_uint32(XDR *x, uint32_t *v) { return xdr_uint32_t(x, v); }
static inline bool ctirpc_uint64(XDR *x, uint64_t *v) { return xdr_uint64_t(x, v); }
static inline bool ctirpc_bool(XDR *x, int *v) { bool_t b = *v; bool ok = xdr_bool(x, &b); *v = b; return ok; }
static inline bool ctirpc_fixed(XDR *x, void *bytes, uint32_t count) { return xdr_opaque(x, (char *)bytes, count); }
static inline bool ctirpc_bytes(XDR *x, void *bytes, uint32_t *count, uint32_t bound) {
    char *p = (char *)bytes;
    return xdr_bytes(x, &p, count, bound);
}

/* The header of a call with AUTH_NONE or, when sys is not null, AUTH_SYS. */
static inline bool ctirpc_encode_call(XDR *x, uint32_t xid, uint32_t prog, uint32_t vers, uint32_t proc,
                                      struct authunix_parms *sys) {
    char body[MAX_AUTH_BYTES];
    struct rpc_msg m;
    memset(&m, 0, sizeof m);
    m.rm_xid = xid;
    m.rm_direction = CALL;
    m.rm_call.cb_rpcvers = 2;
    m.rm_call.cb_prog = prog;
    m.rm_call.cb_vers = vers;
    m.rm_call.cb_proc = proc;
    if (sys) {
        XDR inner;
        xdrmem_create(&inner, body, sizeof body, XDR_ENCODE);
        if (!xdr_authunix_parms(&inner, sys)) return false;
        m.rm_call.cb_cred.oa_flavor = AUTH_SYS;
        m.rm_call.cb_cred.oa_base = body;
        m.rm_call.cb_cred.oa_length = ctirpc_getpos(&inner);
    }
    return xdr_callmsg(x, &m);
}

/* The header of an accepted reply; SUCCESS has no results here. */
static inline bool ctirpc_encode_accepted(XDR *x, uint32_t xid, int stat, uint32_t low, uint32_t high) {
    struct rpc_msg m;
    memset(&m, 0, sizeof m);
    m.rm_xid = xid;
    m.rm_direction = REPLY;
    m.rm_reply.rp_stat = MSG_ACCEPTED;
    m.acpted_rply.ar_stat = (enum accept_stat)stat;
    if (stat == PROG_MISMATCH) {
        m.acpted_rply.ar_vers.low = low;
        m.acpted_rply.ar_vers.high = high;
    } else if (stat == SUCCESS) {
        m.acpted_rply.ar_results.where = NULL;
        m.acpted_rply.ar_results.proc = (xdrproc_t)xdr_void;
    }
    return xdr_replymsg(x, &m);
}

/* The header of a rejected reply: RPC_MISMATCH when why is 0, else AUTH_ERROR of that kind. */
static inline bool ctirpc_encode_rejected(XDR *x, uint32_t xid, int why, uint32_t low, uint32_t high) {
    struct rpc_msg m;
    memset(&m, 0, sizeof m);
    m.rm_xid = xid;
    m.rm_direction = REPLY;
    m.rm_reply.rp_stat = MSG_DENIED;
    if (why == 0) {
        m.rjcted_rply.rj_stat = RPC_MISMATCH;
        m.rjcted_rply.rj_vers.low = low;
        m.rjcted_rply.rj_vers.high = high;
    } else {
        m.rjcted_rply.rj_stat = AUTH_ERROR;
        m.rjcted_rply.rj_why = (enum auth_stat)why;
    }
    return xdr_replymsg(x, &m);
}

static inline bool ctirpc_pmap(XDR *x, struct pmap *p) { return xdr_pmap(x, p); }
static inline bool ctirpc_rpcb(XDR *x, struct rpcb *p) { return xdr_rpcb(x, p); }
static inline bool ctirpc_rpcb_entry(XDR *x, rpcb_entry *p) { return xdr_rpcb_entry(x, p); }

/* Registers prog, vers on every IPv4 address of the machine at this port with the running rpcbind. netid: "tcp". */
static inline bool ctirpc_register(uint32_t prog, uint32_t vers, const char *netid, uint16_t port) {
    struct netconfig *n = getnetconfigent(netid);
    if (!n) return false;
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    struct netbuf b = { .maxlen = sizeof a, .len = sizeof a, .buf = &a };
    bool ok = rpcb_set(prog, vers, n, &b);
    freenetconfigent(n);
    return ok;
}

static inline bool ctirpc_unregister(uint32_t prog, uint32_t vers, const char *netid) {
    struct netconfig *n = getnetconfigent(netid);
    if (!n) return false;
    bool ok = rpcb_unset(prog, vers, n);
    freenetconfigent(n);
    return ok;
}

/* The port that the portmapper at this IPv4 address (network order) names for prog, vers over TCP; 0 for none. */
static inline uint16_t ctirpc_port(uint32_t address, uint32_t prog, uint32_t vers) {
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = address;
    a.sin_port = htons(PMAPPORT);
    return pmap_getport(&a, prog, vers, IPPROTO_TCP);
}

#endif
