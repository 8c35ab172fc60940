"""What a round records: every operation with the times of its call and its return, by one monotonic clock.

The checks see nothing else, so a history that was kept can be judged again, or falsified (`falsify.py`). An operation
takes effect at one moment between its call and its return; one without a return may take effect at any later time.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Union

INFINITY = float("inf")

FileKey = Union[int, str]
"""A shared file: its number, or "bulk" for the large one."""

Name = tuple[int, bytes]
"""A name in one of the shared directories: the directory's number, and the name."""


def now() -> float:
    return time.monotonic()


class Attributes(NamedTuple):
    type: int
    links: int
    size: int
    used: int
    inode: int
    mtime: int
    ctime: int


class WccBefore(NamedTuple):
    """wcc_attr: what a file was before the operation (RFC 1813, 2.6)."""

    size: int
    mtime: int
    ctime: int


Wcc = tuple[Optional[WccBefore], Optional[Attributes]]


@dataclass
class CallTrace:
    """How one call fared between the client and the gateways."""

    procedure: str
    start: float = field(default_factory=now)
    last_sent: float = 0.0
    sends: int = 0
    jukeboxes: int = 0
    lost_connection: bool = False
    may_run_late: bool = False
    """A gateway that may live still has the call, so it may be executed after its answer, or once more."""
    gateways: list[int] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.events.append((now(), text))

    def sent(self, gateway: int) -> None:
        self.sends += 1
        self.last_sent = now()
        self.gateways.append(gateway)
        self.note(f"sent to gateway {gateway + 1}")

    def sent_away(self) -> None:
        self.jukeboxes += 1
        self.note("JUKEBOX")

    def lose_connection(self, gateway: int) -> None:
        self.lost_connection = True
        self.note(f"lost the connection to gateway {gateway + 1}")

    def __str__(self) -> str:
        """Only what is out of the ordinary: a call that was sent once and answered says nothing."""
        if len(self.events) < 2:
            return ""
        return "[" + "; ".join(f"{when:.3f} {what}" for when, what in self.events) + "]"


@dataclass
class Change:
    """A WRITE to a shared file, or a truncation (SETATTR of the size, or CREATE UNCHECKED with size 0).

    A WRITE fills each of its units with the value `value_of(number, k)`; one of zeros cannot be told from a hole.
    """

    number: int
    client: int
    start: float
    size: int
    """What the file's size is at least (WRITE) or exactly (truncation) when it has taken effect."""
    first: int
    """The first unit that it changes; a truncation changes all from there on."""
    end_unit: int
    truncates: bool = False
    zeros: bool = False
    end: Optional[float] = None
    trace: Optional[CallTrace] = None
    may_run_late: bool = False

    @property
    def has_value(self) -> bool:
        return not self.truncates and not self.zeros

    @property
    def returned(self) -> float:
        return INFINITY if self.end is None else self.end

    @property
    def latest(self) -> float:
        """When it has taken effect for the last time."""
        return INFINITY if self.may_run_late else self.returned

    def __str__(self) -> str:
        what = f"truncation to {self.size}" if self.truncates else f"WRITE {self.number} (size {self.size})"
        until = "?" if self.end is None else f"{self.end:.4f}"
        return f"{what} of client {self.client} at {self.start:.4f}-{until} {self.trace or ''}"


@dataclass
class DataRead:
    """A READ: one value a unit; None where a unit was torn, which was told at once."""

    client: int
    start: float
    end: float
    first: int
    values: list[Optional[int]]
    short: bool
    eof: bool
    trace: CallTrace


@dataclass
class SizeSeen:
    """A file's size in attributes, or as the end of a READ tells it (`exact` or an upper bound)."""

    client: int
    start: float
    end: float
    size: int
    trace: CallTrace
    exact: bool = True


