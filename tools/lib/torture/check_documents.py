"""The document that is replaced: one version as a whole, never one from before a version that was there already."""

from __future__ import annotations

from typing import Optional

from history import INFINITY, DocumentRead, Finding, History, Replacement


def check(history: History) -> list[Finding]:
    checker = DocumentChecker(history)
    found: list[Finding] = []
    for read in history.document_reads:
        wrong = checker.missing(read) if not read.exists else checker.wrong(read)
        if wrong:
            shown = f"{read.pieces}, size {read.size}" if read.exists else "NOENT"
            found.append(
                Finding("document", f"client {read.client} at {read.start:.4f}-{read.end:.4f}: {shown}: {wrong}")
            )
    return found


class DocumentChecker:
    def __init__(self, history: History) -> None:
        self.size = history.document_size
        self.replacements = history.replacements
        self.by_version = {replacement.version: replacement for replacement in history.replacements}
        self.first_seen: dict[int, float] = {}
        for read in history.document_reads:
            for version in read.versions:
                self.first_seen[version] = min(self.first_seen.get(version, INFINITY), read.end)

    def visible(self, replacement: Replacement) -> float:
        return min(replacement.returned, self.first_seen.get(replacement.version, INFINITY))

    def missing(self, read: DocumentRead) -> Optional[str]:
        if any(self.visible(replacement) < read.start for replacement in self.replacements):
            return "it was put there before, and is only ever replaced"
        return None

    def wrong(self, read: DocumentRead) -> Optional[str]:
        if len(read.versions) > 1:
            return "two versions in one file"
        if read.size is not None and read.size != self.size:
            return f"the size is {self.size} of every version"
        # What a handle stands for is removed when another version takes its name: READs then give STALE, or an end.
        if not read.versions:
            return (
                None if self._replaced(read.start, read.end, None) else "nothing of it is there, and nobody replaced it"
            )
        version = next(iter(read.versions))
        shown = self.by_version.get(version)
        if shown is None:
            return "nobody put that version there"
        if shown.start > read.end:
            return "that version came later"
        if not shown.may_run_late:
            over = self.visible(shown)
            for other in self.replacements:
                if other.start > over and self.visible(other) < read.start:
                    return f"version {other.version} had replaced it by {self.visible(other):.4f}"
        is_whole = not read.short and all(piece == [version] for piece in read.pieces)
        if not is_whole and not self._replaced(shown.start, read.end, shown):
            return "it is not whole, and nobody replaced it"
        return None

    def _replaced(self, since: float, until: float, own: Optional[Replacement]) -> bool:
        return any(
            other is not own and other.start < until and (other.returned > since or other.may_run_late)
            for other in self.replacements
        )
