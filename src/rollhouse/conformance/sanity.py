"""scim-sanity as a program of its own: `python -m rollhouse.conformance.sanity URL`, the secret in ROLLHOUSE_SCIM_SECRET and on no command line."""

import os
import sys

from scim_sanity.cli import main

if __name__ == "__main__":
    sys.argv = ["scim-sanity", "probe", sys.argv[1], "--token", os.environ["ROLLHOUSE_SCIM_SECRET"], "--i-accept-side-effects", "--json-output"]
    main()
