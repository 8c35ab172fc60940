"""What must hold when all nodes run again and nobody works any more: in the cluster, through each gateway, on the disks."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from typing import Any, Optional

import load_directory
import load_files
from cluster import NET, Cluster
from history import FileKey, History, NameOperation, now
from load import Load
from mount import Habit, HardMount
from nfs3 import Client, Status

WHOLE_SECONDS = 120
READ_SECONDS = 60
SCRUB_SECONDS = 200
USED_SECONDS = 20
BLOCK = 4096

LAST_WORDS = ["Fatal error", "Precondition", "Assertion", " critical ", "Illegal instruction", "Segmentation"]
"""What a node's log says when a machine trapped or a rule of the protocol was broken."""


async def becomes_whole(cluster: Cluster, history: History) -> Optional[float]:
    """The seconds until all groups serve and have all copies."""
    start = now()
    while now() < start + WHOLE_SECONDS:
        if await cluster.is_whole():
            return now() - start
        await asyncio.sleep(0.5)
    why = await cluster.command("why", seconds=20)
    history.find("not whole", f"groups lack copies {WHOLE_SECONDS} s after all faults: {why.text}")
    return None


async def look_through_gateways(cluster: Cluster, load: Load, history: History, rng: random.Random) -> None:
    """Reads everything through each gateway: the reads join the history, and all gateways show the same."""
    shown: list[tuple[dict[FileKey, bytes], list[list[tuple[bytes, int]]]]] = []
    for number, address in enumerate(cluster.gateways):
        mount = HardMount(f"look-{number}", [address], 0, f"{NET}.{200 + number}", Habit.PINNED, rng)
        mount.start()
        client = Client(100 + number, mount)
        try:
            files = await asyncio.wait_for(_read_files(load, client), READ_SECONDS)
            names = await asyncio.wait_for(_list_names(load, client, rng), READ_SECONDS)
            shown.append((files, names))
            if number == len(cluster.gateways) - 1:
                await _check_used(load, client, files)
        except ValueError as error:
            history.find("protocol", f"through gateway {number + 1}: {error}")
        except asyncio.TimeoutError:
            history.find("hang", f"not everything can be read through gateway {number + 1} within {READ_SECONDS} s")
        finally:
            await mount.stop()
    for number, seen in enumerate(shown):
        if seen != shown[0]:
            differ = [key for key in seen[0] if seen[0][key] != shown[0][0][key]]
            history.find(
                "settled", f"gateway {number + 1} shows other files {differ} or names {seen[1]} than {shown[0][1]}"
            )


async def _read_files(load: Load, client: Client) -> dict[FileKey, bytes]:
    files: dict[FileKey, bytes] = {}
    for key in load.files:
        size = await load_files.getattr_size(load, client, key)
        content = b""
        while size is not None and len(content) < size:
            data = await load_files.read(load, client, key, len(content), 1 << 20)
            if not data:
                break
            content += data
        if size is not None and len(content) != size:
            load.history.find("settled", f"file {key} has size {size}, and {len(content)} bytes can be read")
        files[key] = content
    return files


async def _list_names(load: Load, client: Client, rng: random.Random) -> list[list[tuple[bytes, int]]]:
    await load_directory.list_all(load, client, rng)
    listings = []
    for number, directory in enumerate(load.name_directories):
        operation = NameOperation(client.index, now(), "readdir", (number, b""))
        load.history.names.append(operation)
        result = await client.readdir(directory, 0, bytes(8), 8192)
        operation.end, operation.status, operation.trace = now(), result.status, result.trace
        operation.entries = [(entry.name, entry.inode) for entry in result.entries if entry.name not in (b".", b"..")]
        listings.append(sorted(operation.entries))
    return listings


async def _check_used(load: Load, client: Client, files: dict[FileKey, bytes]) -> None:
    """The space of a file (RFC 1813, 2.6, `used`) is that of blocks that hold something: those with content are needed,
    those of zeros may be holes. Gateways hear of it with some delay."""
    end = now() + USED_SECONDS
    for key, content in files.items():
        blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
        least = sum(1 for block in blocks if block.strip(b"\0")) * BLOCK
        most = len(blocks) * BLOCK
        while True:
            attributes = (await client.getattr(load.files[key])).attributes
            if attributes is None or least <= attributes.used <= most:
                break
            if now() > end:
                load.history.find("used", f"file {key} uses {attributes.used} bytes, not {least} to {most}")
                break
            await asyncio.sleep(0.5)


async def scrub(cluster: Cluster, history: History) -> None:
    """All copies of all groups hold the same: data, names, and what makes a call be executed once."""
    answer = await cluster.command("scrub", seconds=SCRUB_SECONDS)
    if answer.status != 0:
        # On standard error is its progress, and why it failed if it could not compare.
        history.find("scrub", f"status {answer.status}: {answer.output.strip() or answer.errors.strip()}")


def compare_rows(cluster: Cluster, history: History) -> None:
    """The rows of each metadata group on the disks, read without the program. Each has the version of the entry that
    wrote it, and all replicas apply the same entries: of one version it has one value everywhere, and who has applied
    an entry has no older one. (One that is missing tells nothing: a later entry may have removed it that the others have
    in their logs only.)
    """
    for group in ("m1", "m2"):
        rows_of: dict[int, dict[Any, tuple[int, bytes]]] = {}
        for node in cluster.ids:
            path = cluster.disk(node) / "namespace" / group
            if not path.exists():
                continue
            try:
                with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                    selected = database.execute("select key, version, value from rows")
                    rows_of[node] = {key: (version, value) for key, version, value in selected}
            except sqlite3.Error as error:
                history.find("rows", f"{path} cannot be read: {error}")
        for node, rows in rows_of.items():
            applied = max((version for version, _ in rows.values()), default=0)
            for other, others in rows_of.items():
                different = [
                    (key, rows[key], others[key])
                    for key in rows.keys() & others.keys()
                    if rows[key] != others[key] and rows[key][0] <= others[key][0] <= applied
                ]
                if different:
                    what = f"{len(different)} rows differ, such as {different[:3]}"
                    history.find("rows", f"{group} of nodes {node} and {other}: {what}")


def read_logs(cluster: Cluster, history: History, disks_fail: bool) -> None:
    for node in cluster.ids:
        try:
            log = cluster.log(node).read_text(errors="replace")
        except OSError:
            continue
        for word in LAST_WORDS:
            # A disk that fails is told in that way.
            if word in log and not (disks_fail and word == " critical "):
                at = log.index(word)
                history.find("log", f"node {node}: …{log[max(0, at - 300) : at + 600]}")
                break
