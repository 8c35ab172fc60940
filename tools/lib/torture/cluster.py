"""A cluster of its own: its configuration, its processes, and the operator's commands.

Nodes are started here as `stave cluster up` starts them, so that they can be killed and started without a wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple, Optional

from history import now

NET = "127.0.61"
"""Gateways are at .11 and on, the load's clients at .101 and on; tools/failover uses 127.0.60."""

EXPORT = "/images"


class Answer(NamedTuple):
    """What a command of the operator gave; the status is None if it did not end in time."""

    status: Optional[int]
    output: str
    errors: str

    @property
    def text(self) -> str:
        return (self.output + self.errors).strip()


class Cluster:
    def __init__(
        self,
        program: Path,
        folder: Path,
        nodes: int,
        copies: int,
        data_groups: int,
        layout: Optional[tuple[int, int]],
    ) -> None:
        """`layout` is the stripe unit in bytes and the stripe count, or None for the program's own."""
        self.program = program
        self.folder = folder
        self.copies = copies
        self.ids = list(range(1, nodes + 1))
        self.gateways = [f"{NET}.{10 + node}" for node in self.ids]
        self.config = folder / "cluster.yaml"
        self.data = folder / "data"
        # A user's last cluster is remembered there, and is not to be this one.
        self.environment = dict(os.environ, XDG_STATE_HOME=str(folder))
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        lines = [
            "name: torture",
            f"data: {self.data}",
            f"replication: {{ copies: {copies} }}",
            f"placement: {{ dataGroups: {data_groups} }}",
            "limits: { portmapPort: 0, diskBytes: 8GiB }",
            f"exports: [{{ path: {EXPORT}, clients: [127.0.0.0/8], squash: none }}]",
        ]
        if layout:
            lines.append(f"layout: {{ stripeUnit: {layout[0] >> 10}KiB, stripeCount: {layout[1]} }}")
        lines.append("nodes:")
        for node, address in zip(self.ids, self.gateways):
            lines.append(f"  - {{ id: {node}, address: {address}, disks: [{{ path: node-{node}/disk }}] }}")
        self.config.write_text("\n".join(lines) + "\n")

    def disk(self, node: int) -> Path:
        return self.data / f"node-{node}" / "disk"

    def log(self, node: int) -> Path:
        return self.data / "log" / f"node-{node}.log"

    async def command(self, *words: str, seconds: float = 60) -> Answer:
        """Runs `stave WORDS` on this cluster."""
        return await self._run(*words, "--config", str(self.config), seconds=seconds)

    async def up(self) -> Answer:
        return await self._run("cluster", "up", "--wait", "60", str(self.config), seconds=120)

    async def down(self) -> Answer:
        return await self._run("cluster", "down", str(self.config), seconds=60)

    async def _run(self, *words: str, seconds: float) -> Answer:
        process = await asyncio.create_subprocess_exec(
            str(self.program),
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # The terminal's interrupt is for the tool, which ends the cluster in order.
            start_new_session=True,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), seconds)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            return Answer(None, "", f"`stave {' '.join(words)}` did not end within {seconds:.0f} s")
        return Answer(process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))

    async def groups(self) -> list[dict[str, Any]]:
        """The placement groups, or none while no node answers."""
        answer = await self.command("pg", "list", "--json", seconds=30)
        try:
            return list(json.loads(answer.output))
        except ValueError:
            return []

    async def is_whole(self) -> bool:
        """Whether all groups serve and have all copies."""
        groups = await self.groups()
        return bool(groups) and all(
            len(group["inSync"]) >= self.copies and not group["learners"] and group["state"] == "serving"
            for group in groups
        )

    def process(self, node: int) -> Optional[int]:
        """The node's process. The start time beside its number tells it from another that got the number since."""
        try:
            number, started = (self.data / "run" / f"node-{node}.pid").read_text().split()
            fields = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, ValueError):
            return None
        return int(number) if fields[19] == started and fields[0] not in "ZX" else None

    def has_ended(self, node: int) -> bool:
        child = self.children.get(node)
        return self.process(node) is None and (child is None or child.poll() is not None)

    def signal(self, node: int, number: signal.Signals) -> bool:
        process = self.process(node)
        if process is None:
            return False
        try:
            os.kill(process, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self, node: int) -> bool:
        killed = self.signal(node, signal.SIGKILL)
        child = self.children.get(node)
        # A child that was started a moment ago has no file with its number yet.
        if child is not None:
            child.kill()
            child.wait()
        return killed

    def launch(self, node: int, disk_faults: Optional[str] = None) -> bool:
        """Starts a node and waits for nothing; False while the one before has not ended."""
        if not self.has_ended(node):
            return False
        environment = dict(self.environment)
        if disk_faults:
            environment["STAVE_DISK_FAULTS"] = disk_faults
        self.log(node).parent.mkdir(parents=True, exist_ok=True)
        with self.log(node).open("ab") as log:
            self.children[node] = subprocess.Popen(
                ["stave", "node", "--config", str(self.config), "--id", str(node)],
                executable=self.program,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        return True

    def kill_all(self) -> None:
        for node in self.ids:
            self.kill(node)
        end = now() + 5
        while now() < end and not all(self.has_ended(node) for node in self.ids):
            time.sleep(0.01)

    def wipe(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
