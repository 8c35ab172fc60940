"""Data and sizes of shared files.

Every value names its write, so no search is needed: a READ that shows a write W is wrong if another change of the
unit began after W had taken effect for the last time, and had returned before the READ began. Nothing here depends on
how concurrent operations are ordered; whatever is reported contradicts every order.
"""

from __future__ import annotations

import bisect
from itertools import accumulate
from typing import Iterator, NamedTuple, Optional

from history import INFINITY, Change, DataRead, FileKey, Finding, History, SizeSeen, number_of, place_of, value_of

FINDINGS_A_READ = 3


def check(history: History) -> list[Finding]:
    found: list[Finding] = []
    for key in history.units:
        found += FileChecker(history, key).check()
    return found


class Effect(NamedTuple):
    """A change of one unit: it takes effect between `start` and `visible`, when it had returned or been seen."""

    start: float
    visible: float
    change: Change


class UnitHistory:
    """The changes of one unit in the order of their starts: a READ of a busy unit looks at those near it only."""

    def __init__(self, effects: list[Effect]) -> None:
        self.effects = sorted(effects, key=lambda effect: effect[:2])
        self.starts = [effect.start for effect in self.effects]
        zeroed = (-INFINITY if effect.change.has_value else effect.change.latest for effect in self.effects)
        self.zeroed_until = list(accumulate(zeroed, max, initial=-INFINITY))

    def last_zeros(self, until: float) -> float:
        """When the last of what makes zeros and began by `until` can have taken effect."""
        return self.zeroed_until[bisect.bisect_right(self.starts, until)]

    def changed_between(self, after: float, before: float) -> Iterator[Change]:
        """What began after one moment, and had taken effect before the other."""
        for at in range(bisect.bisect_right(self.starts, after), len(self.effects)):
            effect = self.effects[at]
            if effect.start >= before:
                return
            if effect.visible < before:
                yield effect.change


