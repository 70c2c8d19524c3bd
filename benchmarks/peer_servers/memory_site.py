"""scim2-server over its in-memory storage, filled before the first request; run by gunicorn in the peers' environment."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from scim2_models import Meta
from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider


def filled_storage(provider, users: Path, group_sizes: list[int]) -> InMemoryStorage:
    """Users with their number as id, and groups of the first of them with their size as id, both as 32 digits."""
    storage = InMemoryStorage()
    now = datetime.now(UTC)
    user_model, group_model = provider.model_for("User"), provider.model_for("Group")

    def stored(model, kind: str, number: int, document: dict):
        resource = model.model_validate(document)
        resource.id = f"{number:032}"
        resource.meta = Meta(resource_type=kind, created=now, last_modified=now, version=storage.next_version())
        return resource

    with users.open() as lines:
        resources = [stored(user_model, "User", number, json.loads(line)) for number, line in enumerate(lines)]
    for size in group_sizes:
        members = [{"value": f"{number:032}", "type": "User"} for number in range(size)]
        document = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": f"Group of {size}", "members": members}
        resources.append(stored(group_model, "Group", size, document))
    storage.resources = resources
    return storage


def create_app() -> BearerTokenApplication:
    provider = load_default_provider()
    sizes = [int(size) for size in os.environ["PEER_GROUPS"].split()]
    storage = filled_storage(provider, Path(os.environ["PEER_USERS"]), sizes)
    return BearerTokenApplication(storage, provider, bearer_tokens=[os.environ["PEER_SECRET"]])
