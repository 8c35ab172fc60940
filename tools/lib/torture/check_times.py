"""Modification and change times: who asks after an answer is told no earlier time than that one, and another size has another
change time."""

from __future__ import annotations

from history import AttributesSeen, Finding, History


def check(history: History) -> list[Finding]:
    found: list[Finding] = []
    by_subject: dict[str, list[AttributesSeen]] = {}
    for seen in history.attributes:
        by_subject.setdefault(seen.subject, []).append(seen)
    for subject, all_seen in by_subject.items():
        for field in ("mtime", "ctime"):
            for earlier, later in _backward(all_seen, field):
                before, after = getattr(earlier.attributes, field), getattr(later.attributes, field)
                what = f"{field} of {subject} goes back by {(before - after) / 1e6:.3f} ms: {_by(earlier)}, then {_by(later)}"
                found.append(Finding("time", what))
        by_ctime: dict[int, AttributesSeen] = {}
        for seen in sorted(all_seen, key=lambda seen: seen.start):
            same = by_ctime.setdefault(seen.attributes.ctime, seen)
            if same.attributes.size != seen.attributes.size:
                sizes = f"sizes {same.attributes.size} and {seen.attributes.size}"
                what = f"{subject} has {sizes} under one ctime: {_by(same)}, and {_by(seen)}"
                found.append(Finding("change without ctime", what))
    return found


def _backward(all_seen: list[AttributesSeen], field: str) -> list[tuple[AttributesSeen, AttributesSeen]]:
    """Pairs of which the second was asked for after the first had been answered, and has an earlier time."""
    pairs = []
    answered = sorted(all_seen, key=lambda seen: seen.end)
    position = 0
    latest: AttributesSeen | None = None
    for seen in sorted(all_seen, key=lambda seen: seen.start):
        while position < len(answered) and answered[position].end < seen.start:
            candidate = answered[position]
            if latest is None or getattr(candidate.attributes, field) > getattr(latest.attributes, field):
                latest = candidate
            position += 1
        if latest is not None and getattr(seen.attributes, field) < getattr(latest.attributes, field):
            pairs.append((latest, seen))
    return pairs


def _by(seen: AttributesSeen) -> str:
    return f"{seen.start:.4f}-{seen.end:.4f} by client {seen.client} at gateway {seen.gateway + 1}"
