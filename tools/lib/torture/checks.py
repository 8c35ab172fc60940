"""All checks of a history. Each is sound: what it reports contradicts one file system, however concurrent calls fell."""

from __future__ import annotations

import check_directories
import check_documents
import check_files
import check_names
import check_times
from history import Finding, History


def judge(history: History) -> list[Finding]:
    found = check_files.check(history) + check_names.check(history) + check_documents.check(history)
    return history.findings + found + check_directories.check(history) + check_times.check(history)