class FileChecker:
    def __init__(self, history: History, key: FileKey) -> None:
        self.key = key
        self.unit = history.units[key]
        self.stripe_unit = history.stripe_unit
        self.changes = history.changes[key]
        self.reads = history.reads[key]
        self.sizes = history.sizes[key]
        self.truncations = [change for change in self.changes if change.truncates]
        self.writes = {change.number: change for change in self.changes if not change.truncates}
        self.writes_of_unit: dict[int, list[Change]] = {}
        for change in self.writes.values():
            for unit in range(change.first, change.end_unit):
                self.writes_of_unit.setdefault(unit, []).append(change)
        self.first_seen: dict[tuple[int, int], float] = {}
        for read in self.reads:
            for unit, value in enumerate(read.values, read.first):
                if value:
                    seen = self.first_seen.get((unit, value), INFINITY)
                    self.first_seen[(unit, value)] = min(seen, read.end)
        self.unit_histories: dict[int, UnitHistory] = {}

    def check(self) -> list[Finding]:
        found: list[Finding] = []
        for read in self.reads:
            mistakes = 0
            for unit, value in enumerate(read.values, read.first):
                if value is None or mistakes == FINDINGS_A_READ:
                    continue
                finding = self._written(read, unit, value) if value else self._zeros(read, unit)
                if finding:
                    found.append(finding)
                    mistakes += 1
        for size in self._all_sizes():
            finding = self._too_small(size) or self._too_large(size)
            if finding:
                found.append(finding)
        return found

    def _history_of(self, unit: int) -> UnitHistory:
        if unit not in self.unit_histories:
            changes = self.writes_of_unit.get(unit, []) + [cut for cut in self.truncations if cut.first <= unit]
            effects = [Effect(change.start, self._visible(change, unit), change) for change in changes]
            self.unit_histories[unit] = UnitHistory(effects)
        return self.unit_histories[unit]

    def _visible(self, change: Change, unit: int) -> float:
        """When the change has surely taken effect at the unit once: it returned, or somebody saw it."""
        if not change.has_value:
            return change.returned
        value = value_of(change.number, unit - change.first)
        return min(change.returned, self.first_seen.get((unit, value), INFINITY))

    def _written(self, read: DataRead, unit: int, value: int) -> Optional[Finding]:
        write = self.writes.get(number_of(value))
        if (
            write is None
            or write.zeros
            or not write.first <= unit < write.end_unit
            or place_of(value) != unit - write.first
        ):
            what = f"{number_of(value)}.{place_of(value)}"
            return Finding("garbage", f"{self._where(read, unit)} shows {what}, which nobody wrote there")
        if write.start > read.end:
            return Finding("future", f"{self._where(read, unit)} shows {write}")
        # WRITE is idempotent in itself only (RFC 1813, 4.5): one that was sent again may be executed again until it
        # is answered, over what came between; and one that an impatient client left behind may come at any time.
        again = write.trace is None or write.trace.sends > 1
        last = write.latest if again or write.may_run_late else self._visible(write, unit)
        if last == INFINITY:
            return None
        later = next(self._history_of(unit).changed_between(last, read.start), None)
        if later is None:
            return None
        return Finding("stale", f"{self._where(read, unit)} shows {write}, over by {last:.4f}, and not {later}")

    def _zeros(self, read: DataRead, unit: int) -> Optional[Finding]:
        """Zeros come from nothing at all, from a truncation, or from a WRITE of zeros."""
        history = self._history_of(unit)
        last = history.last_zeros(read.end)
        if last == INFINITY:
            return None
        for change in history.changed_between(last, read.start):
            if change.has_value:
                since = "nothing" if last == -INFINITY else f"nothing later than {last:.4f}"
                return Finding("lost", f"{self._where(read, unit)} shows zeros, not {change}; {since} made zeros")
        return None

    def _where(self, read: DataRead, unit: int) -> str:
        return (
            f"file {self.key}: READ of client {read.client} at {read.start:.4f}-{read.end:.4f} {read.trace}: "
            f"the unit at {unit * self.unit}"
        )

    # ---- sizes

    def _all_sizes(self) -> list[SizeSeen]:
        """Those of attributes, and those that READs tell: one that is short or has EOF ends where the file does. If it
        has no data, it began behind the end, and the size is at most its place."""
        sizes = list(self.sizes)
        for read in self.reads:
            if read.eof or read.short:
                size = (read.first + len(read.values)) * self.unit
                exact = bool(read.values)
                sizes.append(SizeSeen(read.client, read.start, read.end, size, read.trace, exact))
        return sizes

    def _too_small(self, seen: SizeSeen) -> Optional[Finding]:
        last = -INFINITY
        for cut in self.truncations:
            if cut.size <= seen.size and cut.start < seen.end:
                last = max(last, cut.latest)
        if last == INFINITY:
            return None
        for change in self.changes:
            if change.size > seen.size and change.start > last and change.returned < seen.start:
                return Finding("size", f"{self._where_size(seen)} is too small after {change}")
        return None

    def _too_large(self, seen: SizeSeen) -> Optional[Finding]:
        if not seen.exact or not seen.size:
            return None
        sources = [change for change in self.changes if change.start < seen.end and self._makes(change, seen.size)]
        if not sources:
            return Finding("size", f"{self._where_size(seen)} is made by nothing")
        last = max(source.latest for source in sources)
        for cut in self.truncations:
            if cut.size < seen.size and cut.start > last and cut.returned < seen.start:
                return Finding("size", f"{self._where_size(seen)} is too large after {cut}")
        return None

    def _makes(self, change: Change, size: int) -> bool:
        """A truncation may come between the parts of a WRITE in different stripe units, and leave the first ones."""
        if change.size == size:
            return True
        at_an_edge = size % self.stripe_unit == 0
        return at_an_edge and not change.truncates and change.first * self.unit < size <= change.size

    def _where_size(self, seen: SizeSeen) -> str:
        return (
            f"file {self.key}: size {seen.size} at {seen.start:.4f}-{seen.end:.4f} of client {seen.client} {seen.trace}"
        )
