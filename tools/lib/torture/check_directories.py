"""Listings of the large directory, and weak cache consistency data of the shared ones."""

from __future__ import annotations

from history import Finding, History, NameLife, WccBefore


def check(history: History) -> list[Finding]:
    return check_listings(history) + check_wcc(history)


def check_listings(history: History) -> list[Finding]:
    """What lived from before a listing until after it is in it once; what did not live at any time of it is not.
    What came or went meanwhile may be there or not (RFC 1813, 3.3.16), but not twice: its cookie is its place.
    """
    found: list[Finding] = []
    for listing in history.listings:
        where = f"listing of client {listing.client} at {listing.start:.4f}-{listing.end:.4f}"
        inodes: dict[bytes, list[int]] = {}
        for name, inode in listing.entries:
            inodes.setdefault(name, []).append(inode)

        def tell(name: bytes, what: str) -> None:
            found.append(Finding("listing", f"{where}: {name!r} {what}"))

        for name, inode in history.permanent.items():
            if inodes.get(name) != [inode]:
                tell(name, f"has inodes {inodes.get(name)}, not {inode} once")
        for name, shown in inodes.items():
            if name in (b".", b"..") or name in history.permanent:
                continue
            life = history.lives.get(name)
            if life is None:
                tell(name, "was never made")
                continue
            if len(shown) > 1:
                tell(name, f"is there {len(shown)} times")
            if life.make_start > listing.end or (life.end_end is not None and life.end_end < listing.start):
                tell(name, f"is there, and lives {_span(life)}")
            if life.inode and shown[0] != life.inode:
                tell(name, f"has inode {shown[0]}, not {life.inode}")
        for name, life in history.lives.items():
            was_made = life.make_end is not None and life.make_end < listing.start
            stays = life.end_start is None or life.end_start > listing.end
            if was_made and stays and name not in inodes:
                tell(name, f"is missing, and lives {_span(life)}")
    return found


def _span(life: NameLife) -> str:
    times = (life.make_start, life.make_end, life.end_start, life.end_end)
    begin_from, begin_until, end_from, end_until = ("?" if time is None else f"{time:.4f}" for time in times)
    return f"from {begin_from}-{begin_until} to {end_from}-{end_until}"


def check_wcc(history: History) -> list[Finding]:
    """By the attributes from before and after its change a client decides whether its cache of a directory still holds
    (RFC 1813, 2.6). So the changes of one directory must form a chain: nobody's "before" lies inside another's change,
    and where it is not another's "after", a change lies between that told nothing of itself.
    """
    found: list[Finding] = []
    for number, all_seen in history.wcc.items():
        # Of a call that may have been executed twice the attributes are those of one execution.
        sure = [seen for seen in all_seen if seen.operation.status == 0 and not seen.operation.may_repeat]
        whole = [(seen.before, seen.after, seen.operation) for seen in sure if seen.before and seen.after]
        mine = [op for op in history.names if op.changes and number in op.touched]
        changes = sum((op.status in (0, None)) + op.may_repeat for op in mine)
        silent = changes - len(whole)
        # LINK and RENAME of a file onto itself change nothing.
        chain = sorted((link for link in whole if link[0].ctime != link[1].ctime), key=lambda link: link[1].ctime)
        gaps = 0
        for (_, after, first), (before, _, second) in zip(chain, chain[1:]):
            if before.ctime < after.ctime:
                what = f"{second} tells of {before} before itself, and {first} of {after} after itself"
                found.append(Finding("wcc", f"directory {number}: {what}"))
            elif before != WccBefore(after.size, after.mtime, after.ctime):
                gaps += 1
        if gaps > silent:
            what = f"{gaps} gaps between changes, and only {silent} changes that tell no attributes"
            found.append(Finding("wcc", f"directory {number}: {what}"))
    return found
