"""One bulk request at work: each operation a transaction and a charge of its own; circles of references made in two passes, or undone."""

from collections.abc import Collection
from typing import Any

from rollhouse.directory import resources
from rollhouse.directory.scopes import Scope
from rollhouse.http.exchange import COST_OF_WRITE, Exchange, version_in
from rollhouse.scim import bulk, messages
from rollhouse.scim.bulk import BulkOperation
from rollhouse.scim.errors import Conflict, ScimError, TooManyRequests, Unavailable, quoted
from rollhouse.scim.representation import Record, etag, location

SPARE_SECONDS = 1.5
"""How long before the end of a request's time no more operations are begun: what is done is answered, and what is not is told."""


class Bulk:
    """The operations of one request, done one after the other."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._ids: dict[str, str] = {}
        self._failed: set[str] = set()
        self._results: dict[int, dict[str, Any]] = {}
        self._is_first = True

    async def carry_out(self, message: dict[str, Any]) -> dict[str, Any]:
        """The BulkResponse: what came of each operation that was tried, in the order of the request (RFC 7644 section 3.7.3).

        Raises:
            BadRequest, PayloadTooLarge: as `read_bulk`; nothing was done.
        """
        request = bulk.read_bulk(message, self._exchange.noted, most=self._exchange.service.limits.bulk_operations)
        operations, needs, errors = request.operations, bulk.needs_of(request.operations), 0
        while needs and (request.fail_on_errors is None or errors < request.fail_on_errors):
            together = bulk.next_together(needs)
            for at in together:
                del needs[at]
            for needed in needs.values():
                needed.difference_update(together)
            for at, result in zip(together, await self._do([operations[at] for at in together]), strict=True):
                self._results[at] = result
                errors += "response" in result
        return {"schemas": [bulk.BULK_RESPONSE_URN], "Operations": [self._results[at] for at in sorted(self._results)]}

    async def _do(self, operations: list[BulkOperation]) -> list[dict[str, Any]]:
        """What came of operations that come next together: one, or a circle."""
        if self._exchange.seconds_left < SPARE_SECONDS:
            late = Unavailable("The time of the request is over before this operation; send it again, alone or with fewer others.", retry_after_seconds=1)
            return [self._refused(one, late) for one in operations]
        (first, *others) = operations
        if others or (first.method == "POST" and first.bulk_id in first.references):
            return await self._circle(operations)
        return [await self._one(first)]

    async def _one(self, operation: BulkOperation) -> dict[str, Any]:
        try:
            return await self._carry_out(operation)
        except ScimError as error:
            return self._refused(operation, error)

    async def _circle(self, operations: list[BulkOperation]) -> list[dict[str, Any]]:
        """POSTs that name each other: first made without those names, then given them; if one fails, all are undone and refused.

        The refusal is 409, or what the service itself was too busy for, which is worth another try.
        """
        made: list[tuple[BulkOperation, Scope, Record]] = []
        try:
            for operation in operations:
                self._require(operation, besides={str(one.bulk_id) for one in operations})
            for operation in operations:
                scope, record = await self._create(operation, bulk.without_references(bulk.resolved(operation.data, self._ids)))
                made.append((operation, scope, record))
            return [await self._complete(*one) for one in made]
        except ScimError as error:
            left = [str(record.id) for operation, scope, record in reversed(made) if not await self._undo(operation, scope, record)]
            names = ", ".join(quoted(one.bulk_id) for one in operations)
            told = f"The operations {names} name each other, and one of them failed: {error.detail}"
            told += f" These could not be deleted again: {', '.join(left)}." if left else ""
            busy = isinstance(error, TooManyRequests | Unavailable)
            return [self._refused(one, type(error)(told) if busy else Conflict(told)) for one in operations]

    async def _undo(self, operation: BulkOperation, scope: Scope, record: Record) -> bool:
        """Whether the resource that an operation has made is gone again."""
        self._ids.pop(str(operation.bulk_id), None)
        try:
            await resources.delete_resource(scope, str(record.id), expected=None)
        except ScimError:
            return False
        return True

    async def _complete(self, operation: BulkOperation, scope: Scope, record: Record) -> dict[str, Any]:
        data = bulk.resolved(operation.data, self._ids)
        whole = await resources.replace_resource(scope, str(record.id), data, self._exchange.noted, expected=None)
        return self._done(operation, 201, scope, whole)

    async def _carry_out(self, operation: BulkOperation) -> dict[str, Any]:
        if operation.problem is not None:
            raise operation.problem
        self._require(operation)
        data, noted = bulk.resolved(operation.data, self._ids), self._exchange.noted
        if operation.method == "POST":
            return self._done(operation, 201, *await self._create(operation, data))
        scope = self._exchange.directory(operation.endpoint)
        resource_id = str(bulk.resolved(operation.resource_id, self._ids))
        expected = version_in(operation.version or "")
        await self._charge()
        if operation.method == "DELETE":
            await resources.delete_resource(scope, resource_id, expected=expected)
            return bulk.done(operation, 204, location=location(scope.base_url, scope.resource_type, resource_id), version=None)
        if operation.method == "PUT":
            messages.check_schemas(data, scope.resource_type.schema.id, noted)
            record = await resources.replace_resource(scope, resource_id, data, noted, expected=expected)
        else:
            operations = messages.read_patch(scope.resource_type, data, noted)
            changed = await resources.patch_resource(scope, resource_id, operations, noted, expected=expected)
            record = changed or await resources.get_resource(scope, resource_id, with_relation=False)
        return self._done(operation, 200, scope, record)

    async def _create(self, operation: BulkOperation, data: Any) -> tuple[Scope, Record]:
        scope = self._exchange.directory(operation.endpoint)
        await self._charge()
        messages.check_schemas(data, scope.resource_type.schema.id, self._exchange.noted)
        record = await resources.create_resource(scope, data, self._exchange.noted)
        self._ids[str(operation.bulk_id)] = str(record.id)
        return scope, record

    async def _charge(self) -> None:
        """Take the cost of an operation; the first is paid for by the request itself, so that what is let in always gets something done.

        Raises:
            TooManyRequests: the tenant is over its limit.
        """
        if self._is_first:
            self._is_first = False
            return
        await self._exchange.charge(COST_OF_WRITE)

    def _require(self, operation: BulkOperation, *, besides: Collection[str] = ()) -> None:
        """Hold an operation to what it refers to, `besides` what is made together with it.

        Raises:
            Conflict: that failed, or is no operation of this request.
        """
        missing = sorted(operation.references - self._ids.keys() - {*besides})
        if missing:
            failed = [name for name in missing if name in self._failed]
            why = "failed" if failed else "is not in this request"
            raise Conflict(f"The operation refers to bulkId {quoted((failed or missing)[0])}, which {why}. Send it again once that resource is there.")

    def _done(self, operation: BulkOperation, status: int, scope: Scope, record: Record) -> dict[str, Any]:
        at = location(scope.base_url, scope.resource_type, record.id)
        return bulk.done(operation, status, location=at, version=etag(record.version))

    def _refused(self, operation: BulkOperation, error: ScimError) -> dict[str, Any]:
        if operation.method == "POST" and operation.bulk_id is not None:
            self._failed.add(operation.bulk_id)
        known = operation.method != "POST" and operation.resource_id is not None and operation.problem is None
        at = f"{self._exchange.base_url}/{operation.endpoint}/{operation.resource_id}" if known else None
        return bulk.refused(operation, error, location=at)
