"""The process that removes a sandbox's cgroups when the sandbox is gone, whoever was killed: `janitor NAME`.

Its standard input is a pipe that the sandbox's outside process holds open; its end means that this process is gone,
and with it, by the kernel's parent-death signal, everything inside.
"""

import signal
import sys

from s3sync_local.sandbox import records


def main() -> None:
    """Wait for the sandbox's end, then clean up."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    sys.stdin.buffer.read()
    sys.exit(0 if records.clean(sys.argv[1]) else 1)


if __name__ == "__main__":
    main()
