"""The limit: pgbench sends the statements of Rollhouse's hot path, prepared, as the app role under row-level security, and does nothing else."""

import re
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from uuid import UUID

import msgspec

from benchmarks.cpu import cpu_of_each, family, spent_seconds
from benchmarks.peer_servers import operations
from benchmarks.peer_servers.operations import POST, add_to
from benchmarks.peer_servers.samples import Figures, NoRatio, percentile
from benchmarks.peer_servers.servers import slug_of
from benchmarks.peer_servers.subjects import LEFT_OUT, numbers_of
from benchmarks.stage import Stage
from rollhouse.cli.embedded import embedded_programs
from rollhouse.cli.seed import seeded_user
from rollhouse.database.identifiers import new_id
from rollhouse.database.pool import Database
from rollhouse.directory.queries import META_TIME
from rollhouse.directory.resources import _CREATE, _FIND_UNIQUE, _GET, _LIST, _UPDATE
from rollhouse.scim.comparison import comparable, index_entries
from rollhouse.scim.keys import index_key
from rollhouse.scim.messages import encode
from rollhouse.scim.schemas import USER
from rollhouse.tenancy.tenants import find_tenant

AUDIT = "the audit row alone"
AUDIT_ROWS = {"one audit row": 1, "eleven audit rows": 11}
"""Two transactions, and the audit rows that each appends: a tenth of what lies between them is the row alone."""
WARM_SECONDS = 0.35
"""Connecting, preparing, and filling the caches of the connections: left out."""
RUN_SECONDS = 1
TOKEN = "7777777777777"
"""In the place of the number in what a new user's values hold; pgbench puts another one there each time."""

_AUDIT = (
    "SELECT rollhouse.append_audit(:tenant, :actor, :request, 'resource.created', 'User', :id0, :names, '{}', NULL, NULL, :document)"
    " FROM generate_series(1, %d)"
)
_BIND = "SELECT set_config('rollhouse.tenant', :tenant, true)"
_NO_REGISTRY = ["0", "false"]
"""Of its own the tenant has defined nothing, and it is not strict."""


def filled_in(sql: str, values: list[str]) -> str:
    """The statement with pgbench's names (or constants) in the place of $1, $2, ...; a colon in a text would be a name to pgbench."""
    return re.sub(r"\$(\d+)", lambda found: values[int(found[1]) - 1], sql.replace(META_TIME, META_TIME.replace(":", ".")))


def array(texts: list[str]) -> str:
    """A list as Postgres writes an array."""
    return "{" + ",".join(msgspec.json.encode(text).decode() for text in texts) + "}"


