"""Waits for changes in a namespace, by one `kubectl get --watch`."""

import os
import select
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

STOP_SECONDS = 10
PIPE_BYTES = 65536


class Cluster(Protocol):
    """A cluster that a kubectl belongs to."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    def kubectl_path(self) -> Path:
        """The program."""


class Changes:
    """The changes of a namespace's objects of one resource, from the start of this context manager on.

    What there is at the start counts as changed, so that nothing is missed between a look and the first wait.
    """

    def __init__(self, cluster: Cluster, namespace: str, resource: str) -> None:
        flags = ("--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace)
        self._command = [str(cluster.kubectl_path), *flags, "get", resource, "--watch", "--output=name"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        assert self._process.stdout
        self._process.stdout.close()

    def wait(self, seconds: float) -> bool:
        """Wait for changes that nobody has waited for yet, and tell whether there were any within the time."""
        assert self._process
        assert self._process.stdout
        output = self._process.stdout.fileno()
        if not select.select([output], [], [], seconds)[0]:
            return False
        if not os.read(output, PIPE_BYTES):
            raise AssertionError(f"{' '.join(self._command)} has ended with {self._process.wait(STOP_SECONDS)}")
        return True
