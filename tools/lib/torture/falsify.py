"""Does the judge see what it is to see? Changes a history that holds in one place at a time, and judges it again.

Not every change is a lie: what a READ shows may be explained by another order of concurrent operations. So a share
has to be seen, not all.
"""

from __future__ import annotations

import pickle
import random
from collections import Counter
from typing import Callable

import check_directories
import check_documents
import check_files
import check_names
from history import DataRead, Finding, History, NameOperation, number_of, value_of

SHARE_TO_SEE = 0.9
TRIES_EACH = 4
DRAWS = 50

Lie = Callable[[History, random.Random], bool]
Check = Callable[[History], list[Finding]]


def old_data(history: History, rng: random.Random) -> bool:
    """A READ shows a write that another one had overwritten before it began."""
    read, position, value = _unit_read(history, rng)
    unit = read.first + position
    key = next(key for key, reads in history.reads.items() if read in reads)
    older = [
        write
        for write in history.changes[key]
        if write.has_value and write.first <= unit < write.end_unit and write.number != number_of(value)
    ]
    shown = next(write for write in history.changes[key] if write.number == number_of(value))
    older = [write for write in older if write.returned < shown.start and shown.returned < read.start]
    older = [write for write in older if write.trace and write.trace.sends == 1]
    if not older:
        return False
    first = min(older, key=lambda write: write.start)
    read.values[position] = value_of(first.number, unit - first.first)
    return True


def lost_data(history: History, rng: random.Random) -> bool:
    """A READ shows zeros where a write had been answered."""
    read, position, _ = _unit_read(history, rng)
    read.values[position] = 0
    return True


def _unit_read(history: History, rng: random.Random) -> tuple[DataRead, int, int]:
    reads = [read for all_reads in history.reads.values() for read in all_reads if any(read.values)]
    read = rng.choice(reads[len(reads) // 3 :])
    position = rng.choice([at for at, value in enumerate(read.values) if value])
    return read, position, read.values[position] or 0


def small_size(history: History, rng: random.Random) -> bool:
    """GETATTR shows a size without the last kilobyte."""
    seen = [size for sizes in history.sizes.values() for size in sizes if size.size > 1024]
    if not seen:
        return False
    rng.choice(seen).size -= 1024
    return True


def _some(history: History, rng: random.Random, kind: str, status: int) -> NameOperation | None:
    fit = [op for op in history.names if op.kind == kind and op.status == status]
    return rng.choice(fit) if fit else None


def name_missing(history: History, rng: random.Random) -> bool:
    """READDIR leaves out a name."""
    fit = [op for op in history.names if op.entries]
    if not fit:
        return False
    (rng.choice(fit).entries or []).pop()
    return True


def name_twice(history: History, rng: random.Random) -> bool:
    """READDIR shows a name twice."""
    fit = [op for op in history.names if op.entries]
    if not fit:
        return False
    entries = rng.choice(fit).entries or []
    entries.append(entries[0])
    return True


def _answer_otherwise(history: History, rng: random.Random, op: str, status: int, told: int) -> bool:
    """One operation of this kind, which had this status, tells another one."""
    operation = _some(history, rng, op, status)
    if operation is None:
        return False
    operation.status = told
    return True


def name_not_found(history: History, rng: random.Random) -> bool:
    """LOOKUP does not find what is there."""
    return _answer_otherwise(history, rng, "lookup", 0, 2)


def executed_again(history: History, rng: random.Random) -> bool:
    """REMOVE tells its second execution's NOENT, where its first one had removed the name."""
    return _answer_otherwise(history, rng, "remove", 0, 2)


def removed_nothing(history: History, rng: random.Random) -> bool:
    """REMOVE succeeds without a name."""
    return _answer_otherwise(history, rng, "remove", 2, 0)


def more_links(history: History, rng: random.Random) -> bool:
    """GETATTR shows a link too many."""
    operation = _some(history, rng, "getattr", 0)
    if operation is None or operation.links is None:
        return False
    operation.links += 1
    return True


def old_document(history: History, rng: random.Random) -> bool:
    """The document is the first version again, at the end."""
    read = next((read for read in reversed(history.document_reads) if read.versions), None)
    if read is None or len(history.replacements) < 3:
        return False
    read.pieces = [[history.replacements[0].version] for _ in read.pieces]
    return True


def mixed_document(history: History, rng: random.Random) -> bool:
    """A piece of the document is of another version."""
    reads = [read for read in history.document_reads if read.versions]
    if not reads:
        return False
    read = rng.choice(reads)
    other = next((r.version for r in history.replacements if r.version not in read.versions), None)
    if other is None:
        return False
    read.pieces[-1] = [other]
    return True


def name_not_listed(history: History, rng: random.Random) -> bool:
    """A listing leaves out a name that stays all the while."""
    listing, name = rng.choice(history.listings), rng.choice(list(history.permanent))
    listing.entries = [entry for entry in listing.entries if entry[0] != name]
    return True


def wcc_from_before(history: History, rng: random.Random) -> bool:
    """A change tells a directory's attributes from before the change that came before it."""
    number = rng.choice(list(history.wcc))
    fit = [
        seen
        for seen in history.wcc[number]
        if seen.operation.status == 0
        and seen.before
        and seen.after
        and not seen.operation.may_repeat
        and seen.before.ctime != seen.after.ctime
    ]
    fit.sort(key=lambda seen: seen.after.ctime if seen.after else 0)
    if len(fit) < 2:
        return False
    at = rng.randrange(1, len(fit))
    fit[at].before = fit[at - 1].before
    return True


LIES: list[tuple[Lie, Check]] = [
    (old_data, check_files.check),
    (lost_data, check_files.check),
    (small_size, check_files.check),
    (name_missing, check_names.check),
    (name_twice, check_names.check),
    (name_not_found, check_names.check),
    (executed_again, check_names.check),
    (removed_nothing, check_names.check),
    (more_links, check_names.check),
    (old_document, check_documents.check),
    (mixed_document, check_documents.check),
    (name_not_listed, check_directories.check),
    (wcc_from_before, check_directories.check),
]


def names() -> list[str]:
    return [_name(lie) for lie, _ in LIES]


def _name(lie: Lie) -> str:
    return lie.__name__.replace("_", " ")


def falsify(history: History, seed: int) -> tuple[Counter[str], Counter[str]]:
    """How often each lie was told, and how often it was seen. A search that gave up has not seen it."""
    rng = random.Random(seed)
    told: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    # Several times as fast as a deep copy.
    true = pickle.dumps(history)
    for lie, check in LIES:
        name = _name(lie)
        for _ in range(TRIES_EACH):
            false: History = pickle.loads(true)
            # What was drawn may not be fit for it.
            if any(lie(false, rng) for _ in range(DRAWS)):
                told[name] += 1
                seen[name] += any(finding.kind != "undecided" for finding in check(false))
    return told, seen
