"""The procedures of NFS version 3 and MOUNT (RFC 1813), as far as the workload uses them.

How a call reaches a server, and is sent again until it is answered, is the mount's business (`mount.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Optional

from history import Attributes, CallTrace, Wcc, WccBefore
from mount import HardMount
from xdr import Decoder, opaque, uint32, uint64

NFS_PROGRAM = 100003
MOUNT_PROGRAM = 100005
MOUNTPROC3_MNT = 1


class Status(IntEnum):
    """nfsstat3 (RFC 1813, 2.6): those that the checks tell apart."""

    OK = 0
    NOENT = 2
    EXIST = 17
    NOTDIR = 20
    ISDIR = 21
    NOSPC = 28
    NOTEMPTY = 66
    STALE = 70
    JUKEBOX = 10008


class Procedure(IntEnum):
    """RFC 1813, 3.3."""

    GETATTR = 1
    SETATTR = 2
    LOOKUP = 3
    READ = 6
    WRITE = 7
    CREATE = 8
    MKDIR = 9
    REMOVE = 12
    RMDIR = 13
    RENAME = 14
    LINK = 15
    READDIR = 16
    READDIRPLUS = 17
    COMMIT = 21


class Stability(IntEnum):
    """stable_how (RFC 1813, 3.3.7)."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


