"""Calls about projects, repos and branches."""

from collections.abc import AsyncIterator

from betterproto.lib.google.protobuf import Empty
from pachyderm_sdk.api import pfs

from pachyderm_standin.model import AlreadyExistsError, BranchRef, InvalidNameError, NotFoundError, RepoRef
from pachyderm_standin.pachd import messages
from pachyderm_standin.pachd.calls import Call
from pachyderm_standin.pachd.errors import wrapped
from pachyderm_standin.pachd.messages import USER_REPO, Message, read_commit, read_repo


async def create_project(call: Call, request: Message) -> Message:
    """Make a project, or update its description."""
    model, name = call.gateway.pfs, request.project.name
    if request.update and name in model.projects:
        model.projects[name].description = request.description
        return Empty()
    try:
        model.create_project(name, request.description)
    except AlreadyExistsError as error:
        raise AlreadyExistsError(f"{error}\nproject {name} already exists") from error
    except InvalidNameError as error:
        raise InvalidNameError(f"invalid project name: {error}") from error
    return Empty()


async def inspect_project(call: Call, request: Message) -> Message:
    """Tell about a project."""
    with wrapped(f'error getting project "{request.project.name}"'):
        return messages.project_info(call.gateway.pfs.project(request.project.name))


async def list_project(call: Call, _request: Message) -> AsyncIterator[Message]:
    """List projects, oldest first."""
    for project in list(call.gateway.pfs.projects.values()):
        yield messages.project_info(project)


async def delete_project(call: Call, request: Message) -> Message:
    """Delete a project without repos."""
    call.gateway.pfs.delete_project(request.project.name)
    return Empty()


async def create_repo(call: Call, request: Message) -> Message:
    """Make a repo, or update its description."""
    model, ref = call.gateway.pfs, read_repo(request.repo)
    if request.update and ref in model.repos:
        model.repos[ref].description = request.description
        return Empty()
    model.create_repo(ref, request.description)
    return Empty()


async def inspect_repo(call: Call, request: Message) -> Message:
    """Tell about a repo."""
    repo = call.gateway.pfs.repo(read_repo(request.repo))
    info = messages.repo_info(repo)
    info.details = messages.repo_details(repo)
    return info


async def list_repo(call: Call, request: Message) -> AsyncIterator[Message]:
    """List repos, oldest first; all are users' repos."""
    projects = {project.name for project in request.projects}
    if request.type not in {"", USER_REPO}:
        return
    for ref, repo in list(call.gateway.pfs.repos.items()):
        if not projects or ref.project in projects:
            yield messages.repo_info(repo)


async def delete_repo(call: Call, request: Message) -> Message:
    """Delete a repo; no error where there is none."""
    ref = read_repo(request.repo)
    deleted = ref in call.gateway.pfs.repos
    for commit in call.gateway.pfs.delete_repo(ref):
        call.gateway.finisher.notify(commit)
    return pfs.DeleteRepoResponse(deleted=deleted)


async def create_branch(call: Call, request: Message) -> Message:
    """Make a branch with an empty head, or put one at a given commit; provenance makes it one that pipelines write."""
    repo, head = read_repo(request.branch.repo), None
    if request.is_set("head"):
        with wrapped(f"unable to inspect {read_commit(request.head)}"):
            head = call.exact(call.pick(read_commit(request.head)))
    read = tuple(BranchRef(read_repo(item.repo), item.name) for item in request.provenance)
    call.gateway.pfs.create_branch(repo, request.branch.name, head=head, is_output=bool(read), provenance=read)
    return Empty()


async def inspect_branch(call: Call, request: Message) -> Message:
    """Tell about a branch."""
    repo, name = read_repo(request.branch.repo), request.branch.name
    try:
        return messages.branch_info(repo, call.gateway.pfs.branch(repo, name))
    except NotFoundError as error:
        raise NotFoundError(
            f'inspect branch in transaction: {_missing_branch(repo, name)}\nbranch "{name}" not found in repo {repo}'
        ) from error


async def list_branch(call: Call, request: Message) -> AsyncIterator[Message]:
    """List a repo's branches, newest first; those of all repos where none is named."""
    model = call.gateway.pfs
    repos = [model.repo(read_repo(request.repo))] if request.repo.name else list(model.repos.values())
    for repo in repos:
        for branch in messages.listed_branches(repo, reverse=request.reverse):
            yield messages.branch_info(repo.ref, branch)


async def delete_branch(call: Call, request: Message) -> Message:
    """Delete a branch; its commits stay."""
    repo, name = read_repo(request.branch.repo), request.branch.name
    if name not in call.gateway.pfs.repo(repo).branches:
        raise NotFoundError(f'get branch "{repo}.{USER_REPO}@{name}": {_missing_branch(repo, name)}')
    call.gateway.pfs.delete_branch(repo, name, force=request.force)
    return Empty()


def _missing_branch(repo: RepoRef, name: str) -> str:
    return f"branch (id=0, branch={repo}@{name}) not found"
