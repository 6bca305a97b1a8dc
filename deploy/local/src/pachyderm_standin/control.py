"""The control API, for the demo and the tests only: faults, counts, and what a real Pachyderm offers over gRPC."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pachyderm_standin.faults import FaultsError, explain, parse_rules
from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import (
    DEFAULT_PROJECT,
    AlreadyExistsError,
    Commit,
    CommitRef,
    NotFoundError,
    PfsError,
    RepoNotFoundError,
    RepoRef,
)

GATEWAY = web.AppKey("gateway", Gateway)


class ProjectBody(BaseModel):
    """What `POST /projects` takes."""

    model_config = ConfigDict(extra="forbid")
    project: str


class BranchBody(BaseModel):
    """What `POST /branches` and `POST /commits` take; `is_output` makes a branch that only pipelines write."""

    model_config = ConfigDict(extra="forbid")
    repo: str
    project: str = DEFAULT_PROJECT
    branch: str = "master"
    is_output: bool = False

    @property
    def ref(self) -> RepoRef:
        """The repo."""
        return RepoRef(self.repo, self.project)


Body = TypeVar("Body", bound=BaseModel)


async def _read(request: web.Request, model: type[Body]) -> Body:
    return model.model_validate_json(await request.read())


async def put_faults(request: web.Request) -> web.Response:
    """Put a list of rules in force, in place of all earlier ones."""
    rules = parse_rules(await request.read())
    request.app[GATEWAY].faults.replace(rules)
    return _faults(request)


async def delete_faults(request: web.Request) -> web.Response:
    """Take all rules out of force."""
    request.app[GATEWAY].faults.replace([])
    return _faults(request)


async def get_faults(request: web.Request) -> web.Response:
    """Tell the rules in force."""
    return _faults(request)


def _faults(request: web.Request) -> web.Response:
    return web.json_response([rule.model_dump(mode="json") for rule in request.app[GATEWAY].faults.rules])


async def get_requests(request: web.Request) -> web.Response:
    """Tell how many S3 requests and gRPC calls came in."""
    counts = request.app[GATEWAY].counts
    return web.json_response(
        {
            "total": counts.by_method.total(),
            "by_method": dict(counts.by_method),
            "by_operation": dict(counts.by_operation),
        }
    )


class AwaitedRequests(BaseModel):
    """What `POST /requests/awaited` takes: how many calls of these operations, in all, to wait for."""

    model_config = ConfigDict(extra="forbid")
    operations: list[str]
    calls: int = Field(ge=1)
    seconds: float = Field(gt=0, le=300)


async def await_requests(request: web.Request) -> web.Response:
    """Answer once so many requests came in since the counts were last at zero."""
    awaited = await _read(request, AwaitedRequests)
    counts = request.app[GATEWAY].counts
    try:
        await counts.wait_for(awaited.operations, awaited.calls, awaited.seconds)
    except TimeoutError:
        message = f"no {awaited.calls} calls of {' or '.join(awaited.operations)} in {awaited.seconds:g} s: "
        raise web.HTTPGatewayTimeout(text=message + str(dict(counts.by_operation))) from None
    return await get_requests(request)


async def delete_requests(request: web.Request) -> web.Response:
    """Count from zero again."""
    request.app[GATEWAY].counts.reset()
    return await get_requests(request)


async def get_commits(request: web.Request) -> web.Response:
    """List a repo's commits, newest first."""
    name = request.query.get("repo")
    if not name:
        raise web.HTTPBadRequest(text="query: repo is missing; ask for /commits?repo=NAME[&project=NAME]")
    repo = request.app[GATEWAY].pfs.repo(RepoRef(name, request.query.get("project", DEFAULT_PROJECT)))
    return web.json_response([_commit_json(commit) for commit in reversed(repo.commits.values())])


class OutageBody(BaseModel):
    """What `POST /outage` takes."""

    model_config = ConfigDict(extra="forbid")
    seconds: float = Field(ge=0, le=300)


async def begin_outage(request: web.Request) -> web.Response:
    """Be down for so long, from now on; 0 ends an outage. What is stored stays."""
    body = await _read(request, OutageBody)
    request.app[GATEWAY].begin_outage(body.seconds)
    return web.json_response({"seconds": body.seconds})


async def start_commit(request: web.Request) -> web.Response:
    """Open a commit on a branch."""
    body = await _read(request, BranchBody)
    return web.json_response(_commit_json(request.app[GATEWAY].pfs.start_commit(body.ref, body.branch)), status=201)


async def finish_commit(request: web.Request) -> web.Response:
    """Close an open commit and wait for it to finish."""
    body = await _read(request, BranchBody)
    gateway = request.app[GATEWAY]
    commit = gateway.pfs.finish_commit(CommitRef(body.ref, body.branch, request.match_info["id"]))
    gateway.finisher.submit(commit)
    await gateway.finisher.wait(commit)
    return web.json_response(_commit_json(commit))


async def create_project(request: web.Request) -> web.Response:
    """Make a project, which S3 cannot."""
    body = await _read(request, ProjectBody)
    request.app[GATEWAY].pfs.create_project(body.project)
    return web.json_response({"project": body.project}, status=201)


async def create_branch(request: web.Request) -> web.Response:
    """Make a branch, and its repo if missing; `is_output` as a pipeline would."""
    body = await _read(request, BranchBody)
    pfs = request.app[GATEWAY].pfs
    if body.ref not in pfs.repos:
        pfs.create_repo(body.ref)
    branch = pfs.create_branch(body.ref, body.branch, is_output=body.is_output)
    return web.json_response({"branch": branch.name, "head": branch.head.id}, status=201)


def _commit_json(commit: Commit) -> dict[str, object]:
    return {
        "id": commit.id,
        "branch": commit.branch,
        "parent": commit.parent.id if commit.parent else None,
        "description": commit.description,
        "state": commit.state.value,
        "error": commit.error,
        "changes": len(commit.changes),
        "started": _iso(commit.started),
        "finished": _iso(commit.finished),
    }


def _iso(when: datetime | None) -> str | None:
    return when.isoformat() if when else None


_PFS_STATUS: dict[type[Exception], int] = {NotFoundError: 404, RepoNotFoundError: 404, AlreadyExistsError: 409}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        return _error(400, explain(error, "body"))
    except (FaultsError, PfsError) as error:
        return _error(_PFS_STATUS.get(type(error), 400), str(error))
    except web.HTTPException as error:
        return _error(error.status, error.text or error.reason)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def control_app(gateway: Gateway) -> web.Application:
    """Build the control API; every error is JSON with one field, `error`."""
    app = web.Application(middlewares=[_explain_errors])
    app[GATEWAY] = gateway
    app.router.add_put("/faults", put_faults)
    app.router.add_delete("/faults", delete_faults)
    app.router.add_get("/faults", get_faults)
    app.router.add_get("/requests", get_requests)
    app.router.add_delete("/requests", delete_requests)
    app.router.add_post("/requests/awaited", await_requests)
    app.router.add_post("/outage", begin_outage)
    app.router.add_get("/commits", get_commits)
    app.router.add_post("/commits", start_commit)
    app.router.add_post("/commits/{id}/finish", finish_commit)
    app.router.add_post("/projects", create_project)
    app.router.add_post("/branches", create_branch)
    return app
