"""What is done to a cluster while clients work: processes that die or stand still, operator's commands, disks.

Each fault leaves all nodes running and nothing suspended, so that the next one finds a cluster that can go on; `heal`
makes sure of it at the end. Which fault comes when is drawn from the round's seed; what it meets is up to the machine.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from collections import Counter
from typing import Awaitable, Callable, Optional

from cluster import Cluster
from history import History, now

MIXES: dict[str, dict[str, int]] = {
    "all": {
        "kill": 4,
        "long pause": 4,
        "short pauses": 2,
        "two paused": 2,
        "kill all": 2,
        "terminate": 2,
        "suspend": 2,
        "kill during catch-up": 2,
        "pause across the lease": 2,
        "two in a row": 2,
        "rolling restart": 1,
    },
    "kills": {"kill": 5, "kill during catch-up": 3, "kill all": 3, "two in a row": 2, "rolling restart": 1},
    "pauses": {"long pause": 4, "short pauses": 4, "two paused": 3, "pause across the lease": 3, "suspend": 1},
    "orders": {"suspend": 4, "terminate": 4, "terminate all": 2, "rolling restart": 2, "kill": 1, "short pauses": 2},
    "crash-loops": {"crash loop": 4, "kill": 1, "kill all": 1, "short pauses": 1, "disk lost": 1},
    "moves": {"move": 3, "kill": 1, "short pauses": 1},
    "disks": {"disk errors": 3, "slow disk": 3, "disk lost": 2, "full disk": 1, "kill": 1, "long pause": 1},
    "outages": {"two away": 3, "kill": 1, "long pause": 1},
    "none": {},
}
"""How often each fault is drawn, against the others of its mix."""

FAILING_DISKS = frozenset(["disk errors", "slow disk", "full disk"])
"""Those that go in through STAVE_DISK_FAULTS, which debug builds alone have."""

TERMINATION_SECONDS = 40
"""A stop that hangs is to end by itself after 20 s; the rest is for a busy machine."""


class Faults:
    def __init__(self, cluster: Cluster, history: History, rng: random.Random, mix: dict[str, int]) -> None:
        self.cluster = cluster
        self.history = history
        self.rng = rng
        self.mix = mix
        self.counts: Counter[str] = Counter()
        self.suspended: set[int] = set()
        self.faults: dict[str, Callable[[int, int], Awaitable[None]]] = {
            "kill": self.kill_one,
            "kill all": self.kill_all,
            "kill during catch-up": self.kill_during_catch_up,
            "two in a row": self.two_in_a_row,
            "crash loop": self.crash_loop,
            "rolling restart": self.rolling_restart,
            "long pause": self.long_pause,
            "short pauses": self.short_pauses,
            "two paused": self.two_paused,
            "pause across the lease": self.pause_across_lease,
            "two away": self.two_away,
            "terminate": self.terminate_one,
            "terminate all": self.terminate_all,
            "suspend": self.suspend,
            "move": self.move,
            "disk errors": self.disk_errors,
            "slow disk": self.slow_disk,
            "full disk": self.full_disk,
            "disk lost": self.disk_lost,
        }

    async def run(self, seconds: float) -> None:
        end = now() + seconds
        while True:
            pause = self.rng.choice([self.length(0.1, 1), self.rng.uniform(1, 5)])
            if not self.mix or now() + pause >= end:
                await asyncio.sleep(max(0.0, end - now()))
                return
            await asyncio.sleep(pause)
            kind = self.rng.choices(list(self.mix), list(self.mix.values()))[0]
            self.counts[kind] += 1
            one, other = self.rng.sample(self.cluster.ids, 2)
            await self.faults[kind](one, other)

    async def heal(self) -> None:
        for node in self.cluster.ids:
            self.cluster.signal(node, signal.SIGCONT)
            await self.start(node)
        for node in sorted(self.suspended):
            await self.cluster.command("node", "resume", str(node), seconds=20)
        self.history.event("healed")

    # ---- what faults are made of

    def length(self, low: float, high: float) -> float:
        """Seconds, each order of magnitude as likely as the others: windows to be met are from milliseconds up."""
        return float(low * (high / low) ** self.rng.random())

    async def wait(self, low: float, high: float) -> None:
        await asyncio.sleep(self.length(low, high))

    def kill(self, node: int) -> None:
        if self.cluster.kill(node):
            self.history.event(f"kill -9 of node {node}")

    async def start(self, node: int, disk_faults: Optional[str] = None) -> None:
        for _ in range(100):
            if self.cluster.launch(node, disk_faults):
                self.history.event(f"start of node {node}" + (f" with {disk_faults}" if disk_faults else ""))
                return
            child = self.cluster.children.get(node)
            if self.cluster.process(node) is not None and (child is None or child.poll() is None):
                return
            await asyncio.sleep(0.05)

    async def restart(self, node: int, low: float, high: float, disk_faults: Optional[str] = None) -> None:
        """kill -9, some time away, start."""
        self.kill(node)
        await self.wait(low, high)
        await self.start(node, disk_faults)

    async def pause(self, node: int, seconds: float) -> None:
        if self.cluster.signal(node, signal.SIGSTOP):
            self.history.event(f"SIGSTOP of node {node} for {seconds:.2f} s")
        await asyncio.sleep(seconds)
        if self.cluster.signal(node, signal.SIGCONT):
            self.history.event(f"SIGCONT of node {node}")

    async def await_end(self, node: int) -> None:
        end = now() + TERMINATION_SECONDS
        while not self.cluster.has_ended(node):
            if now() > end:
                self.history.find("stop", f"node {node} did not end within {TERMINATION_SECONDS} s of SIGTERM")
                self.kill(node)
                return
            await asyncio.sleep(0.05)

    def terminate(self, node: int) -> None:
        if self.cluster.signal(node, signal.SIGTERM):
            self.history.event(f"SIGTERM to node {node}")

    async def become_whole(self, seconds: float) -> bool:
        end = now() + seconds
        while now() < end:
            if await self.cluster.is_whole():
                return True
            await asyncio.sleep(0.5)
        return False

    async def order(self, *words: str, tries: int, seconds: float, between: float) -> bool:
        """An operator's command, repeated while it is refused: it may need what the faults took away."""
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(between)
            answer = await self.cluster.command(*words, seconds=seconds)
            self.history.event(f"stave {' '.join(words)}: {answer.status} {answer.text[-160:]}".replace("\n", " "))
            if answer.status == 0:
                return True
        return False

    # ---- processes that die

    async def kill_one(self, one: int, other: int) -> None:
        await self.restart(one, 0.05, 8)

    async def kill_all(self, one: int, other: int) -> None:
        ids = self.cluster.ids
        for node in self.rng.sample(ids, len(ids)):
            self.kill(node)
        await self.wait(0.05, 3)
        for node in self.rng.sample(ids, len(ids)):
            await self.start(node)
            await asyncio.sleep(self.rng.choice([0, 0, self.rng.uniform(0, 3)]))

    async def kill_during_catch_up(self, one: int, other: int) -> None:
        self.kill(one)
        # Longer than a silence, so that the others go on without it and it has to catch up.
        await asyncio.sleep(self.rng.uniform(1.2, 5))
        await self.start(one)
        for _ in range(self.rng.randint(1, 3)):
            await self.wait(0.2, 3)
            await self.restart(self.rng.choice([one, one, other]), 0.05, 1)

    async def two_in_a_row(self, one: int, other: int) -> None:
        """One is away, and the other goes when the first is hardly back."""
        await self.restart(one, 0.1, 3)
        await self.wait(0.05, 4)
        if self.rng.random() < 0.5:
            await self.restart(other, 0.05, 3)
        else:
            await self.pause(other, self.length(0.3, 6))

    async def crash_loop(self, one: int, other: int) -> None:
        """Killed again and again while it starts, recovers and learns."""
        victims = self.cluster.ids if self.rng.random() < 0.4 else [one]
        for _ in range(self.rng.randint(4, 12)):
            for node in victims:
                self.kill(node)
            for node in victims:
                await self.start(node)
            await self.wait(0.02, 1.5)

    async def rolling_restart(self, one: int, other: int) -> None:
        for node in self.rng.sample(self.cluster.ids, len(self.cluster.ids)):
            if self.rng.random() < 0.5:
                self.kill(node)
            else:
                self.terminate(node)
                await self.await_end(node)
            await self.start(node)
            await self.wait(0.2, 3)

    # ---- processes that stand still

    async def long_pause(self, one: int, other: int) -> None:
        await self.pause(one, self.length(0.1, 20))

    async def short_pauses(self, one: int, other: int) -> None:
        for _ in range(self.rng.randint(2, 8)):
            await self.pause(self.rng.choice(self.cluster.ids), self.length(0.1, 1.5))
            await asyncio.sleep(self.rng.uniform(0, 0.5))

    async def two_paused(self, one: int, other: int) -> None:
        async def later() -> None:
            await asyncio.sleep(self.rng.uniform(0, 4))
            await self.pause(other, self.length(0.5, 10))

        await asyncio.gather(self.pause(one, self.length(0.5, 10)), later())

    async def pause_across_lease(self, one: int, other: int) -> None:
        """It wakes up in the belief that it leads, while others have taken over."""
        await self.pause(one, self.rng.uniform(2.3, 4.5))
        if self.rng.random() < 0.6:
            await self.restart(other, 0.05, 3)

    async def two_away(self, one: int, other: int) -> None:
        """Longer than sessions and windows of requests last, with too few left to write."""
        seconds = self.rng.uniform(31, 38)
        if self.rng.random() < 0.5:
            await asyncio.gather(self.pause(one, seconds), self.pause(other, seconds + self.rng.uniform(0, 3)))
            return
        self.kill(one)
        self.kill(other)
        await asyncio.sleep(seconds)
        await self.start(one)
        await asyncio.sleep(self.rng.uniform(0, 2))
        await self.start(other)

    # ---- an operator's commands

    async def terminate_one(self, one: int, other: int) -> None:
        self.terminate(one)
        await self.await_end(one)
        await self.wait(0.05, 4)
        await self.start(one)

    async def terminate_all(self, one: int, other: int) -> None:
        for node in self.cluster.ids:
            self.terminate(node)
        await self.wait(0.05, 6)
        if self.rng.random() < 0.4:
            self.kill(one)
        for node in self.cluster.ids:
            await self.await_end(node)
        for node in self.rng.sample(self.cluster.ids, len(self.cluster.ids)):
            await self.start(node)

    async def suspend(self, one: int, other: int) -> None:
        self.suspended.add(one)
        await self.order("node", "suspend", str(one), tries=1, seconds=20, between=0)
        await self.wait(0.1, 5)
        if self.rng.random() < 0.3:
            await self.restart(other, 0.05, 3)
        if await self.order("node", "resume", str(one), tries=1, seconds=20, between=0):
            self.suspended.discard(one)

    async def move(self, one: int, other: int) -> None:
        """A node's groups move away, it leaves, and it comes back empty, while any node is killed and paused."""

        async def trouble() -> None:
            await self.wait(0.2, 5)
            for _ in range(self.rng.randint(0, 3)):
                victim = self.rng.choice(self.cluster.ids)
                if self.rng.random() < 0.5:
                    await self.restart(victim, 0.05, 2)
                else:
                    await self.pause(victim, self.length(0.2, 4))
                await self.wait(0.2, 4)

        drain = ("node", "drain", str(one), "--wait", "30")
        under_way = asyncio.ensure_future(trouble())
        await self.order(*drain, tries=4, seconds=45, between=1)
        await under_way
        for _ in range(6):
            if await self.order("node", "remove", str(one), "--wipe", tries=1, seconds=45, between=0):
                break
            await asyncio.sleep(2)
            await self.order(*drain, tries=1, seconds=45, between=0)
        await self.wait(0.05, 2)
        under_way = asyncio.ensure_future(trouble())
        await self.order("node", "add", str(one), "--wait", "30", tries=6, seconds=60, between=2)
        await under_way

    # ---- disks

    async def disk_errors(self, one: int, other: int) -> None:
        call = self.rng.choice(["sync", "write", "write", "read"])
        first = self._first_call()
        last = first + self.rng.choice([0, 3, 100_000])
        await self._failing_disk(one, other, f"{call} {self._file()}calls={first}-{last} errno=5")

    async def slow_disk(self, one: int, other: int) -> None:
        call = self.rng.choice(["sync", "sync", "write", "read"])
        delay = self.rng.choice([20, 100, 300, 900, 2500, 6000])
        rule = f"{call} {self._file()}calls={self._first_call()}-100000 delay={delay}"
        await self._failing_disk(one, other, rule)

    async def full_disk(self, one: int, other: int) -> None:
        first = self._first_call()
        last = first + self.rng.choice([1, 20, 1000])
        await self._failing_disk(one, other, f"allocate calls={first}-{last} errno=28")

    def _first_call(self) -> int:
        return self.rng.choice([1, 5, 20, 60, 200])

    def _file(self) -> str:
        name = self.rng.choice(["log-", "log-", "data", "index", "m2", ""])
        return f"name={name} " if name else ""

    async def _failing_disk(self, one: int, other: int, rule: str) -> None:
        """A node runs with such a disk for a while, and then with a good one."""
        # One failure at a time is what copies are for: a disk that lies beside others that lack content is another.
        if not await self.become_whole(20):
            return
        await self.restart(one, 0.05, 2, rule)
        await asyncio.sleep(self.rng.uniform(2, 12))
        if self.rng.random() < 0.5:
            await self.pause(other, self.length(0.2, 4))
        elif self.rng.random() < 0.4:
            await self.restart(other, 0.05, 3)
        if self.rng.random() < 0.3:
            await asyncio.sleep(self.rng.uniform(2, 6))
        await self.restart(one, 0.05, 2)
        if self.rng.random() < 0.4:
            await self.wait(0.3, 5)
            await self.restart(one, 0.2, 0.2)

    async def disk_lost(self, one: int, other: int) -> None:
        """A node's disk is gone and an empty one takes its place, while what it had is on all others."""
        if not await self.become_whole(30):
            return
        self.kill(one)
        shutil.rmtree(self.cluster.disk(one), ignore_errors=True)
        self.history.event(f"the disk of node {one} is lost")
        await self.wait(0.05, 3)
        await self.order("disk", "replace", str(self.cluster.disk(one)), tries=1, seconds=30, between=0)
        await self.start(one)
        await self.wait(0.2, 6)
        if self.rng.random() < 0.5:
            await self.pause(other, self.length(0.2, 5))
        else:
            await self.restart(self.rng.choice([one, other]), 0.05, 3)
