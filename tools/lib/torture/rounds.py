"""One round: a cluster, a load, faults, everything healed, the last look, the verdict."""

from __future__ import annotations

import asyncio
import pickle
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import checks
import settled
from cluster import NET, Cluster
from faults import FAILING_DISKS, MIXES, Faults
from history import Finding, History, now
from load import Load, Shape, habits
from mount import HardMount
from nfs3 import Client

CLIENTS = 6
ANSWER_SECONDS = 60
"""How long after all faults a call may take."""

DEFAULT_STRIPE_UNIT = 1 << 20


@dataclass
class Plan:
    """What a round is made of, beside its seed."""

    program: Path
    folder: Path
    seconds: float
    nodes: int
    copies: int
    mix: str
    keep: bool


@dataclass
class Outcome:
    history: History
    found: list[Finding]
    faults: Counter[str]
    retransmissions: int
    seconds: float
    seconds_until_whole: Optional[float]
    evidence: Optional[Path]


def play(plan: Plan, seed: int) -> Outcome:
    start = now()
    rng = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix=f"stave-torture-{seed}.", dir=plan.folder))
    layout = rng.choice([(65536, 4), (65536, 2), None])
    cluster = Cluster(plan.program, folder, plan.nodes, plan.copies, rng.choice([4, 16, 64]), layout)
    history = History(layout[0] if layout else DEFAULT_STRIPE_UNIT)
    game = Round(plan, cluster, history, rng)
    evidence: Optional[Path] = None
    is_over = False
    try:
        asyncio.run(game.run())
        settled.compare_rows(cluster, history)
        settled.read_logs(cluster, history, bool(FAILING_DISKS & MIXES[plan.mix].keys()))
        found = checks.judge(history)
        is_over = True
    finally:
        cluster.kill_all()
        if not is_over:
            cluster.wipe()
    if found or plan.keep:
        evidence = folder
        keep_evidence(folder, history, found)
    else:
        cluster.wipe()
    return Outcome(
        history=history,
        found=found,
        faults=game.faults.counts,
        retransmissions=sum(client.mount.retransmissions for client in game.clients),
        seconds=now() - start,
        seconds_until_whole=game.seconds_until_whole,
        evidence=evidence,
    )


class Round:
    def __init__(self, plan: Plan, cluster: Cluster, history: History, rng: random.Random) -> None:
        self.plan = plan
        self.cluster = cluster
        self.history = history
        self.rng = rng
        self.faults = Faults(cluster, history, self._generator(), MIXES[plan.mix])
        self.clients: list[Client] = []
        self.seconds_until_whole: Optional[float] = None

    def _generator(self) -> random.Random:
        """One for each who draws: what the faults are must not depend on how often a client sent something again."""
        return random.Random(self.rng.getrandbits(60))

    async def run(self) -> None:
        up = await self.cluster.up()
        if up.status != 0:
            return self.history.find("start", f"the cluster does not start: {up.text}")
        # Logs tell the time of day, the history monotonic time.
        self.history.event(f"the cluster is up at {time.strftime('%H:%M:%S', time.gmtime())} UTC")
        for index, habit in enumerate(habits(CLIENTS, self.rng)):
            mount = HardMount(
                f"torture-{index}", self.cluster.gateways, index, f"{NET}.{101 + index}", habit, self._generator()
            )
            mount.start()
            self.clients.append(Client(index, mount))
        load = Load(Shape.draw(self.rng), self.history, self.clients, self._generator())
        try:
            await asyncio.wait_for(load.prepare(), ANSWER_SECONDS)
        except (asyncio.TimeoutError, ConnectionError, ValueError) as error:
            return self.history.find("start", f"the load cannot be prepared: {error!r}")
        load.start()
        await asyncio.sleep(1)
        await self.faults.run(self.plan.seconds)
        await self.faults.heal()
        # Some operations begin when all is well again, and must show what was answered before.
        await asyncio.sleep(2)
        await load.stop(ANSWER_SECONDS)
        if any(finding.kind == "hang" for finding in self.history.findings):
            why = await self.cluster.command("why", seconds=20)
            self.history.find("hang", f"`stave why` says: {why.text}")
        for client in self.clients:
            await client.mount.stop()
        self.seconds_until_whole = await settled.becomes_whole(self.cluster, self.history)
        await settled.look_through_gateways(self.cluster, load, self.history, self._generator())
        await settled.scrub(self.cluster, self.history)
        down = await self.cluster.down()
        if down.status != 0:
            self.history.find("stop", f"the cluster does not stop: {down.text}")


def keep_evidence(folder: Path, history: History, found: list[Finding]) -> None:
    """Beside the nodes' disks and logs: what was found, what was done to the cluster, and the history itself."""
    (folder / "found.txt").write_text("".join(f"{kind}: {text}\n" for kind, text in found))
    (folder / "faults.txt").write_text("".join(f"{when:.4f} {what}\n" for when, what in history.events))
    with (folder / "history.pickle").open("wb") as file:
        pickle.dump(history, file)
