"""What holds for every command: help with an example, exit codes, and the settings of the environment."""

import subprocess
from urllib.parse import unquote, urlsplit

import click
import pytest

from rollhouse.cli.root import whole
from rollhouse.settings import Settings, SettingsError, read_settings
from tests.servers.service import ROLLHOUSE, clean_environment


def commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name, one in group.commands.items():
        found |= commands(one, (*path, name)) if isinstance(one, click.Group) else {(*path, name): one}
    return found


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROLLHOUSE, *arguments], env=clean_environment(**environment), capture_output=True, text=True, check=False, timeout=60)


def test_every_promised_command_is_there() -> None:
    names = {" ".join(path) for path in commands(whole())}
    assert names == {
        *("dev", "serve", "migrate", "doctor", "seed", "simulate entra"),
        *("tenant create", "tenant list", "tenant show", "tenant set-limit", "secret create", "secret list", "secret revoke"),
        *(
            "tenant rename",
            "tenant suspend",
            "tenant resume",
            "tenant delete",
            "tenant restore",
            "tenant purge",
            "tenant export",
            "tenant import",
            "tenant written",
        ),
        *("client create", "client list", "client revoke", "client secret", "client secrets", "client revoke-secret"),
        *("api-key create", "api-key list", "api-key revoke", "worker", "audit verify", "audit list", "audit key"),
        *("operator link", "demo entra", "conformance", "tenant profile"),
        *(f"{one} {verb}" for one in ("schema", "resource-type") for verb in ("add", "validate", "list", "remove")),
    }


@pytest.mark.parametrize("path", sorted(commands(whole())))
def test_every_command_has_help_with_an_example_and_the_shared_options(path: tuple[str, ...]) -> None:
    command = commands(whole())[path]
    options = {name for parameter in command.params for name in parameter.opts}

    assert {"--json", "--data-dir"} <= options
    assert command.epilog is not None
    assert command.epilog.startswith("Example: ")
    assert "rollhouse " + " ".join(path) in command.epilog


def test_wrong_usage_is_two_and_a_missing_database_three(tmp_path) -> None:
    assert run("tenant", "show").returncode == 2
    assert run("nonsense").returncode == 2
    too_much = run("tenant", "set-limit", "acme", "--rate", "1000001", "--burst", "1")
    assert (too_much.returncode, "1000000" in too_much.stderr) == (2, True)
    missing = run("tenant", "list", "--data-dir", str(tmp_path))
    assert missing.returncode == 3
    assert "rollhouse dev" in missing.stderr
    unset = run("serve", "--data-dir", str(tmp_path))
    assert unset.returncode == 3
    assert "ROLLHOUSE_DATABASE_URL is not set" in unset.stderr
    assert "Traceback" not in unset.stderr
    down = run("tenant", "list", ROLLHOUSE_DATABASE_URL="postgresql://rollhouse_app@127.0.0.1:9/rollhouse")
    assert down.returncode == 3
    assert "Traceback" not in down.stderr


def test_one_port_for_two_purposes_is_wrong_usage(tmp_path) -> None:
    settings = {"ROLLHOUSE_DATABASE_URL": "postgresql://x@127.0.0.1:9/x", "ROLLHOUSE_PEPPERS": "1:" + "A" * 43, "ROLLHOUSE_PUBLIC_URL": "http://x"}
    done = run("serve", "--data-dir", str(tmp_path), "--port", "18999", "--metrics-port", "18999", **settings)

    assert done.returncode == 2


def test_print_roles_prints_sql_that_makes_the_three_roles() -> None:
    done = run("migrate", "--print-roles")

    assert done.returncode == 0
    assert all(f"CREATE ROLE {role} " in done.stdout for role in ("rollhouse_owner", "rollhouse_migrator", "rollhouse_app"))
    assert "PASSWORD" not in done.stdout


def test_print_roles_prints_a_second_login_that_acts_as_the_first() -> None:
    done = run("migrate", "--print-roles", "--login", "rollhouse_app_2")

    assert done.returncode == 0
    assert "CREATE ROLE rollhouse_app_2 LOGIN NOSUPERUSER NOBYPASSRLS IN ROLE rollhouse_app" in done.stdout
    assert "ALTER ROLE rollhouse_app_2 SET role = 'rollhouse_app';" in done.stdout
    assert run("migrate", "--login", "rollhouse_app_2").returncode == 2
    assert run("migrate", "--print-roles", "--login", "x; DROP").returncode == 2


def test_an_unknown_setting_warns_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    read_settings({"ROLLHOUSE_DATABSE_URL": "x"})

    assert "ROLLHOUSE_DATABASE_URL" in capsys.readouterr().err


def test_a_setting_can_come_from_a_file(tmp_path) -> None:
    (tmp_path / "peppers").write_text("1:abc\n")

    assert read_settings({"ROLLHOUSE_PEPPERS_FILE": str(tmp_path / "peppers")}).peppers == "1:abc"


PASSWORD = "p@ss:w/rd?#[]%20&=+ '\"\\$`{}|<>^~;!*(),é "


def test_a_password_beside_its_url_may_hold_any_character(tmp_path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    environment = {
        "ROLLHOUSE_DATABASE_URL": "postgresql://rollhouse_app@a:1,b:2/rollhouse?sslmode=require",
        "ROLLHOUSE_DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    url = read_settings(environment).database_url
    assert url is not None
    parts = urlsplit(url)

    assert (parts.username, unquote(parts.password or "")) == ("rollhouse_app", PASSWORD)
    assert url.endswith("@a:1,b:2/rollhouse?sslmode=require")
    again = read_settings(environment | {"ROLLHOUSE_DATABASE_URL": url})
    assert again.database_url == url, "a process hands its worker the whole URL"
    assert read_settings({"ROLLHOUSE_REDIS_URL": "redis://r:6379/0", "ROLLHOUSE_REDIS_PASSWORD": "a/b"}).redis_url == "redis://:a%2Fb@r:6379/0"


def test_a_password_without_its_url_is_refused() -> None:
    with pytest.raises(SettingsError, match="ROLLHOUSE_REDIS_URL is not set"):
        read_settings({"ROLLHOUSE_REDIS_PASSWORD": "x"})


def test_a_malformed_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="ROLLHOUSE_PORT"):
        read_settings({"ROLLHOUSE_PORT": "eighty"})
    with pytest.raises(SettingsError, match="ROLLHOUSE_PEPPERS_FILE"):
        read_settings({"ROLLHOUSE_PEPPERS_FILE": "/nowhere/at/all"})


def test_every_setting_has_a_docstring() -> None:
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(Settings))
    body = tree.body[0].body[1:]  # type: ignore[attr-defined]
    for field, words in zip(body[::2], body[1::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(words, ast.Expr)
