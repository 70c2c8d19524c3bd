"""Which revision of the schema this release needs, read from the names of the revisions' files: no tool is loaded for it."""

from pathlib import Path


def location() -> Path:
    """Where the revisions lie: beside the package in a wheel, at the top of the repository in a checkout."""
    package = Path(__file__).resolve().parent.parent
    packaged = package / "_migrations"
    return packaged if packaged.is_dir() else package.parent.parent / "migrations"


def newest_revision() -> str:
    """The revision that this release needs: a number of four digits, one more for each, so that they can be compared as texts."""
    found = sorted(path.name[:4] for path in (location() / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))
    if not found:
        raise RuntimeError("no migrations are packaged with this release")
    return found[-1]
