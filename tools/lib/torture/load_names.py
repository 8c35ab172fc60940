"""Operations on six names in two shared directories: so few that nearly every one meets another's.

CREATE in all three modes, MKDIR, REMOVE, RMDIR, RENAME in and across the directories, LINK, LOOKUP, GETATTR of what was
seen, READDIR and READDIRPLUS. `check_names.py` searches for an order that explains all answers.
"""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING

from history import AttributesSeen, NameOperation, WccSeen, now
from nfs3 import TYPE_REGULAR, Client, CreateMode, Result, Status

if TYPE_CHECKING:
    from load import Load

NAMES = [b"a", b"b", b"c"]

KINDS = {
    "create": 26,
    "mkdir": 5,
    "remove": 15,
    "rmdir": 4,
    "rename": 18,
    "link": 8,
    "lookup": 12,
    "getattr": 6,
    "readdir": 6,
}

CREATE_MODES = {
    "create guarded": CreateMode.GUARDED,
    "create exclusive": CreateMode.EXCLUSIVE,
    "create unchecked": CreateMode.UNCHECKED,
}


async def work(load: Load, client: Client, rng: random.Random) -> None:
    # Regular files that this worker has a handle of, by inode; the last few are those that others work on, too.
    known: dict[int, bytes] = {}
    while not load.stopping:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind in ("link", "getattr") and not known:
            kind = "readdir"
        if kind == "create":
            kind = rng.choice(["create guarded"] * 2 + ["create exclusive"] * 2 + ["create unchecked"])
        name = (rng.randrange(2), rng.choice(NAMES))
        operation = NameOperation(client.index, now(), kind, name)
        load.history.names.append(operation)
        result = await _call(load, client, rng, operation, known)
        _record(load, operation, result)
        _remember(known, operation, result)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.uniform(0, load.shape.names_rest))


async def _call(
    load: Load, client: Client, rng: random.Random, operation: NameOperation, known: dict[int, bytes]
) -> Result:
    number, name = operation.name
    directory = load.name_directories[number]
    if operation.kind in CREATE_MODES:
        # A verifier of its own for each CREATE: another client's EXCLUSIVE never passes for this one.
        return await client.create(
            directory, name, CREATE_MODES[operation.kind], struct.pack(">Q", rng.getrandbits(63))
        )
    if operation.kind == "mkdir":
        return await client.mkdir(directory, name)
    if operation.kind == "remove":
        return await client.remove(directory, name)
    if operation.kind == "rmdir":
        return await client.rmdir(directory, name)
    if operation.kind == "rename":
        operation.target = (rng.randrange(2), rng.choice(NAMES))
        return await client.rename(directory, name, load.name_directories[operation.target[0]], operation.target[1])
    if operation.kind == "lookup":
        return await client.lookup(directory, name)
    if operation.kind == "readdir":
        operation.name = (number, b"")
        if rng.random() < 0.5:
            return await client.readdir(directory, 0, bytes(8), 8192)
        return await client.readdirplus(directory, 0, bytes(8), 8192, 16384)
    operation.inode = rng.choice(list(known)[-4:])
    if operation.kind == "link":
        return await client.link(known[operation.inode], directory, name)
    return await client.getattr(known[operation.inode])


def _record(load: Load, operation: NameOperation, result: Result) -> None:
    history, trace, attributes = load.history, result.trace, result.attributes
    operation.end, operation.status, operation.trace = now(), result.status, trace
    operation.may_repeat = trace.jukeboxes > 0 and trace.may_run_late
    history.operations[operation.kind.upper()] += 1
    if attributes is not None and operation.kind == "readdir":
        operation.directory_links = attributes.links
    elif attributes is not None:
        operation.links = attributes.links
        if operation.inode is None:
            operation.inode = attributes.inode
        elif operation.inode != attributes.inode:
            history.find("handle", f"{operation}: attributes of inode {attributes.inode}")
    if operation.kind == "readdir" and result.status == Status.OK:
        operation.entries = [(entry.name, entry.inode) for entry in result.entries if entry.name not in (b".", b"..")]
        if not result.eof:
            history.find("listing", f"READDIR of a small directory has no end {trace}")
    directory = operation.name[0]
    changed = {directory: result.wcc}
    if operation.target and operation.target[0] != directory:
        changed[operation.target[0]] = result.target_wcc
    seen = {directory: result.directory if operation.kind == "lookup" else None}
    if operation.kind == "readdir":
        seen[directory] = attributes
    for number, (before, after) in changed.items():
        if before or after:
            history.wcc[number].append(WccSeen(operation, before, after))
        # The answer to a call that was sent again may be the one to its first sending: then these are attributes of
        # any moment since its start, and tell nothing of the times that others saw meanwhile.
        if after and trace.sends == 1:
            seen[number] = after
    for number, shown in seen.items():
        if shown:
            history.attributes.append(
                AttributesSeen(
                    f"directory {number}",
                    True,
                    operation.client,
                    trace.gateways[-1],
                    operation.start,
                    operation.end,
                    shown,
                )
            )


def _remember(known: dict[int, bytes], operation: NameOperation, result: Result) -> None:
    if result.handle is not None and result.attributes is not None and result.attributes.type == TYPE_REGULAR:
        known[result.attributes.inode] = result.handle
