"""The owner's end of the keeper process: launch it, follow what it tells, stop it."""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from s3sync_local.errors import ComponentError
from s3sync_local.processes import tail

STOP_SECONDS = 90.0
KILL_SECONDS = 10.0


class KeeperProcess:
    """A running keeper; a thread reads its messages, so that its pipe never fills."""

    def __init__(self, module: str, flags: Sequence[str], log: Path, lock: int) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                pass_fds=[lock],
                start_new_session=True,
            )
        self._failure: str | None = None
        self._messages: queue.Queue[tuple[str, str]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="keeper-messages", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Tell whether the keeper, and with it the cluster, is gone."""
        return self._process.poll() is not None

    def wait_until_ready(self, progress: Callable[[str], None], seconds: float) -> str:
        """Pass progress on; return the server's URL; raises ComponentError on failure or when the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                event, text = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ComponentError(f"the local cluster was not ready within {seconds:.0f} s") from None
            if event == "ready":
                return text
            if event in {"failed", "ended"}:
                raise self.failure()
            progress(text)

    def failure(self) -> ComponentError:
        """Return why the keeper ended: its own words, else the end of its log."""
        if self.has_ended():
            self._reader.join(KILL_SECONDS)  # Its last words may still be in the pipe.
        if self._failure is not None:
            return ComponentError(self._failure)
        code = self._process.poll()
        if code == 0:
            return ComponentError("the local cluster was stopped from outside: by `down`, or by a signal to its keeper")
        last = tail(self._log) if self._log.exists() else "and its log is gone"
        return ComponentError(f"the local cluster's keeper has ended (exit code {code}): {last}")

    def stop(self) -> bool:
        """Ask it to stop all in order; where it hangs, kill it, and so all of them. Returns whether it was killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(KILL_SECONDS)
        self.release()
        return self._process.returncode == -signal.SIGKILL

    def release(self) -> None:
        """Close the pipe of messages."""
        self._reader.join(KILL_SECONDS if self.has_ended() else 0)
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.stdout and not self._reader.is_alive():
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            message = json.loads(line)
            if message["event"] == "failed":
                self._failure = message["text"]
            self._messages.put((message["event"], message["text"]))
        self._messages.put(("ended", ""))
