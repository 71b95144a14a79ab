"""What /proc knows about processes."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    return _stat(pid)[:1] in ([], ["Z"])


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    parents = {int(path.name): int(stat[1]) for path in PROC.glob("[0-9]*") if (stat := _stat(int(path.name)))}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def environment(pid: int) -> set[str]:
    """Its variables, as ``NAME=value``."""
    return set((PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0"))


def arguments(pid: int) -> list[str]:
    """What it was started with."""
    return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")


def _stat(pid: int) -> list[str]:
    """State, parent and so on; empty when there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
