"""Run a command as root in namespaces of its own, of which nothing is left when it ends, however it ends.

Three processes share the work. The caller's waits, passes signals on and returns the exit code. PID 1 of the new PID
namespace (`inside`) sets up what the namespaces need and runs the command; when it ends, the kernel ends every process,
mount, network device and nftables table in there. Cgroups are no part of any namespace: the `janitor`, which outlives
both, removes them. Where all three are killed at once, the next sandbox on this machine does.
"""

from s3sync_local.sandbox.marker import is_inside
from s3sync_local.sandbox.outside import run

__all__ = ["is_inside", "run"]
