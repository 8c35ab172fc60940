"""WRITE, READ, COMMIT, GETATTR and truncations of shared files.

A WRITE's data names the write and the place in it, 512 bytes at a time: one READ tells which writes it saw. Places are
near the edges of stripe units, so that few units are written by many, and requests cross from one group to the next.
"""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING, Optional

from history import AttributesSeen, Change, DataRead, FileKey, SizeSeen, now, number_of, place_of, value_of
from nfs3 import Client, CreateMode, Stability, Status

if TYPE_CHECKING:
    from load import Load

CHUNK = 65536
TO_THE_END = 1 << 40


def payload(number: int, units: int, unit: int) -> bytes:
    """Each unit is its value again and again, so that a torn one shows."""
    return b"".join(struct.pack(">Q", value_of(number, k)) * (unit // 8) for k in range(units))


async def work(load: Load, client: Client, rng: random.Random) -> None:
    shape = load.shape
    while not load.stopping:
        key = rng.randrange(shape.files) if rng.random() < 0.6 else 0
        kind = rng.random()
        if kind < 0.42:
            await write(load, client, rng, key, *_place_to_write(load, rng))
        elif kind < 0.72:
            await read(load, client, key, *_place_to_read(load, rng))
        elif kind < 0.79:
            await commit(load, client, rng, key)
        elif kind < 0.88:
            await getattr_size(load, client, key)
        elif kind < 0.88 + shape.truncations:
            await truncate(load, client, rng, key)
        else:
            await asyncio.sleep(rng.uniform(0, 0.05))
        if rng.random() < shape.idle:
            await asyncio.sleep(rng.uniform(0, shape.rest))


async def work_in_bulk(load: Load, client: Client, rng: random.Random) -> None:
    """Enough content that a node which was away has something to catch up with."""
    while not load.stopping:
        kind = rng.random()
        chunk = rng.randrange(load.shape.bulk_chunks) if rng.random() < 0.7 else rng.randrange(16)
        count = CHUNK * rng.choice([1, 1, 2, 4, 8])
        if kind < 0.55:
            await write(load, client, rng, "bulk", chunk * CHUNK, count)
        elif kind < 0.93:
            await read(load, client, "bulk", chunk * CHUNK, count)
        else:
            await commit(load, client, rng, "bulk")
        await asyncio.sleep(rng.uniform(0, load.shape.bulk_rest))


def _edge(load: Load, rng: random.Random) -> int:
    unit = load.history.stripe_unit
    beyond = [0, 0, 0, 4096, 8192, 512, 1536, 12288, CHUNK if unit > CHUNK else 0]
    return unit * rng.choice([0, 0, 1, 2, 3, 4, 5]) + rng.choice(beyond)


def _place_to_write(load: Load, rng: random.Random) -> tuple[int, int]:
    kind, offset = rng.random(), _edge(load, rng)
    if kind < 0.55:
        offset, count = offset & ~4095, 4096 * rng.choice([1, 1, 1, 2, 3])
    elif kind < 0.8:
        count = 512 * rng.randint(1, 12)
    elif kind < 0.93:
        offset, count = offset // CHUNK * CHUNK, CHUNK * rng.choice([1, 2])
    else:
        count = CHUNK + 512 * rng.randint(1, 16)
    if rng.random() < 0.1:
        offset = max(0, offset - 1024)
    return offset, count


def _place_to_read(load: Load, rng: random.Random) -> tuple[int, int]:
    kind, offset = rng.random(), _edge(load, rng)
    if kind < 0.5:
        return offset & ~4095, 4096 * rng.choice([1, 1, 2, 4])
    if kind < 0.65:
        return offset, 512 * rng.randint(1, 16)
    return offset // CHUNK * CHUNK, CHUNK * rng.choice([1, 1, 2, 4]) if kind < 0.95 else 1 << 20


async def write(load: Load, client: Client, rng: random.Random, key: FileKey, offset: int, count: int) -> None:
    history, unit = load.history, load.history.units[key]
    change = Change(
        number=load.next_number(),
        client=client.index,
        start=now(),
        size=offset + count,
        first=offset // unit,
        end_unit=(offset + count) // unit,
        zeros=rng.random() < 0.05,
    )
    data = bytes(count) if change.zeros else payload(change.number, count // unit, unit)
    stability = rng.choice([Stability.UNSTABLE] * 3 + [Stability.DATA_SYNC, Stability.FILE_SYNC])
    history.changes[key].append(change)
    result = await client.write(load.files[key], offset, data, stability)
    history.operations["WRITE"] += 1
    change.trace, change.may_run_late = result.trace, result.trace.may_run_late
    what = f"WRITE of file {key} at {offset}, {count} bytes, {stability.name} {result.trace}"
    if result.status != Status.OK:
        return history.find("status", f"{what}: {result.status}")
    change.end = now()
    # A short WRITE is allowed (RFC 1813, 3.3.7), but has no cause here: there is room, and no request is too large.
    if result.count != count:
        history.find("status", f"{what}: {result.count} bytes are written")
    # The server may commit more than was asked for, never less (RFC 1813, 3.3.7).
    if result.committed < stability:
        history.find("stability", f"{what}: committed as {Stability(result.committed).name} only")
    saw_verifier(load, result.verifier)


async def commit(load: Load, client: Client, rng: random.Random, key: FileKey) -> None:
    offset, count = rng.choice([(0, 0), (0, 0), (0, 1 << 20)])
    result = await client.commit(load.files[key], offset, count)
    load.history.operations["COMMIT"] += 1
    if result.status != Status.OK:
        return load.history.find("status", f"COMMIT of file {key}: {result.status} {result.trace}")
    saw_verifier(load, result.verifier)


def saw_verifier(load: Load, verifier: bytes) -> None:
    """The write verifier may change only when unstable data may be lost (RFC 1813, 3.3.7). Killed processes lose none:
    unstable data is in several of them or in the operating system, and no node loses power here."""
    load.verifiers.add(verifier)
    if len(load.verifiers) == 2:
        load.history.find("verifier", f"a write verifier changed: {sorted(load.verifiers)}")


async def read(load: Load, client: Client, key: FileKey, offset: int, count: int) -> Optional[bytes]:
    """The data, or None if what came is none; records which write each unit shows."""
    history, unit = load.history, load.history.units[key]
    start = now()
    result = await client.read(load.files[key], offset, count)
    end = now()
    history.operations["READ"] += 1
    data = result.data
    what = f"READ of file {key} at {offset}, {count} bytes {result.trace}"
    if result.status != Status.OK:
        history.find("status", f"{what}: {result.status}")
        return None
    if result.count != len(data) or len(data) > count or len(data) % unit:
        history.find("read", f"{what}: count {result.count}, {len(data)} bytes of data")
        return None
    if len(data) < count and not result.eof:
        # Allowed (RFC 1813, 3.3.6), but no gateway has a reason to: a short one tells a client of the file's end.
        history.find("read", f"{what}: {len(data)} bytes without EOF")
    values: list[Optional[int]] = []
    for at in range(0, len(data), unit):
        piece = data[at : at + unit]
        if piece == piece[:8] * (unit // 8):
            values.append(struct.unpack(">Q", piece[:8])[0])
            continue
        words = sorted(set(struct.unpack(f">{unit // 8}Q", piece)))
        mixed = ", ".join(f"{number_of(word)}.{place_of(word)}" for word in words)
        history.find("torn", f"{what}: the unit at {offset + at} has parts of {mixed}")
        values.append(None)
    history.reads[key].append(
        DataRead(client.index, start, end, offset // unit, values, len(data) < count, result.eof, result.trace)
    )
    return data


async def getattr_size(load: Load, client: Client, key: FileKey) -> Optional[int]:
    start = now()
    result = await client.getattr(load.files[key])
    end = now()
    load.history.operations["GETATTR"] += 1
    if result.attributes is None:
        load.history.find("status", f"GETATTR of file {key}: {result.status} {result.trace}")
        return None
    attributes, trace = result.attributes, result.trace
    load.history.sizes[key].append(SizeSeen(client.index, start, end, attributes.size, trace))
    load.history.attributes.append(
        AttributesSeen(f"file {key}", False, client.index, trace.gateways[-1], start, end, attributes)
    )
    return attributes.size


async def truncate(load: Load, client: Client, rng: random.Random, key: FileKey) -> None:
    history, unit = load.history, load.history.units[key]
    by_create = rng.random() < 0.15
    sizes = [0, _edge(load, rng), _edge(load, rng), _edge(load, rng) + CHUNK]
    sizes.append(6 * history.stripe_unit + 512 * rng.randint(0, 64))
    size = 0 if by_create else rng.choice(sizes)
    change = Change(
        number=0,
        client=client.index,
        start=now(),
        size=size,
        first=size // unit,
        end_unit=TO_THE_END,
        truncates=True,
    )
    history.changes[key].append(change)
    if by_create:
        result = await client.create(load.data_directory, load.file_name(key), CreateMode.UNCHECKED, size=0)
    else:
        result = await client.truncate(load.files[key], size)
    history.operations["truncation"] += 1
    change.trace = result.trace
    # Gateways keep the answers of truncations, so one that was sent twice is executed once, wherever; only under
    # another xid, after JUKEBOX, it is another call.
    change.may_run_late = result.trace.jukeboxes > 0 and result.trace.may_run_late
    if result.status != Status.OK:
        return history.find("status", f"truncation of file {key} to {size}: {result.status} {result.trace}")
    change.end = now()
    if by_create:
        if result.handle is not None and result.handle != load.files[key]:
            history.find("handle", f"CREATE UNCHECKED of file {key} gives another handle {result.trace}")
        if result.attributes is not None:
            history.sizes[key].append(
                SizeSeen(client.index, change.start, change.end, result.attributes.size, result.trace)
            )
