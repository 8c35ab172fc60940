"""A directory of more than one page: names that stay, names that come and go, and listings all the while.

READDIR promises little about names that change during a listing (RFC 1813, 3.3.16), but what is there from before it
until after it appears once, and what is not there at any time of it does not appear.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from history import AttributesSeen, Listing, NameLife, now
from nfs3 import Client, CreateMode, Status

if TYPE_CHECKING:
    from load import Load


async def churn(load: Load, client: Client, rng: random.Random) -> None:
    """Names of one's own: each call succeeds, unless one that was sent again was executed again."""
    history = load.history
    count = 0
    while not load.stopping:
        count += 1
        name = b"churn-%d-%d" % (client.index, count)
        life = history.lives[name] = NameLife(now())
        created = await client.create(load.large_directory, name, CreateMode.GUARDED)
        if created.status != Status.OK:
            history.find("executed again", f"CREATE GUARDED of {name!r}: {created.status} {created.trace}")
            continue
        life.make_end = now()
        life.inode = created.attributes.inode if created.attributes else None
        await asyncio.sleep(rng.uniform(0, 0.3))
        if rng.random() < 0.5:
            renamed = name + b"-renamed"
            life.end_start = now()
            after = history.lives[renamed] = NameLife(life.end_start, inode=life.inode)
            result = await client.rename(load.large_directory, name, load.large_directory, renamed)
            if result.status != Status.OK:
                history.find("executed again", f"RENAME of {name!r}: {result.status} {result.trace}")
                continue
            life.end_end = after.make_end = now()
            life, name = after, renamed
        life.end_start = now()
        removed = await client.remove(load.large_directory, name)
        if removed.status != Status.OK:
            history.find("executed again", f"REMOVE of {name!r}: {removed.status} {removed.trace}")
        life.end_end = now()
        history.operations["name made and removed"] += 1
        await asyncio.sleep(rng.uniform(0, 0.3))


async def list_again_and_again(load: Load, client: Client, rng: random.Random) -> None:
    while not load.stopping:
        await list_all(load, client, rng)
        await asyncio.sleep(rng.uniform(0, 0.5))


async def list_all(load: Load, client: Client, rng: random.Random) -> None:
    history = load.history
    start, cookie, verifier = now(), 0, bytes(8)
    entries: list[tuple[bytes, int]] = []
    plus = rng.random() < 0.4
    count = rng.choice([1024, 2048, 8192])
    while True:
        if plus:
            page = await client.readdirplus(load.large_directory, cookie, verifier, count, 4 * count)
        else:
            page = await client.readdir(load.large_directory, cookie, verifier, count)
        end = now()
        if page.status != Status.OK:
            return history.find("status", f"READDIR of the large directory: {page.status} {page.trace}")
        if page.attributes:
            gateway = page.trace.gateways[-1]
            history.attributes.append(
                AttributesSeen(
                    "the large directory", True, client.index, gateway, page.trace.start, end, page.attributes
                )
            )
        for entry, attributes in zip(page.entries, page.entry_attributes):
            if attributes and attributes.inode != entry.inode:
                what = f"{entry.name!r} has inode {entry.inode} and attributes of {attributes.inode}"
                history.find("listing", f"READDIRPLUS: {what} {page.trace}")
        entries += [(entry.name, entry.inode) for entry in page.entries]
        if page.eof:
            break
        if not page.entries:
            return history.find("listing", f"a page has neither an entry nor the end {page.trace}")
        cookie, verifier = page.entries[-1].cookie, page.verifier
    history.listings.append(Listing(client.index, start, end, entries))
    history.operations["listing"] += 1
