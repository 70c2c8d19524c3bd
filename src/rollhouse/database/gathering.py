"""What several requests of a tenant ask of Postgres at once, asked by one statement (docs/decisions/0015-gathered-statements.md)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from uuid import UUID

import asyncpg

COMPANY_SECONDS = 0.01
"""How long a tenant that had many requests under way is taken to have them still: clients that are answered at once come again one by one."""
TENANTS = 1000
"""Of so many is remembered that they had."""
PATIENCE_SECONDS = 0.001
"""Longest that a statement under way is waited for before those who wait get one beside it."""

Question = tuple[str, UUID, tuple[object, ...]]
"""The common part of what is asked: the statement, the tenant, and its other arguments."""
Item = tuple[object, ...]
"""What is asked by one request alone."""
Carry = Callable[[Question, Callable[[], list[Item]]], Awaitable[list[asyncpg.Record]]]
"""Sends what it takes when it has a connection, nothing where nothing is left to take."""


class _Statement:
    """What is asked in common, and who waits for it."""

    def __init__(self) -> None:
        self.places: list[tuple[Item, asyncio.Future[asyncpg.Record | None]]] = []
        self.task: asyncio.Task[None] | None = None
        """What sends it, until it is answered."""
        self.is_sent = False

    def take(self) -> list[Item]:
        """What is to be sent: nothing of those whose requests have ended meanwhile."""
        self.is_sent = True
        self.places = [place for place in self.places if not place[1].done()]
        return [item for item, _ in self.places]

    def settle(self, rows: list[asyncpg.Record]) -> None:
        """Give each who still waits the row that is his."""
        found = {row["place"]: row for row in rows}
        for place, (_, answer) in enumerate(self.places, 1):
            if not answer.done():
                answer.set_result(found.get(place))

    def refuse(self, refusal: Exception, number: int) -> None:
        """Tell it to the first so many, as far as they still wait; the others stay."""
        refused, self.places = self.places[:number], self.places[number:]
        for _, answer in refused:
            if not answer.done():
                answer.set_exception(refusal)

    def leave(self) -> None:
        """One has left: end a statement that nobody waits for any more, on the server, too."""
        if self.is_sent and self.task is not None and all(answer.done() for _, answer in self.places):
            self.task.cancel()


class _Line:
    """Who asks the same question: the statement that takes along who comes, and how many are under way."""

    def __init__(self) -> None:
        self.next: _Statement | None = None
        self.timer: asyncio.TimerHandle | None = None
        """When the next one is begun at the latest, where it waits for one under way."""
        self.under_way = 0

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Gathering:
    """Asks what has a common question in one statement, for the requests of one tenant.

    Who comes first waits for one turn of the event loop and for a connection, and takes with him who comes meanwhile. Who comes when their
    statement is sent goes with the next: no answer is older than its question. Bounded by the requests that a tenant may have under way.
    Each row of a statement tells in `place` whose it is, counted from 1.
    """

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._met: dict[UUID, float] = {}
        self._lines: dict[Question, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def is_worth_a_turn(self, tenant_id: UUID, *, in_company: bool) -> bool:
        """Whether others of the tenant are likely to ask now: it has more requests under way than it may have connections, or just had.

        Where each finds a connection, going together costs more than it saves (docs/decisions/0015-gathered-statements.md).
        """
        now = time.monotonic()
        if not in_company:
            return now - self._met.get(tenant_id, 0.0) < COMPANY_SECONDS
        if len(self._met) == TENANTS:
            self._met.clear()
        self._met[tenant_id] = now
        return True

    async def ask(self, question: Question, item: Item) -> asyncpg.Record | None:
        """The row that is this request's, None without one.

        Raises:
            ScimError: what a failure of the common statement means.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(question)
        if line is None:
            line = self._lines[question] = _Line()
        statement = line.next
        if statement is None:
            statement = line.next = _Statement()
            if line.under_way:
                line.timer = loop.call_later(PATIENCE_SECONDS, self._begin, question, line, statement)
            else:
                self._begin(question, line, statement)
        answer: asyncio.Future[asyncpg.Record | None] = loop.create_future()
        statement.places.append((item, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            statement.leave()
            raise

    def _begin(self, question: Question, line: _Line, statement: _Statement) -> None:
        line.stop_timer()
        line.under_way += 1
        # In a context of its own: the statement belongs to no single request, nor is it to be part of one's trace.
        task = asyncio.get_running_loop().create_task(self._send(question, line, statement), context=Context())
        statement.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, question: Question, line: _Line, statement: _Statement) -> None:
        """The statement, and those that wait for it to end, one after the other."""
        task = statement.task

        def take() -> list[Item]:
            line.next = None
            return statement.take()

        try:
            while True:
                waited = len(statement.places)
                try:
                    statement.settle(await self._carry(question, take))
                except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                    statement.refuse(error, len(statement.places) if statement.is_sent else waited)
                    if statement.places:  # who joined it while it found no connection has not waited as long
                        continue
                    if not statement.is_sent:
                        take()
                statement.task = None
                if line.timer is None or line.next is None:
                    break
                line.stop_timer()
                statement = line.next
                statement.task = task
        finally:
            line.under_way -= 1
            if line.timer is not None and line.next is not None:  # this one was ended, since nobody waited for it
                self._begin(question, line, line.next)
            elif line.under_way == 0:
                del self._lines[question]
