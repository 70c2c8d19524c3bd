"""The checks, a module for each topic; importing this package registers all of them."""

from rollhouse.conformance.checks import (  # noqa: F401 - each registers its checks
    bulk,
    combining,
    creating,
    cursors,
    discovery,
    errors,
    filtering,
    groups,
    media,
    operations,
    patching,
    querying,
    reading,
    replacing,
    schemas,
    searching,
    sorting,
    values,
    versions,
)
