"""Makes the tables and fills them: users with their number plus one as id, and groups of the first of them with their size as id."""

import json
import os
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection

BATCH = 5000


def main() -> None:
    django.setup()
    from django_site.models import Group, User

    call_command("migrate", run_syncdb=True, verbosity=0)
    with Path(os.environ["PEER_USERS"]).open() as lines:
        users = [user_of(User, number, json.loads(line)) for number, line in enumerate(lines, 1)]
    User.objects.bulk_create(users, batch_size=BATCH)
    membership = User.scim_groups.through
    for size in (int(text) for text in os.environ["PEER_GROUPS"].split()):
        name = f"Group of {size}"
        Group.objects.bulk_create([Group(id=size, scim_id=str(size), name=name, scim_display_name=name)])
        membership.objects.bulk_create([membership(user_id=number, group_id=size) for number in range(1, size + 1)], batch_size=BATCH)
    with connection.cursor() as cursor:
        # Ids were given above: the sequences go on behind them.
        for table in ("user", "group"):
            cursor.execute(f"SELECT setval('django_site_{table}_id_seq', (SELECT max(id) FROM django_site_{table}))")
        cursor.execute("VACUUM (ANALYZE)")


def user_of(model, number: int, document: dict):
    name, user_name = document["name"], document["userName"]
    return model(
        id=number,
        scim_id=str(number),
        scim_external_id=document["externalId"],
        scim_username=user_name,
        username=user_name,
        first_name=name["givenName"],
        last_name=name["familyName"],
        email=document["emails"][0]["value"],
        is_active=document["active"],
    )


if __name__ == "__main__":
    main()
