"""The memberships of the resources of a page as JSON text, made in the statement that reads the page."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Text, Uuid, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from rollhouse.database.tables import MEMBERSHIPS

TENANT = bindparam("tenant", type_=Uuid)
"""The tenant, in every statement."""


def relation_text(relation: str, found: FromClause) -> ColumnElement[Any]:
    """The members of a found group or the groups of a found member as JSON text, null without any: the same text as in the SQL functions.

    Written out, not called: a function for each row of a page took two thirds of a page's time in Postgres.
    """
    base_url = bindparam("base_url", type_=Text)
    if relation == "all groups":
        return func.rollhouse.all_groups(TENANT, found.c.id, base_url)
    is_groups = relation == "groups"
    rows = MEMBERSHIPS.alias()
    own, other = ("member_id", "group_id") if is_groups else ("group_id", "member_id")
    of_resource = select(rows).where(rows.c.tenant_id == TENANT, rows.c[own] == found.c.id).correlate(found)
    m = (of_resource if is_groups else of_resource.order_by(rows.c[other]).limit(bindparam("most", type_=None))).subquery("related")
    endpoint = literal_column("'Groups'", Text) if is_groups else func.concat(m.c.member_type, literal_column("'s'", Text))
    kind = literal_column("'direct'", Text) if is_groups else m.c.member_type
    value, ref, slash = literal_column('\'{"value":"\'', Text), literal_column('\'","$ref":"\'', Text), literal_column("'/'", Text)
    type_, end = literal_column('\'","type":"\'', Text), literal_column("'\"}'", Text)
    one = func.concat(value, m.c[other], ref, base_url, slash, endpoint, slash, m.c[other], type_, kind, end)
    listed = func.string_agg(one, aggregate_order_by(literal_column("','", Text), m.c[other]))
    return select(literal_column("'['").op("||")(listed).op("||")(literal_column("']'", Text))).scalar_subquery()
