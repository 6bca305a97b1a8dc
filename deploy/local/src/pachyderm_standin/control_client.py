"""The control API of a running stand-in, wherever it runs."""

import json
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

CONTROL_SECONDS = 30.0


class StandinError(RuntimeError):
    """The stand-in did not start, or its control API refused something; the message says what and why."""


class Control(ABC):
    """What can be asked of a stand-in besides S3. Raises `StandinError`."""

    @property
    @abstractmethod
    def control(self) -> str:
        """The control API's URL."""

    def set_faults(self, rules: Sequence[Mapping[str, object]]) -> None:
        """Put these rules in force instead of all earlier ones; their fields are those of `faults.FaultRule`."""
        self._call("PUT", "/faults", list(rules))

    def faults(self) -> list[dict[str, Any]]:
        """List the rules in force."""
        rules: list[dict[str, Any]] = self._call("GET", "/faults")
        return rules

    def clear_faults(self) -> None:
        """Take all rules out of force."""
        self._call("DELETE", "/faults")

    def begin_outage(self, seconds: float) -> None:
        """Let both fronts be down for so long, from now on; what is stored stays. 0 ends an outage."""
        self._call("POST", "/outage", {"seconds": seconds})

    def requests(self) -> dict[str, Any]:
        """Tell the counts of S3 requests and gRPC calls: `total`, `by_method` and `by_operation`."""
        counts: dict[str, Any] = self._call("GET", "/requests")
        return counts

    def wait_for_requests(self, *operations: str, calls: int = 1, seconds: float = 30) -> None:
        """Wait until so many calls of these operations, in all, came in since the counts were last at zero."""
        body = {"operations": operations, "calls": calls, "seconds": seconds}
        self._call("POST", "/requests/awaited", body, CONTROL_SECONDS + seconds)

    def reset_requests(self) -> None:
        """Count from zero again."""
        self._call("DELETE", "/requests")

    def commits(self, repo: str, project: str = "default") -> list[dict[str, Any]]:
        """List a repo's commits, newest first."""
        query = urlencode({"repo": repo, "project": project})
        commits: list[dict[str, Any]] = self._call("GET", f"/commits?{query}")
        return commits

    def start_commit(self, repo: str, branch: str = "master", project: str = "default") -> str:
        """Open a commit on a branch and tell its ID."""
        body = {"repo": repo, "branch": branch, "project": project}
        return str(self._call("POST", "/commits", body)["id"])

    def finish_commit(self, repo: str, commit: str, project: str = "default") -> dict[str, Any]:
        """Close an open commit, wait for it to finish, and tell how it ended."""
        body = {"repo": repo, "project": project}
        finished: dict[str, Any] = self._call("POST", f"/commits/{quote(commit)}/finish", body)
        return finished

    def create_project(self, project: str) -> None:
        """Make a project."""
        self._call("POST", "/projects", {"project": project})

    def create_branch(self, repo: str, branch: str, *, project: str = "default", is_output: bool = False) -> None:
        """Make a branch, and its repo if missing; `is_output` for one that only pipelines write."""
        self._call("POST", "/branches", {"repo": repo, "branch": branch, "project": project, "is_output": is_output})

    def _call(self, method: str, path: str, body: object = None, seconds: float = CONTROL_SECONDS) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data, method=method)  # noqa: S310 - always http.
        try:
            with _OPENER.open(request, timeout=seconds) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise StandinError(f"{method} {path}: {json.load(error)['error']}") from error


class RemoteControl(Control):
    """The control API at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def control(self) -> str:
        """The control API's URL."""
        return self._url


# A proxy in the environment must not come between: the stand-in is on this machine or in a cluster on it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
