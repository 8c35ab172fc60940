"""The load: shared files, names, a document, a large directory, and who works on them.

Everybody works on the same few things, so that operations through different gateways meet. Each worker draws from a
generator of its own, so that what one does depends on no other's timing.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Awaitable, Callable

import load_bursts
import load_directory
import load_documents
import load_files
import load_names
from cluster import EXPORT
from history import FileKey, History
from mount import Habit
from nfs3 import Client, CreateMode

UNIT = 512
"""Bytes: the smallest part of a file that a WRITE or truncation here can change by itself."""

BULK_UNIT = 65536
"""The large file is only ever written in parts of this size, so that its history stays small."""

PERMANENT_NAMES = 120

Worker = Callable[["Load", Client, random.Random], Awaitable[None]]


@dataclass
class Shape:
    """How a round's load is drawn."""

    files: int
    truncations: float
    """Of a worker's operations on files, how many are truncations."""
    idle: float
    rest: float
    """How often a worker on files rests, and the longest rest, in seconds."""
    names_rest: float
    bulk_chunks: int
    """The large file's size in its units; 0 for none."""
    bulk_rest: float
    bursts: bool

    @staticmethod
    def draw(rng: random.Random) -> Shape:
        return Shape(
            files=rng.choice([1, 2, 4]),
            truncations=rng.choice([0, 0.02, 0.06]),
            idle=rng.choice([0.2, 0.5]),
            rest=rng.choice([0.02, 0.1, 0.3]),
            names_rest=rng.choice([0.1, 0.3]),
            bulk_chunks=rng.choice([0, 0, 32, 64]) * 16,
            bulk_rest=rng.choice([0.02, 0.1]),
            bursts=rng.random() < 0.4,
        )


class Load:
    def __init__(self, shape: Shape, history: History, clients: list[Client], rng: random.Random) -> None:
        self.shape = shape
        self.history = history
        self.clients = clients
        self.rng = rng
        self.stopping = False
        self.files: dict[FileKey, bytes] = {}
        self.name_directories: list[bytes] = []
        self.verifiers: set[bytes] = set()
        self.tasks: dict[asyncio.Task[None], str] = {}
        self._last_number = 0

    def next_number(self) -> int:
        """Names one write in the whole round."""
        self._last_number += 1
        return self._last_number

    async def prepare(self) -> None:
        client = self.clients[0]
        root = await client.mount_export(EXPORT.encode())
        self.data_directory = await self._mkdir(root, b"data")
        for number in range(self.shape.files):
            await self._add_file(number, UNIT)
        if self.shape.bulk_chunks:
            await self._add_file("bulk", BULK_UNIT)
        for number in range(2):
            self.name_directories.append(await self._mkdir(root, b"names-%d" % number))
            self.history.wcc[number] = []
        self.documents = await self._mkdir(root, b"documents")
        self.history.document_size = load_documents.size(self.history.stripe_unit)
        self.large_directory = await self._mkdir(root, b"large")
        await asyncio.gather(*(self._add_permanent_name(number) for number in range(PERMANENT_NAMES)))

    async def _mkdir(self, parent: bytes, name: bytes) -> bytes:
        made = await self.clients[0].mkdir(parent, name)
        if made.handle is None:
            raise ValueError(f"MKDIR of {name!r}: status {made.status}, no handle")
        return made.handle

    async def _add_file(self, key: FileKey, unit: int) -> None:
        created = await self.clients[0].create(self.data_directory, self.file_name(key), CreateMode.GUARDED)
        if created.handle is None:
            raise ValueError(f"CREATE of file {key}: status {created.status}, no handle")
        self.files[key] = created.handle
        self.history.add_file(key, unit)

    async def _add_permanent_name(self, number: int) -> None:
        # Names of many lengths, so that pages of a listing end at different places.
        name = b"permanent-%03d" % number + b"x" * (number % 40)
        created = await self.clients[0].create(self.large_directory, name, CreateMode.GUARDED)
        if created.attributes is None:
            raise ValueError(f"CREATE of {name!r}: status {created.status}, no attributes")
        self.history.permanent[name] = created.attributes.inode

    @staticmethod
    def file_name(key: FileKey) -> bytes:
        return f"file-{key}".encode()

    def start(self) -> None:
        for position, client in enumerate(self.clients):
            self._spawn(load_files.work, client)
            self._spawn(load_files.work, client)
            if position < 5:
                # More at once, and the search for an order of the names takes for ever.
                self._spawn(load_names.work, client)
            if position % 2 == 0 and self.shape.bulk_chunks:
                self._spawn(load_files.work_in_bulk, client)
            if self.shape.bursts and client.mount.habit.abandons_nothing:
                self._spawn(load_bursts.work, client)
            if position % 3 == 0:
                self._spawn(load_documents.replace, client)
                self._spawn(load_directory.list_again_and_again, client)
            elif position % 3 == 1:
                self._spawn(load_documents.look, client)
            else:
                self._spawn(load_directory.churn, client)

    def _spawn(self, worker: Worker, client: Client) -> None:
        task = asyncio.ensure_future(worker(self, client, random.Random(self.rng.getrandbits(60))))
        self.tasks[task] = f"{worker.__module__}.{worker.__name__} of client {client.index}"

    async def stop(self, seconds: float) -> None:
        """Lets each worker finish what it is at. Calls that hang though the cluster is healed are what hard mounts
        show of a server that lost them."""
        self.stopping = True
        done, hanging = await asyncio.wait(self.tasks, timeout=seconds)
        for task in done:
            error = task.exception()
            if error:
                self.history.find("protocol", f"{self.tasks[task]}: {error!r}")
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        for task in hanging:
            self.history.find("hang", f"{self.tasks[task]} has no answer {seconds:.0f} s after all faults")
        for client in self.clients:
            for call in client.mount.pending.values():
                self.history.find("hang", f"{call.trace.procedure} of client {client.index} {call.trace}")


def habits(count: int, rng: random.Random) -> list[Habit]:
    """One of each at least, where there are clients enough: what each shows differs."""
    drawn = [Habit.FAILOVER, Habit.PINNED, Habit.RETRANSMIT, Habit.IMPATIENT][:count]
    while len(drawn) < count:
        drawn.append(rng.choice([Habit.FAILOVER, Habit.FAILOVER, Habit.PINNED]))
    rng.shuffle(drawn)
    return drawn
