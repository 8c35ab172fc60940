"""A hard mount over TCP: ONC RPC (RFC 5531), a connection that is made again, and calls that are sent until answered.

A call keeps its xid however often and wherever it is sent, as a kernel's client keeps it: by xid and client the
gateways know a call that they have executed already (RFC 1813, 4.5 asks for such a cache).
"""

from __future__ import annotations

import asyncio
import random
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Optional

from history import CallTrace, now
from xdr import Decoder, opaque, uint32

NFS_PORT = 2049
PROGRAM_VERSION = 3
"""Of NFS and of MOUNT (RFC 1813, appendix I)."""

LAST_FRAGMENT = 0x80000000
CONNECT_TIMEOUT = 2.0

# RFC 5531, 8 and 9.
RPC_VERSION = 2
CALL, REPLY = 0, 1
MSG_ACCEPTED = 0
AUTH_NONE, AUTH_SYS = 0, 1


class Habit(Enum):
    """What a client does when its gateway dies or falls silent."""

    FAILOVER = "failover"
    """Stays while the connection lives, and takes another gateway when it ends."""

    PINNED = "pinned"
    """Comes back to the same gateway always, as a mount without a floating address."""

    RETRANSMIT = "retransmit"
    """Like FAILOVER; what has no answer after five seconds is sent again over the same connection."""

    IMPATIENT = "impatient"
    """Leaves a silent gateway after a few seconds, although that may still execute what it was sent."""

    @property
    def abandons_nothing(self) -> bool:
        """Whether a gateway that was left is dead, so that none of the calls sent there can take effect later."""
        return self in (Habit.FAILOVER, Habit.PINNED)


@dataclass
class PendingCall:
    xid: int
    program: int
    procedure: int
    arguments: bytes
    trace: CallTrace
    answer: asyncio.Future[bytes]


class HardMount:
    def __init__(self, name: str, gateways: list[str], first: int, source: str, habit: Habit, rng: random.Random):
        self.name = name.encode()
        self.gateways = gateways
        self.gateway = first % len(gateways)
        self.source = source
        self.habit = habit
        self.rng = rng
        self.xid = rng.getrandbits(30)
        self.pending: dict[int, PendingCall] = {}
        self.writer: Optional[asyncio.StreamWriter] = None
        self.connections = 0
        self.retransmissions = 0
        self.task: Optional[asyncio.Task[None]] = None
        self.patience = {Habit.RETRANSMIT: 5.0, Habit.IMPATIENT: rng.uniform(1.0, 4.0)}.get(habit)

    def start(self) -> None:
        self.task = asyncio.ensure_future(self._keep_connected())

    async def stop(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def exchange(self, program: int, procedure: int, arguments: bytes, trace: CallTrace) -> bytes:
        """The results of a call, however long that takes."""
        self.xid = (self.xid + 1) & 0xFFFFFFFF
        call = PendingCall(self.xid, program, procedure, arguments, trace, asyncio.get_running_loop().create_future())
        self.pending[call.xid] = call
        sent_away_before = trace.jukeboxes > 0
        self._send(call)
        results = await call.answer
        if sent_away_before and trace.lost_connection:
            trace.may_run_late = True
        return results

    async def wait_to_repeat(self, trace: CallTrace, seconds: float) -> None:
        """Waits before a call goes out anew, under another xid. The gateway that sent it away joins the call to its
        return; one that did not know of the first sending executes it once more. So what has reached two gateways, or
        comes back over another connection, may be executed late or twice.
        """
        connection = self.connections
        await asyncio.sleep(seconds)
        if trace.jukeboxes and (
            len(set(trace.gateways)) > 1 or trace.lost_connection or connection != self.connections
        ):
            trace.may_run_late = True

    async def _keep_connected(self) -> None:
        while True:
            gateway = self.gateway
            try:
                connection = asyncio.open_connection(
                    self.gateways[gateway], NFS_PORT, local_addr=(self.source, 0), limit=1 << 22
                )
                reader, writer = await asyncio.wait_for(connection, CONNECT_TIMEOUT)
            except (OSError, asyncio.TimeoutError):
                self._leave(gateway)
                await asyncio.sleep(0.05)
                continue
            self.connections += 1
            self.writer = writer
            for call in list(self.pending.values()):
                self._send(call)
            watch = asyncio.ensure_future(self._watch_silence(writer, self.patience)) if self.patience else None
            try:
                while True:
                    mark = struct.unpack(">I", await reader.readexactly(4))[0]
                    self._receive(await reader.readexactly(mark & ~LAST_FRAGMENT))
            except (OSError, asyncio.IncompleteReadError):
                pass
            except ValueError as error:
                # Behind a record that cannot be read no answer is to be trusted.
                for call in self.pending.values():
                    if not call.answer.done():
                        call.answer.set_exception(error)
                self.pending.clear()
            finally:
                if watch:
                    watch.cancel()
                self.writer = None
                writer.close()
            for call in self.pending.values():
                call.trace.lose_connection(gateway)
            self._leave(gateway)

    def _leave(self, gateway: int) -> None:
        if self.habit != Habit.PINNED and self.gateway == gateway:
            self.gateway = (gateway + 1) % len(self.gateways)

    async def _watch_silence(self, writer: asyncio.StreamWriter, patience: float) -> None:
        while True:
            await asyncio.sleep(0.25)
            late = [call for call in self.pending.values() if call.trace.last_sent < now() - patience]
            if late and self.habit == Habit.RETRANSMIT:
                for call in late:
                    self._send(call)
            elif late:
                writer.transport.abort()
                return

    def _send(self, call: PendingCall) -> None:
        if not self.writer:
            return
        again = call.trace.sends > 0
        if again:
            self.retransmissions += 1
            if not self.habit.abandons_nothing:
                call.trace.may_run_late = True
        call.trace.sent(self.gateway)
        # The stamp changes from sending to sending, as some clients' does: a call is known by its xid and who sent it.
        stamp = self.rng.getrandbits(31) if again else 7
        credential = uint32(stamp) + opaque(self.name) + uint32(0) + uint32(0) + uint32(0)
        head = struct.pack(">IIIIII", call.xid, CALL, RPC_VERSION, call.program, PROGRAM_VERSION, call.procedure)
        authentication = uint32(AUTH_SYS) + opaque(credential) + uint32(AUTH_NONE) + opaque(b"")
        record = head + authentication + call.arguments
        self.writer.write(uint32(LAST_FRAGMENT | len(record)) + record)

    def _receive(self, record: bytes) -> None:
        decoder = Decoder(record)
        xid = decoder.uint32()
        call = self.pending.get(xid)
        # A call that was sent twice is answered twice; the first answer counts.
        if call is None or call.answer.done():
            return
        problem = self._problem(decoder)
        del self.pending[xid]
        if problem:
            call.answer.set_exception(ValueError(f"{call.trace.procedure}: {problem}"))
        else:
            call.answer.set_result(bytes(decoder.message[decoder.position :]))

    @staticmethod
    def _problem(decoder: Decoder) -> Optional[str]:
        """Reads what stands before a procedure's results (RFC 5531, 9)."""
        if decoder.uint32() != REPLY:
            return "the answer is no reply"
        if decoder.uint32() != MSG_ACCEPTED:
            return "the call was denied"
        decoder.uint32()
        decoder.opaque()
        accepted = decoder.uint32()
        return f"accept_stat {accepted}" if accepted else None
