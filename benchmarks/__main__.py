"""`make bench`: every measurement after the other; each is also `python -m benchmarks.<name> --help`. `peers` installs other servers and is run by itself."""

import runpy
import sys

for name in ("rejections", "hotpath", "fairness", "flatness", "biggroup", "lifecycle", "pages", "crawl", "company"):
    print(f"\n== {name}", flush=True)
    sys.argv = [name]
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
