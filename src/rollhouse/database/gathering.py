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
"""Longest that the statement under way is waited for before those who wait get one of their own beside it."""

Question = tuple[str, UUID, tuple[object, ...]]
"""The common part of what is asked: the statement, the tenant, and its other arguments."""
Item = tuple[object, ...]
"""What is asked by one request alone."""
Carry = Callable[[Question, list[Item]], Awaitable[list[asyncpg.Record]]]


class _Line:
    """Who asks the same question: those who wait for the next statement, and how many statements are under way."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Item, asyncio.Future[asyncpg.Record | None]]] = []
        self.is_called_for = False
        """Whether somebody comes for those who wait: in the next turn of the loop, or when the timer says so."""
        self.timer: asyncio.TimerHandle | None = None
        self.under_way = 0


class Gathering:
    """Asks what has a common question in one statement, for the requests of one tenant.

    Who comes first waits for one turn of the event loop, and takes with him who comes in it. Who comes while their statement is under way
    goes with the next: no answer is older than its question. Bounded by the requests that a tenant may have under way. Each row of a
    statement tells in `place` whose it is, counted from 1.
    """

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._met: dict[UUID, float] = {}
        self._lines: dict[Question, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def is_worth_a_turn(self, tenant_id: UUID, *, in_company: bool) -> bool:
        """Whether others of the tenant are likely to ask now: it has more requests under way than it may have connections, or just had.

        Where each finds a connection, going together costs more than it saves (benchmarks.company).
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
        answer: asyncio.Future[asyncpg.Record | None] = loop.create_future()
        line.waiting.append((item, answer))
        if not line.is_called_for:
            line.is_called_for = True
            if line.under_way:
                line.timer = loop.call_later(PATIENCE_SECONDS, self._begin, question, line)
            else:
                self._begin(question, line)
        return await answer

    def _begin(self, question: Question, line: _Line) -> None:
        line.under_way += 1
        # In a context of its own: the statement belongs to no single request, nor is it to be part of one's trace.
        task = asyncio.get_running_loop().create_task(self._answer(question, line), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, question: Question, line: _Line) -> None:
        """One statement after the other, until nobody waits."""
        while asked := line.waiting:
            line.waiting, line.is_called_for = [], False
            if line.timer is not None:
                line.timer.cancel()
                line.timer = None
            found: dict[int, asyncpg.Record] = {}
            refusal: Exception | None = None
            try:
                found = {row["place"]: row for row in await self._carry(question, [item for item, _ in asked])}
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                refusal = error
            for place, (_, answer) in enumerate(asked, 1):
                if answer.done():  # its request was ended meanwhile
                    continue
                if refusal is None:
                    answer.set_result(found.get(place))
                else:
                    answer.set_exception(refusal)
        line.under_way -= 1
        if line.under_way == 0:
            del self._lines[question]
