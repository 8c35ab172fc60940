"""Whether one order of all operations on the shared names explains all their answers (linearizability).

The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993), with Lowe's memory of what was tried
("Testing for linearizability", 2017): take an operation that no other one precedes, apply it to a model, go on with the
rest; if none fits, take back the last one. The model is both directories at once, since RENAME and LINK join them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Optional, Union

from history import INFINITY, Finding, History, Name, NameOperation
from nfs3 import Status

STEPS = 3_000_000
"""The search is exponential if it is unlucky; then a history stays undecided."""

CREATIONS = ("create guarded", "create exclusive", "create unchecked", "mkdir")


class UnknownInode(NamedTuple):
    """What an operation made whose answer does not tell the inode."""

    item: int
    is_directory: bool


Inode = Union[int, UnknownInode]
State = tuple[tuple[Name, Inode], ...]


@dataclass
class Item:
    """An operation to be placed. An optional one may have been executed or not: its client has no answer yet, or it was
    sent under two xids to two gateways, and the answer is that of one execution."""

    index: int
    operation: NameOperation
    optional: bool

    @property
    def end(self) -> float:
        return INFINITY if self.optional else self.operation.end or INFINITY


class Verdict(Enum):
    EXPLAINED = "explained"
    NO_ORDER = "no order"
    UNDECIDED = "undecided"


def check(history: History) -> list[Finding]:
    search = Search(history.names)
    verdict = search.run()
    if verdict == Verdict.EXPLAINED:
        return []
    if verdict == Verdict.UNDECIDED:
        return [Finding("undecided", f"names: no order was found in {STEPS} steps, and none is excluded")]
    without_listings = Search([op for op in history.names if op.kind != "readdir"]).run()
    text = f"no order explains the answers\n{search.report()}\n  without the listings: {without_listings.value}"
    return [Finding("names", text)]


class Model:
    """Two directories, and what each operation does to them and answers (RFC 1813, 3.3)."""

    def __init__(self, operations: list[NameOperation]) -> None:
        self.directories = {op.inode for op in operations if op.kind == "mkdir" and op.status == Status.OK and op.inode}

    def is_directory(self, inode: Inode) -> bool:
        return inode.is_directory if isinstance(inode, UnknownInode) else inode in self.directories

    def links(self, names: dict[Name, Inode], inode: Optional[int]) -> tuple[int, int]:
        """The fewest and the most names that a file can have: one of unknown inode may be it."""
        sure = sum(1 for other in names.values() if other == inode)
        unknown = sum(1 for other in names.values() if isinstance(other, UnknownInode) and not other.is_directory)
        return sure, sure + unknown

    def apply(self, state: State, item: Item) -> Optional[State]:
        """The state behind an operation, or None if its answer does not fit here."""
        names = dict(state)
        if item.optional:
            fits = self._apply_unanswered(names, item)
        elif item.operation.kind in CREATIONS:
            fits = self._create(names, item)
        else:
            fits = getattr(self, "_" + item.operation.kind)(names, item.operation)
        return tuple(sorted(names.items(), key=lambda entry: entry[0])) if fits else None

    def _apply_unanswered(self, names: dict[Name, Inode], item: Item) -> bool:
        """What can be done is done; what cannot had an error that nobody has seen."""
        op = item.operation
        current = names.get(op.name)
        if op.kind in CREATIONS:
            names.setdefault(op.name, UnknownInode(item.index, op.kind == "mkdir"))
        elif op.kind == "link":
            if op.inode is not None and self.links(names, op.inode)[1]:
                names.setdefault(op.name, op.inode)
        elif current is None:
            return True
        elif op.kind == "rename":
            self._move(names, op)
        elif op.kind in ("remove", "rmdir") and self.is_directory(current) == (op.kind == "rmdir"):
            del names[op.name]
        return True

    def _move(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        assert op.target is not None
        current, target = names[op.name], names.get(op.target)
        # Two names of one file: RENAME does nothing, and succeeds (RFC 1813, 3.3.14).
        if target == current:
            return True
        if target is not None and self.is_directory(target) != self.is_directory(current):
            return False
        del names[op.name]
        names[op.target] = current
        return True

    def _create(self, names: dict[Name, Inode], item: Item) -> bool:
        op, current = item.operation, names.get(item.operation.name)
        if op.status == Status.EXIST:
            return current is not None and (op.kind != "create unchecked" or self.is_directory(current))
        if op.status == Status.ISDIR:
            return op.kind == "create unchecked" and current is not None and self.is_directory(current)
        if op.status != Status.OK:
            return False
        if current is None:
            # An inode that has a name already is no new one.
            if op.inode is not None and self.links(names, op.inode)[0]:
                return False
            if op.kind != "mkdir" and op.links not in (1, None):
                return False
            names[op.name] = UnknownInode(item.index, op.kind == "mkdir") if op.inode is None else op.inode
            return True
        is_the_same = op.inode is None or current == op.inode or isinstance(current, UnknownInode)
        if op.kind == "create unchecked":
            return not self.is_directory(current) and is_the_same and self._has_links(names, op)
        # The second execution of EXCLUSIVE finds its own verifier, and succeeds (RFC 1813, 3.3.8).
        return op.kind == "create exclusive" and is_the_same and op.may_repeat

    def _has_links(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        least, most = self.links(names, op.inode)
        return op.links is None or least <= op.links <= most

    def _remove(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        current = names.get(op.name)
        if op.status == Status.NOENT or current is None:
            return op.status == Status.NOENT and current is None
        if op.status != Status.OK:
            return self.is_directory(current)
        if self.is_directory(current):
            return False
        del names[op.name]
        return True

    def _rmdir(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        current = names.get(op.name)
        if op.status == Status.NOENT or current is None:
            return op.status == Status.NOENT and current is None
        if op.status != Status.OK:
            return op.status == Status.NOTDIR and not self.is_directory(current)
        # The directories that are made here are always empty.
        if not self.is_directory(current):
            return False
        del names[op.name]
        return True

    def _rename(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        current = names.get(op.name)
        if op.status == Status.NOENT or current is None:
            return op.status == Status.NOENT and current is None
        if op.status == Status.OK:
            return self._move(names, op)
        target = names.get(op.target) if op.target else None
        return target is not None and self.is_directory(target) != self.is_directory(current)

    def _link(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        least, most = self.links(names, op.inode)
        if op.status == Status.EXIST:
            return op.name in names
        if op.status != Status.OK:
            return op.status in (Status.STALE, Status.NOENT) and least == 0
        if op.name in names or most == 0 or op.inode is None:
            return False
        if op.links is not None and not least + 1 <= op.links <= most + 1:
            return False
        names[op.name] = op.inode
        return True

    def _lookup(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        current = names.get(op.name)
        if op.status != Status.OK or current is None:
            return op.status == Status.NOENT and current is None
        if isinstance(current, UnknownInode) or op.inode is None:
            return True
        return current == op.inode and (self.is_directory(current) or self._has_links(names, op))

    def _getattr(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        if op.status == Status.OK:
            return self._has_links(names, op)
        return op.status == Status.STALE and self.links(names, op.inode)[0] == 0

    def _readdir(self, names: dict[Name, Inode], op: NameOperation) -> bool:
        if op.status != Status.OK or op.entries is None:
            return False
        mine = {name: inode for (directory, name), inode in names.items() if directory == op.name[0]}
        shown = dict(op.entries)
        if len(shown) != len(op.entries) or shown.keys() != mine.keys():
            return False
        # Its own name, "." and ".." of each directory in it.
        links = 2 + sum(1 for inode in mine.values() if self.is_directory(inode))
        if op.directory_links not in (links, None):
            return False
        return all(isinstance(inode, UnknownInode) or inode == shown[name] for name, inode in mine.items())


class Event(NamedTuple):
    time: float
    is_return: bool
    item: Item


class Search:
    """Calls and returns lie in a doubly linked list by time: what can come next are the calls before its first return.
    Whoever is placed leaves the list with both, and comes back to its places when it is taken back.
    """

    def __init__(self, operations: list[NameOperation]) -> None:
        self.model = Model(operations)
        self.items: list[Item] = []
        for operation in operations:
            self._add(operation, operation.end is None)
            if operation.may_repeat and operation.changes:
                self._add(operation, True)
        self.events = [Event(item.operation.start, False, item) for item in self.items]
        self.events += [Event(item.end, True, item) for item in self.items if item.end < INFINITY]
        # A call at the very time of a return counts as concurrent with it.
        self.events.sort(key=lambda event: event[:2])
        self.return_of = {event.item.index: at for at, event in enumerate(self.events) if event.is_return}
        self.longest: tuple[int, State, list[Item]] = (0, (), [])

    def _add(self, operation: NameOperation, optional: bool) -> None:
        self.items.append(Item(len(self.items), operation, optional))

    def run(self) -> Verdict:
        count = len(self.events)
        # The list's two ends lie behind the events; nothing that is placed ever touches them.
        head, tail = count, count + 1
        following = [at + 1 for at in range(count)] + [0, tail]
        preceding = [at - 1 for at in range(count)] + [head, count - 1]
        if count == 0:
            return Verdict.EXPLAINED
        following[count - 1], preceding[0] = tail, head

        def unlink(at: int) -> None:
            following[preceding[at]] = following[at]
            preceding[following[at]] = preceding[at]

        def relink(at: int) -> None:
            following[preceding[at]] = at
            preceding[following[at]] = at

        missing = sum(1 for item in self.items if not item.optional)
        state: State = ()
        placed = 0
        stack: list[tuple[int, State, int]] = []
        tried: set[tuple[int, State]] = {(placed, state)}
        at = following[head]
        for _ in range(STEPS):
            if missing == 0:
                return Verdict.EXPLAINED
            if at != tail and not self.events[at].is_return:
                item = self.events[at].item
                after = self.model.apply(state, item)
                if after is not None and (placed | 1 << item.index, after) not in tried:
                    stack.append((at, state, placed))
                    placed, state = placed | 1 << item.index, after
                    tried.add((placed, state))
                    if item.index in self.return_of:
                        unlink(self.return_of[item.index])
                    unlink(at)
                    missing -= not item.optional
                    if len(stack) > self.longest[0]:
                        self.longest = (len(stack), state, [self.events[place].item for place, _, _ in stack[-12:]])
                    at = following[head]
                else:
                    at = following[at]
            elif stack:
                at, state, placed = stack.pop()
                item = self.events[at].item
                relink(at)
                if item.index in self.return_of:
                    relink(self.return_of[item.index])
                missing += not item.optional
                at = following[at]
            else:
                return Verdict.NO_ORDER
        return Verdict.UNDECIDED

    def report(self) -> str:
        """The longest order that fits, and what was under way where it ends."""
        depth, state, last = self.longest
        lines = [f"  the longest order that fits has {depth} operations; then there is {dict(state)}; its last ones:"]
        lines += [f"    {item.operation}" for item in last]
        end = max((item.operation.start for item in last), default=0.0)
        around = [
            item.operation
            for item in self.items
            if not item.optional and item.operation.start < end + 0.8 and item.end > end - 0.5
        ]
        lines.append("  around its end:")
        lines += [f"    {operation}" for operation in sorted(around, key=lambda operation: operation.start)[:40]]
        return "\n".join(lines)
