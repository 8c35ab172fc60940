"""A document that is replaced as editors and package managers do it: write another file, COMMIT, RENAME over the old.

A reader sees one version as a whole or the next, never a mixture, and never goes back.
"""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING

from history import AttributesSeen, DocumentRead, Replacement, now, number_of
from load_files import payload
from nfs3 import Client, CreateMode, Stability, Status

if TYPE_CHECKING:
    from load import Load

PIECE = 8192
UNIT = 512


def _pieces(stripe_unit: int) -> list[int]:
    """One inside a stripe unit, one across an edge, one far away: in several placement groups."""
    return [0, stripe_unit - 4096, 4 * stripe_unit]


def size(stripe_unit: int) -> int:
    return _pieces(stripe_unit)[-1] + PIECE


async def replace(load: Load, client: Client, rng: random.Random) -> None:
    history = load.history
    while not load.stopping:
        version = load.next_number()
        name = b"version-%d" % version
        mode = rng.choice([CreateMode.GUARDED, CreateMode.EXCLUSIVE])
        created = await client.create(load.documents, name, mode, struct.pack(">Q", version))
        handle = created.handle
        if created.status != Status.OK or handle is None:
            history.find("status", f"CREATE of {name!r}: {created.status} {created.trace}")
            continue
        stability = rng.choice([Stability.UNSTABLE, Stability.FILE_SYNC])
        data = payload(version, PIECE // UNIT, UNIT)
        written = await asyncio.gather(
            *(client.write(handle, offset, data, stability) for offset in _pieces(history.stripe_unit))
        )
        for result in written:
            if result.status != Status.OK:
                history.find("status", f"WRITE of {name!r}: {result.status} {result.trace}")
        if stability == Stability.UNSTABLE:
            committed = await client.commit(handle)
            if committed.status != Status.OK:
                history.find("status", f"COMMIT of {name!r}: {committed.status} {committed.trace}")
        replacement = Replacement(version, client.index, now())
        history.replacements.append(replacement)
        renamed = await client.rename(load.documents, name, load.documents, b"document")
        replacement.end = now()
        replacement.may_run_late = renamed.trace.jukeboxes > 0 and renamed.trace.may_run_late
        if renamed.status != Status.OK:
            history.find("status", f"RENAME of {name!r}: {renamed.status} {renamed.trace}")
        history.operations["document replaced"] += 1
        await asyncio.sleep(rng.uniform(0, 0.4))


async def look(load: Load, client: Client, rng: random.Random) -> None:
    history = load.history
    while not load.stopping:
        seen = DocumentRead(client.index, now())
        found = await client.lookup(load.documents, b"document")
        seen.end = now()
        if found.directory:
            gateway = found.trace.gateways[-1]
            history.attributes.append(
                AttributesSeen(
                    "the documents' directory", True, client.index, gateway, seen.start, seen.end, found.directory
                )
            )
        handle = found.handle
        if found.status == Status.OK and handle is not None:
            seen.exists = True
            seen.size = found.attributes.size if found.attributes else None
            read = await asyncio.gather(
                *(client.read(handle, offset, PIECE) for offset in _pieces(history.stripe_unit))
            )
            seen.end = now()
            for result in read:
                if result.status != Status.OK:
                    seen.pieces.append(result.status)
                    continue
                words = struct.unpack(f">{len(result.data) // 8}Q", result.data)
                seen.pieces.append(sorted({number_of(word) for word in words}))
                seen.short |= len(result.data) < PIECE
        elif found.status != Status.NOENT:
            history.find("status", f"LOOKUP of the document: {found.status} {found.trace}")
        history.document_reads.append(seen)
        history.operations["document read"] += 1
        await asyncio.sleep(rng.uniform(0, 0.2))
