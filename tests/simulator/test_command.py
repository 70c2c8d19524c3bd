"""The command's contract: exit statuses, where the secret comes from, what is printed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rollhouse.cli import simulate as command
from rollhouse.cli.simulate import SECRET_VARIABLE, simulate
from rollhouse.simulator import Report, ScenarioRequest
from rollhouse.simulator.tally import Incompatible, Tally

NOWHERE = "http://127.0.0.1:9/scim"


def fake_play(monkeypatch: pytest.MonkeyPatch, *, incompatible: int = 0) -> list[ScenarioRequest]:
    requests: list[ScenarioRequest] = []

    def play(request: ScenarioRequest) -> Report:
        requests.append(request)
        tally = Tally()
        for _ in range(incompatible):
            tally.record_incompatible(Incompatible("match_user", "GET", "/Users", "404", "status 404"))
        settings = {"scenario": request.scenario, "seed": request.seed, "run_tag": request.run_tag}
        return Report(**settings, dialect="legacy", profile={}, tally=tally, writes_in_second_incremental=0)

    monkeypatch.setattr(command, "play", play)
    return requests


def test_json_is_exactly_one_object_and_the_option_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = fake_play(monkeypatch)
    result = CliRunner().invoke(simulate, ["entra", "--url", NOWHERE, "--secret", " s ", "--seed", "7", "--json"])

    assert result.exit_code == 0
    assert json.loads(result.stdout)["converged"] is True
    assert "warning" in result.stderr
    assert (requests[0].secret, requests[0].seed) == ("s", 7)
    assert "secret" not in repr(requests[0])


def test_findings_exit_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_play(monkeypatch, incompatible=1)
    result = CliRunner().invoke(simulate, ["entra", "--url", NOWHERE], env={SECRET_VARIABLE: "s"})

    assert result.exit_code == 1
    assert "NOT OK" in result.stdout


def test_secret_comes_from_the_file_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requests = fake_play(monkeypatch)
    file = tmp_path / "secret"
    file.write_text("from-file\n")
    arguments = ["entra", "--url", NOWHERE, "--secret-file", str(file)]
    CliRunner().invoke(simulate, arguments, env={SECRET_VARIABLE: "from-environment"})

    assert requests[0].secret == "from-file"


@pytest.mark.parametrize("secret", ["", "  ", "zwölf", "two\nlines"])
def test_no_usable_secret_exits_with_three(secret: str) -> None:
    result = CliRunner().invoke(simulate, ["entra", "--url", NOWHERE], env={SECRET_VARIABLE: secret})

    assert result.exit_code == 3
    assert SECRET_VARIABLE in result.stderr


def test_no_server_exits_with_three_and_a_bad_url_with_two() -> None:
    environment = {SECRET_VARIABLE: "s"}

    assert CliRunner().invoke(simulate, ["entra", "--url", NOWHERE], env=environment).exit_code == 3
    assert CliRunner().invoke(simulate, ["entra", "--url", "nonsense"], env=environment).exit_code == 2


@pytest.mark.parametrize("option", [["--scenario", "x"], ["--dialect", "x"], ["--rate", "-1"], ["--run-tag", "A b"], ["--members", "0"]])
def test_wrong_usage_exits_with_two(option: list[str]) -> None:
    result = CliRunner().invoke(simulate, ["entra", "--url", NOWHERE, *option], env={SECRET_VARIABLE: "s"})

    assert result.exit_code == 2


def test_help_has_an_example_and_the_exit_statuses() -> None:
    result = CliRunner().invoke(simulate, ["entra", "--help"])

    assert "rollhouse simulate entra --url https://" in " ".join(result.stdout.split())
    assert "Exit status" in result.stdout