class CreateMode(IntEnum):
    """createmode3 (RFC 1813, 3.3.8)."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


TYPE_REGULAR = 1
TYPE_DIRECTORY = 2


class DirectoryEntry(NamedTuple):
    inode: int
    name: bytes
    cookie: int


@dataclass
class Result:
    """What a procedure answered; fields that it does not have, or that came empty, are None."""

    status: int
    trace: CallTrace
    handle: Optional[bytes] = None
    attributes: Optional[Attributes] = None
    directory: Optional[Attributes] = None
    wcc: Wcc = (None, None)
    target_wcc: Wcc = (None, None)
    count: int = 0
    eof: bool = False
    data: bytes = b""
    committed: int = 0
    verifier: bytes = b""
    entries: list[DirectoryEntry] = field(default_factory=list)
    entry_attributes: list[Optional[Attributes]] = field(default_factory=list)


def decode_attributes(decoder: Decoder) -> Attributes:
    """fattr3 (RFC 1813, 2.6)."""
    word = decoder.unpack(">IIIIIQQIIQQIIIIII")
    return Attributes(
        type=word[0],
        links=word[2],
        size=word[5],
        used=word[6],
        inode=word[10],
        mtime=word[13] * 10**9 + word[14],
        ctime=word[15] * 10**9 + word[16],
    )


def decode_optional_attributes(decoder: Decoder) -> Optional[Attributes]:
    return decode_attributes(decoder) if decoder.uint32() else None


def decode_wcc(decoder: Decoder) -> Wcc:
    """wcc_data: weak cache consistency (RFC 1813, 2.6)."""
    before = None
    if decoder.uint32():
        word = decoder.unpack(">QIIII")
        before = WccBefore(word[0], word[1] * 10**9 + word[2], word[3] * 10**9 + word[4])
    return before, decode_optional_attributes(decoder)


def encode_settable(mode: Optional[int] = None, size: Optional[int] = None) -> bytes:
    """sattr3: only the mode and the size are ever set; owner, group and times stay."""
    return b"".join(
        [
            uint32(0) if mode is None else uint32(1) + uint32(mode),
            uint32(0) + uint32(0),
            uint32(0) if size is None else uint32(1) + uint64(size),
            uint32(0) + uint32(0),
        ]
    )


class Client:
    """One client host: the procedures on a hard mount."""

    def __init__(self, index: int, mount: HardMount) -> None:
        self.index = index
        self.mount = mount

    async def call(self, procedure: Procedure, arguments: bytes) -> tuple[Result, Decoder]:
        """Sends until there is a final answer. The two that ask for another try get it here, as a kernel's client does
        for JUKEBOX (RFC 1813, 2.6): the procedure was not executed, so the same call goes out under a new xid.
        One without room waits as a user would who makes some; nothing of the call was done, or of a WRITE a part.
        """
        trace = CallTrace(Procedure(procedure).name)
        while True:
            decoder = Decoder(await self.mount.exchange(NFS_PROGRAM, procedure, arguments, trace))
            status = decoder.uint32()
            if status == Status.NOSPC:
                trace.note("no space")
                await self.mount.wait_to_repeat(trace, 0.5)
            elif status == Status.JUKEBOX:
                trace.sent_away()
                await self.mount.wait_to_repeat(trace, 0.3)
            else:
                return Result(status, trace), decoder

    async def mount_export(self, path: bytes) -> bytes:
        """The handle of an export's root."""
        decoder = Decoder(await self.mount.exchange(MOUNT_PROGRAM, MOUNTPROC3_MNT, opaque(path), CallTrace("MNT")))
        status = decoder.uint32()
        if status:
            raise ConnectionError(f"MNT of {path!r} gives {status}")
        return decoder.opaque()

    async def getattr(self, handle: bytes) -> Result:
        result, decoder = await self.call(Procedure.GETATTR, opaque(handle))
        if result.status == Status.OK:
            result.attributes = decode_attributes(decoder)
        decoder.finish()
        return result

    async def truncate(self, handle: bytes, size: int) -> Result:
        result, decoder = await self.call(Procedure.SETATTR, opaque(handle) + encode_settable(size=size) + uint32(0))
        result.wcc = decode_wcc(decoder)
        decoder.finish()
        return result

    async def lookup(self, directory: bytes, name: bytes) -> Result:
        result, decoder = await self.call(Procedure.LOOKUP, opaque(directory) + opaque(name))
        if result.status == Status.OK:
            result.handle = decoder.opaque()
            result.attributes = decode_optional_attributes(decoder)
        result.directory = decode_optional_attributes(decoder)
        decoder.finish()
        return result

    async def read(self, handle: bytes, offset: int, count: int) -> Result:
        result, decoder = await self.call(Procedure.READ, opaque(handle) + uint64(offset) + uint32(count))
        result.attributes = decode_optional_attributes(decoder)
        if result.status == Status.OK:
            result.count = decoder.uint32()
            result.eof = bool(decoder.uint32())
            result.data = decoder.opaque()
        decoder.finish()
        return result

    async def write(self, handle: bytes, offset: int, data: bytes, stability: Stability) -> Result:
        arguments = opaque(handle) + uint64(offset) + uint32(len(data)) + uint32(stability) + opaque(data)
        result, decoder = await self.call(Procedure.WRITE, arguments)
        result.wcc = decode_wcc(decoder)
        if result.status == Status.OK:
            result.count = decoder.uint32()
            result.committed = decoder.uint32()
            result.verifier = decoder.fixed(8)
        decoder.finish()
        return result

    async def commit(self, handle: bytes, offset: int = 0, count: int = 0) -> Result:
        result, decoder = await self.call(Procedure.COMMIT, opaque(handle) + uint64(offset) + uint32(count))
        result.wcc = decode_wcc(decoder)
        if result.status == Status.OK:
            result.verifier = decoder.fixed(8)
        decoder.finish()
        return result

    async def create(
        self, directory: bytes, name: bytes, mode: CreateMode, verifier: bytes = bytes(8), size: Optional[int] = None
    ) -> Result:
        how = verifier if mode == CreateMode.EXCLUSIVE else encode_settable(mode=0o644, size=size)
        return await self._make(Procedure.CREATE, opaque(directory) + opaque(name) + uint32(mode) + how)

    async def mkdir(self, directory: bytes, name: bytes) -> Result:
        return await self._make(Procedure.MKDIR, opaque(directory) + opaque(name) + encode_settable(mode=0o755))

    async def _make(self, procedure: Procedure, arguments: bytes) -> Result:
        result, decoder = await self.call(procedure, arguments)
        if result.status == Status.OK:
            result.handle = decoder.opaque() if decoder.uint32() else None
            result.attributes = decode_optional_attributes(decoder)
        result.wcc = decode_wcc(decoder)
        decoder.finish()
        return result

    async def remove(self, directory: bytes, name: bytes) -> Result:
        return await self._unlink(Procedure.REMOVE, directory, name)

    async def rmdir(self, directory: bytes, name: bytes) -> Result:
        return await self._unlink(Procedure.RMDIR, directory, name)

    async def _unlink(self, procedure: Procedure, directory: bytes, name: bytes) -> Result:
        result, decoder = await self.call(procedure, opaque(directory) + opaque(name))
        result.wcc = decode_wcc(decoder)
        decoder.finish()
        return result

    async def rename(self, directory: bytes, name: bytes, to_directory: bytes, to_name: bytes) -> Result:
        arguments = opaque(directory) + opaque(name) + opaque(to_directory) + opaque(to_name)
        result, decoder = await self.call(Procedure.RENAME, arguments)
        result.wcc = decode_wcc(decoder)
        result.target_wcc = decode_wcc(decoder)
        decoder.finish()
        return result

    async def link(self, handle: bytes, directory: bytes, name: bytes) -> Result:
        result, decoder = await self.call(Procedure.LINK, opaque(handle) + opaque(directory) + opaque(name))
        result.attributes = decode_optional_attributes(decoder)
        result.wcc = decode_wcc(decoder)
        decoder.finish()
        return result

    async def readdir(self, directory: bytes, cookie: int, verifier: bytes, count: int) -> Result:
        arguments = opaque(directory) + uint64(cookie) + verifier + uint32(count)
        result, decoder = await self.call(Procedure.READDIR, arguments)
        result.attributes = decode_optional_attributes(decoder)
        if result.status == Status.OK:
            result.verifier = decoder.fixed(8)
            while decoder.uint32():
                result.entries.append(DirectoryEntry(decoder.uint64(), decoder.opaque(), decoder.uint64()))
            result.eof = bool(decoder.uint32())
        decoder.finish()
        return result

    async def readdirplus(self, directory: bytes, cookie: int, verifier: bytes, names_count: int, count: int) -> Result:
        arguments = opaque(directory) + uint64(cookie) + verifier + uint32(names_count) + uint32(count)
        result, decoder = await self.call(Procedure.READDIRPLUS, arguments)
        result.attributes = decode_optional_attributes(decoder)
        if result.status == Status.OK:
            result.verifier = decoder.fixed(8)
            while decoder.uint32():
                result.entries.append(DirectoryEntry(decoder.uint64(), decoder.opaque(), decoder.uint64()))
                result.entry_attributes.append(decode_optional_attributes(decoder))
                if decoder.uint32():
                    decoder.opaque()
            result.eof = bool(decoder.uint32())
        decoder.finish()
        return result
