"""CPU time of a process and all its descendants, in nanoseconds' resolution, from /proc/*/task/*/schedstat."""

from pathlib import Path


def _parent(pid: str) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def family(root: int) -> set[int]:
    """The process and everything that descends from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = _parent(entry.name)
            except OSError:
                continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_seconds(pids: set[int]) -> float:
    """User and system time that the processes have used so far."""
    return _summed(pids, 0)


def waited_seconds(pids: set[int]) -> float:
    """Time that the processes could have run, but other processes had the cores."""
    return _summed(pids, 1)


def _summed(pids: set[int], field: int) -> float:
    total = 0
    for pid in pids:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[field])
        except (OSError, ValueError, IndexError):
            continue
    return total / 1e9
