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


def cpu_of_each(pids: set[int], *, field: int = 0) -> dict[int, float]:
    """Seconds of user and system time that each of the processes has used so far; one that has ended is left out."""
    found = {}
    for pid in pids:
        try:
            found[pid] = sum(_nanoseconds(task, field) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
        except OSError:
            continue
    return found


def _nanoseconds(task: Path, field: int) -> int:
    try:
        return int((task / "schedstat").read_text().split()[field])
    except (OSError, ValueError, IndexError):
        return 0


def cpu_seconds(pids: set[int]) -> float:
    """User and system time that the processes have used so far."""
    return sum(cpu_of_each(pids).values())


def waited_seconds(pids: set[int]) -> float:
    """Time that the processes could have run, but other processes had the cores."""
    return sum(cpu_of_each(pids, field=1).values())


def spent_seconds(before: dict[int, float], after: dict[int, float]) -> float:
    """Time used between two looks by the processes of the second; one that was not there at the first began at zero."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
