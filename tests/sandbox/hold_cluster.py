"""A program that runs a cluster with a real node until it is told to stop: `hold_cluster STATE_DIR`."""

import signal
import sys
import time
from pathlib import Path

from s3sync_local.realnode import RealCluster


def main() -> None:
    """Hold the cluster until SIGTERM, then stop it and end as the signal says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with RealCluster(Path(sys.argv[1]), progress=print) as cluster:
        while True:
            cluster.check()
            time.sleep(0.5)


if __name__ == "__main__":
    main()
