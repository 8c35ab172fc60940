"""Many WRITEs in flight at once, each client in a file of its own, then the file read back in requests of any size.

What gateways merge and split (neighbouring WRITEs, READs ahead) shows here. With one writer who waits for each burst,
every block has one right content, so there is nothing to search: only clients whose calls cannot run late take part.
"""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING

from history import now, number_of
from load_files import payload
from nfs3 import Client, CreateMode, Stability, Status

if TYPE_CHECKING:
    from load import Load

BLOCK = 4096
BLOCKS = 4096
UNIT = 512


def content(number: int) -> bytes:
    return payload(number, BLOCK // UNIT, UNIT) if number else bytes(BLOCK)


async def work(load: Load, client: Client, rng: random.Random) -> None:
    name = b"burst-%d" % client.index
    handle = (await client.create(load.data_directory, name, CreateMode.GUARDED)).handle
    if handle is None:
        return load.history.find("status", f"CREATE of {name!r} gives no handle")
    blocks: dict[int, int] = {}

    async def write(block: int, number: int, stability: Stability) -> None:
        result = await client.write(handle, block * BLOCK, content(number), stability)
        if result.status != Status.OK or result.count != BLOCK:
            what = f"WRITE of {name!r}, block {block}: {result.status}, {result.count} bytes {result.trace}"
            load.history.find("status", what)

    async def read(first: int, count: int) -> None:
        start = now()
        result = await client.read(handle, first * BLOCK, count * BLOCK)
        what = f"READ of {name!r} at {start:.4f}, {count} blocks from {first} {result.trace}"
        if result.status != Status.OK:
            return load.history.find("status", f"{what}: {result.status}")
        for block in range(first, first + count):
            data = result.data[(block - first) * BLOCK :][:BLOCK]
            if len(data) < BLOCK and block in blocks:
                load.history.find("burst", f"{what}: block {block} is behind the end")
            elif len(data) == BLOCK and data != content(blocks.get(block, 0)):
                shown = number_of(struct.unpack_from(">Q", data)[0])
                load.history.find("burst", f"{what}: block {block} shows {shown}, not {blocks.get(block, 0)}")

    while not load.stopping:
        await asyncio.sleep(rng.uniform(1, 8))
        stability = rng.choice([Stability.UNSTABLE, Stability.UNSTABLE, Stability.FILE_SYNC])
        burst: dict[int, int] = {}
        for _ in range(rng.choice([1, 4, 12])):
            first = rng.randrange(BLOCKS - 64)
            for block in range(first, first + rng.choice([3, 16, 48])):
                burst.setdefault(block, load.next_number())
        order = list(burst)
        if rng.random() < 0.3:
            rng.shuffle(order)
        await asyncio.gather(*(write(block, burst[block], stability) for block in order))
        blocks.update(burst)
        if stability == Stability.UNSTABLE:
            await client.commit(handle)
        load.history.operations["burst"] += 1
        looks = rng.sample(sorted(blocks), min(len(blocks), rng.choice([10, 200])))
        await asyncio.gather(*(read(block, rng.choice([1, 1, 16, 64])) for block in looks))