class Limit:
    """The statements about one tenant, and how they are run."""

    name = "pgbench"

    def __init__(self, stage: Stage, users: int, groups: dict[int, str]) -> None:
        self.stage, self.users, self.groups = stage, users, groups
        self.slug = slug_of(users)

    def __str__(self) -> str:
        return f"{self.name}, {self.users:,} users"

    async def open(self) -> None:
        self.database = Database(self.stage.postgres.url("rollhouse_app"), connections=1)
        await self.database.open()
        self.tenant_id = (await find_tenant(self.database, self.slug)).id
        base = f"{self.stage.environment['ROLLHOUSE_PUBLIC_URL']}/t/{self.slug}/scim/v2"
        new = msgspec.json.encode(seeded_user(self.slug, 0)).decode().replace("user0", f"new{TOKEN}").replace(f"{self.slug}-0", f"{self.slug}-{TOKEN}")
        document = msgspec.json.decode(new.replace("User 0", f"New {TOKEN}"))
        compared = comparable(USER, document)
        entries = sorted(index_entries(USER, compared))
        self.variables = {
            "tenant": str(self.tenant_id),
            "actor": f"credential:{new_id()}",
            "request": "0123456789abcdef",
            "base": base,
            "document": encode(document).decode(),
            "comparable": encode(compared).decode(),
            "attributes": array([attribute for attribute, _ in entries]),
            "keys": array([key for _, key in entries]),
            "unique": "{" + ",".join("t" if attribute in USER.unique else "f" for attribute, _ in entries) + "}",
            "names": array(sorted(document)),
            "token": TOKEN,
        }
        for at, number in enumerate(numbers_of(self.users)[-LEFT_OUT:]):
            key = index_key(seeded_user(self.slug, number)["userName"])
            row = (await self.database.read(_FIND_UNIQUE, self.tenant_id, "User", "username", None, base, [key]))[0]
            stored = msgspec.json.decode(row["document"])
            self.variables |= {
                f"id{at}": str(row["id"]),
                f"key{at}": key,
                f"document{at}": row["document"],
                f"comparable{at}": encode(comparable(USER, stored)).decode(),
            }

    def _scripts(self, operation: str) -> list[str]:
        """What pgbench draws from: each about another user."""
        own = [":tenant", ":actor", ":request"]
        get = [filled_in(_GET, [":tenant", "'User'", "'groups'", ":base", f"ARRAY[:id{at}]::uuid[]"]) for at in range(LEFT_OUT)]
        match operation:
            case operations.GET:
                return [f"{one};\n" for one in get]
            case operations.FIND:
                find = [filled_in(_FIND_UNIQUE, [":tenant", "'User'", "'username'", "'groups'", ":base", f"ARRAY[:key{at}]::text[]"]) for at in range(LEFT_OUT)]
                return [f"{one};\n" for one in find]
            case operations.PAGE:
                return [filled_in(_LIST, [":tenant", "'User'", f"'{UUID(int=0)}'", "0", "101", "'groups'", ":base", "NULL"]) + ";\n"]
            case operations.POST:
                fresh = [f"replace(:{name}, :token, :n::text){kind}" for name, kind in (("document", ""), ("comparable", "::jsonb"), ("keys", "::text[]"))]
                values = [*own, "'User'", "uuidv7()", fresh[0], fresh[1], ":attributes", fresh[2], ":unique", "NULL", ":names", *_NO_REGISTRY]
                return ["\\set n random(1000000000000, 9999999999999)\n" + filled_in(_CREATE, values) + ";\n"]
            case operations.PATCH:
                none = ["NULL"] * 5
                values = [
                    [*own, "'User'", f":id{at}", "NULL", f":document{at}", f":comparable{at}", *none, "false", "NULL", "'{}'", "'{active}'", *_NO_REGISTRY]
                    for at in range(LEFT_OUT)
                ]
                return [f"{one};\n{filled_in(_UPDATE, two)};\n" for one, two in zip(get, values, strict=True)]
        if operation in AUDIT_ROWS:
            return [f"BEGIN;\n{_BIND};\n{_AUDIT % AUDIT_ROWS[operation]};\nCOMMIT;\n"]
        size = next(size for size in self.groups if operation == add_to(size))
        both = [["false", "ARRAY[:id0::uuid]", "'{}'"], ["false", "NULL", "ARRAY[:id0::uuid]"]]
        update = [filled_in(_UPDATE, [*own, "'Group'", f":group{size}", *["NULL"] * 8, *one, "'{}'", *_NO_REGISTRY]) for one in both]
        return [f"{update[0]};\n{update[1]};\n"]

    async def measured(self, operation: str, connections: int) -> Figures:
        """One run; adding a member is half of adding and removing him."""
        floor = new_id()
        figures = self._run(operation, connections)
        if operation == POST:
            await self._forget(floor)
        return figures.divided(2) if operation.startswith("add") else figures

    def _run(self, operation: str, connections: int) -> Figures:
        variables = self.variables | {f"group{size}": group for size, group in self.groups.items()}
        postgres = self.stage.postgres_pid
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            command = [embedded_programs() / "pgbench", "-n", "-M", "prepared", "-h", self.stage.postgres.folder, "-U", "rollhouse_app"]
            command += ["-c", str(connections), "-T", str(RUN_SECONDS), "-l", f"--log-prefix={folder / 'log'}"]
            scripts = self._scripts(operation)
            for at, text in enumerate(scripts):
                script = folder / f"{at}.sql"
                script.write_text(text)
                command += ["-f", script]
            command += [f"-D{key}={value}" for key, value in variables.items() if re.search(rf":{key}\b", "".join(scripts))]
            with (folder / "output").open("wb") as output:
                process = subprocess.Popen([*command, "rollhouse"], stdout=output, stderr=output)
                try:
                    looks = self._watch(process, postgres)
                finally:
                    if process.poll() is None:
                        process.kill()
                    process.wait()
            if process.returncode != 0 or len(looks) < 2:
                raise NoRatio(f"{self}: {operation} failed; no ratio is printed. {(folder / 'output').read_text(errors='replace')[-1000:]}")
            lines = [line.split() for path in folder.glob("log.*") for line in path.read_text().splitlines()]
        (began, app_before, postgres_before), (ended, app_after, postgres_after) = looks[0], looks[-1]
        taken = sorted(int(line[2]) / 1000 for line in lines if began < int(line[4]) + int(line[5]) / 1e6 <= ended)
        if not taken:
            raise NoRatio(f"{self}: no {operation} was completed; no ratio is printed.")
        each = 1e6 / len(taken)
        return Figures(
            app_us=spent_seconds(app_before, app_after) * each,
            postgres_us=spent_seconds(postgres_before, postgres_after) * each,
            p50_ms=median(taken),
            p99_ms=percentile(taken, 0.99),
            requests=len(taken),
        )

    def _watch(self, process: subprocess.Popen, postgres: int) -> list[tuple[float, dict[int, float], dict[int, float]]]:
        """Looks at the clock and the CPU while all connections work: once warm, and close to the end; the last one may be of the end and is left out."""
        time.sleep(WARM_SECONDS)
        app, pids = {process.pid}, family(postgres)
        looks = []
        while process.poll() is None:
            looks.append((time.time(), cpu_of_each(app), cpu_of_each(pids)))
            time.sleep(0.04)
        return [looks[0], looks[-3]] if len(looks) > 3 else []

    async def _forget(self, floor: UUID) -> None:
        """Remove the users that pgbench has made: those whose ids are younger than `floor`."""
        async with self.database.transaction(self.tenant_id, statement_timeout_milliseconds=120_000) as tx:
            await tx.fetch("DELETE FROM rollhouse.resource_keys WHERE tenant_id = $1 AND resource_id > $2", self.tenant_id, floor)
            gone = await tx.fetch("DELETE FROM rollhouse.resources WHERE tenant_id = $1 AND id > $2 RETURNING id", self.tenant_id, floor)
            await tx.fetch("SELECT rollhouse.count_resources($1, 'User', $2)", self.tenant_id, -len(gone))

    async def close(self) -> None:
        await self.database.close()
