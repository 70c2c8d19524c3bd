"""The documents tell the truth: paths exist, commands exist, generated pages are as generated, nothing private is in them."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rollhouse.cli.root import whole

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")])
WORDS = "|".join(["py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npmjs", r"deb\." + "debian", "proxy" + r"\.golang"])


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_in_a_page_exists(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`((?:src|tests|docs|benchmarks|migrations|helm|k8s|loadtests)/[\w./-]+)`", text))
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}

    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [target for target in linked if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_rollhouse_command_in_a_page_exists(page: Path) -> None:
    ours = re.sub(r"^\s*helm .*$|^\s*kubectl .*?(?: -- |$)", "", page.read_text(), flags=re.MULTILINE)  # there it names a release or a namespace
    for line in re.findall(r"rollhouse ((?:[a-z-]+ ?)+)", ours):
        group: click.Command = whole()
        for word in line.split():
            if not isinstance(group, click.Group):
                break
            if word not in group.commands:
                assert group.name == "rollhouse", f"rollhouse {line}"
                assert word in ("is", "and", "says", "for", "has"), f"rollhouse {line}"
                break
            group = group.commands[word]


@pytest.mark.parametrize("name", ["tolerances", "performance", "kubernetes"])
def test_a_generated_page_is_as_generated(name: str) -> None:
    made = subprocess.run([sys.executable, str(ROOT / "docs" / f"{name}.py")], capture_output=True, text=True, check=True)

    assert (ROOT / "docs" / f"{name}.md").read_text() == made.stdout, f"cure: python docs/{name}.py > docs/{name}.md"


def test_the_picture_of_the_scaling_is_as_measured() -> None:
    made = subprocess.run([sys.executable, str(ROOT / "docs" / "kubernetes.py"), "--picture"], capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "pictures" / "scaling.svg").read_text() == made.stdout


def test_no_tracked_file_names_a_registry_or_a_path_of_one_machine() -> None:
    offenders = []
    for path in tracked():
        if not path.exists():
            continue
        text = path.read_bytes().decode(errors="replace")
        if re.search(WORDS, text) or re.search(r"(^|[^A-Za-z0-9_.])/(work|farm|root)/", text):
            offenders.append(str(path.relative_to(ROOT)))
    assert offenders == []


@pytest.mark.threat("T46")
def test_the_locks_pin_every_package_with_hashes() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        packages = re.findall(r"^[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==", text, flags=re.MULTILINE)
        assert packages
        assert "index-url" not in text
        assert len(packages) <= text.count("--hash=sha256:")


def test_no_sql_is_written_in_the_edge_or_the_command_line() -> None:
    for room in ("http", "simulator", "scim", "limits"):
        for path in (ROOT / "src" / "rollhouse" / room).glob("*.py"):
            assert not re.search(r'"(SELECT|INSERT|UPDATE|DELETE) ', path.read_text()), path


def test_functions_and_files_stay_small() -> None:
    import ast

    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 70, f"{path}: {node.name}"


def test_every_file_says_in_its_first_line_what_lives_there() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert path.read_text().startswith('"""'), path
