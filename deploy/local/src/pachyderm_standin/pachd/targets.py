"""Which branch and path a call is about, for fault rules to match."""

from pachyderm_standin.model import CommitRef, NotFoundError, RepoRef
from pachyderm_standin.pachd.calls import Call, bucket_of
from pachyderm_standin.pachd.messages import Message, read_commit, read_repo


def target_of(call: Call, request: Message) -> tuple[str, str]:
    """Tell the bucket name `branch.repo.project` and the path; empty where the call has none.

    The branch is empty for a call about a repo as a whole.
    """
    file, named = _file(request), _named(request)
    return _bucket(call, named) if named else "", file.path if file else ""


def repo_of(request: Message) -> RepoRef | None:
    """Tell the repo that a call is about, None where it has none."""
    named = _named(request)
    return named.repo if named else None


def _named(request: Message) -> CommitRef | None:
    """Read the commit, the branch or the repo that a call names."""
    file = _file(request)
    if commit := file.commit if file else _field(request, "commit"):
        return read_commit(commit)
    if branch := _field(request, "branch"):
        return CommitRef(read_repo(branch.repo), branch.name)
    repo = _field(request, "repo")
    return CommitRef(read_repo(repo), "") if repo else None


def _file(request: Message) -> Message:
    return _field(request, "file") or _field(request, "new_file")


def _field(request: Message, name: str) -> Message:
    has_it = name in request._betterproto.meta_by_field_name and request.is_set(name)
    return getattr(request, name) if has_it else None


def _bucket(call: Call, ref: CommitRef) -> str:
    if ref.id and not ref.branch:
        try:
            ref = call.exact(call.pick(ref))
        except NotFoundError:
            return bucket_of(ref.repo, "")
    return bucket_of(ref.repo, ref.branch)