@dataclass
class NameOperation:
    """An operation on the two shared directories. Its result is None until it has returned."""

    client: int
    start: float
    kind: str
    name: Name
    target: Optional[Name] = None
    end: Optional[float] = None
    status: Optional[int] = None
    inode: Optional[int] = None
    links: Optional[int] = None
    entries: Optional[list[tuple[bytes, int]]] = None
    directory_links: Optional[int] = None
    trace: Optional[CallTrace] = None
    may_repeat: bool = False
    """It was sent away by one gateway and answered by another, so it may have been executed twice."""

    CHANGES = frozenset(
        ["create guarded", "create exclusive", "create unchecked", "mkdir", "remove", "rmdir", "rename", "link"]
    )

    @property
    def changes(self) -> bool:
        return self.kind in self.CHANGES

    @property
    def touched(self) -> set[int]:
        """The directories that it changes."""
        return {self.name[0]} | ({self.target[0]} if self.target else set())

    def __str__(self) -> str:
        until = "?" if self.end is None else f"{self.end:.4f}"
        target = f" to {self.target}" if self.target else ""
        seen = ", ".join(
            f"{key} {value}"
            for key, value in (("inode", self.inode), ("links", self.links), ("entries", self.entries))
            if value is not None
        )
        return (
            f"{self.start:.4f}-{until} client {self.client}: {self.kind} {self.name}{target}"
            f" -> status {self.status} {seen} {self.trace or ''}"
        )


@dataclass
class Replacement:
    """A new version of the document: written under another name, committed, and renamed over it."""

    version: int
    client: int
    start: float
    end: Optional[float] = None
    may_run_late: bool = False

    @property
    def returned(self) -> float:
        return INFINITY if self.end is None else self.end


@dataclass
class DocumentRead:
    """LOOKUP of the document, and READs of its pieces under the handle: the versions in each, or the READ's status."""

    client: int
    start: float
    end: float = 0.0
    exists: bool = False
    size: Optional[int] = None
    pieces: list[Union[int, list[int]]] = field(default_factory=list)
    short: bool = False

    @property
    def versions(self) -> set[int]:
        return {v for piece in self.pieces if isinstance(piece, list) for v in piece if v}


@dataclass
class NameLife:
    """A name in the large directory, which one client makes and removes: when it came, and when it went."""

    make_start: float
    make_end: Optional[float] = None
    end_start: Optional[float] = None
    end_end: Optional[float] = None
    inode: Optional[int] = None


@dataclass
class Listing:
    """All pages of READDIR or READDIRPLUS of the large directory."""

    client: int
    start: float
    end: float
    entries: list[tuple[bytes, int]]


@dataclass
class AttributesSeen:
    subject: str
    is_directory: bool
    client: int
    gateway: int
    start: float
    end: float
    attributes: Attributes


@dataclass
class WccSeen:
    operation: NameOperation
    before: Optional[WccBefore]
    after: Optional[Attributes]


class Finding(NamedTuple):
    """Something that no correct file system shows."""

    kind: str
    text: str


@dataclass
class History:
    stripe_unit: int
    """Bytes; a truncation may come between the parts of a WRITE in different stripe units."""
    units: dict[FileKey, int] = field(default_factory=dict)
    """Bytes to a unit, the smallest part of a file that WRITEs fill with one value."""
    changes: dict[FileKey, list[Change]] = field(default_factory=dict)
    reads: dict[FileKey, list[DataRead]] = field(default_factory=dict)
    sizes: dict[FileKey, list[SizeSeen]] = field(default_factory=dict)
    names: list[NameOperation] = field(default_factory=list)
    wcc: dict[int, list[WccSeen]] = field(default_factory=dict)
    replacements: list[Replacement] = field(default_factory=list)
    document_reads: list[DocumentRead] = field(default_factory=list)
    document_size: int = 0
    permanent: dict[bytes, int] = field(default_factory=dict)
    """Names in the large directory that are there from before the load to the end, with their inodes."""
    lives: dict[bytes, NameLife] = field(default_factory=dict)
    listings: list[Listing] = field(default_factory=list)
    attributes: list[AttributesSeen] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """What was wrong by itself, whatever else happened: told when it was seen."""
    events: list[tuple[float, str]] = field(default_factory=list)
    """What was done to the cluster."""
    operations: Counter[str] = field(default_factory=Counter)

    def event(self, text: str) -> None:
        self.events.append((now(), text))

    def find(self, kind: str, text: str) -> None:
        self.findings.append(Finding(kind, f"at {now():.4f}: {text}"))

    def add_file(self, key: FileKey, unit: int) -> None:
        self.units[key] = unit
        self.changes[key], self.reads[key], self.sizes[key] = [], [], []


def value_of(number: int, k: int) -> int:
    """The value of the k-th unit of WRITE `number`: each names its write and its place in it."""
    return number << 20 | k


def number_of(value: int) -> int:
    return value >> 20


def place_of(value: int) -> int:
    return value & 0xFFFFF
