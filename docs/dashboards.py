"""Takes the pictures of the Grafana dashboards in docs/pictures: runs a platform under load, lets a real Prometheus look at it, and draws its answers."""

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "k8s" / "observability")]

import dashboards
from pictures import draw
from rules import rules
from tests.observability.conftest import running_platform
from tests.observability.test_dashboards import FACTOR, RATE_INTERVAL, a_busy_day
from tests.servers.prometheus import Prometheus

STEP_SECONDS = 1.0


async def take(folder: Path) -> None:
    async with running_platform(folder) as platform:
        targets = {"rollhouse": [platform.serving.metrics_port], "worker": [platform.worker.metrics_port]}
        with contextlib.closing(Prometheus(folder / "prometheus", targets, rules(FACTOR))) as prometheus:
            await asyncio.to_thread(prometheus.wait_for_targets, 2)
            start = time.time()
            await a_busy_day(platform, prometheus)
            for uid, board in dashboards.dashboards().items():
                text = draw(board, prometheus.url, start, time.time(), rate_interval=RATE_INTERVAL, step=STEP_SECONDS)
                (ROOT / "docs" / "pictures" / f"{uid}.svg").write_text(text)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rh-"))
    folder.chmod(0o755)
    try:
        asyncio.run(take(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
