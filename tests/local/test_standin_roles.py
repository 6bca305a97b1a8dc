"""The stand-in's tokens: one a line, alone or with a role on a repo."""

import pytest

from pachyderm_standin.model import PfsError, RepoRef
from pachyderm_standin.roles import Grant, read_grants

BOOKS, OTHERS = RepoRef("books"), RepoRef("others", "team")
WRITER = Grant("repoWriter", BOOKS)


def test_a_token_alone_may_do_everything_and_one_with_a_role_has_that() -> None:
    text = "admins-token\n\n  writers-token repoWriter default/books\n"
    assert read_grants(text) == {"admins-token": None, "writers-token": WRITER}


@pytest.mark.parametrize(
    "line", ["t repoWriter", "t repoWriter books", "t repoKing default/books", "t repoWriter default/books more"]
)
def test_a_line_that_is_neither_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 is neither TOKEN nor TOKEN ROLE PROJECT/REPO"):
        read_grants(f"admins-token\n{line}")


@pytest.mark.parametrize(
    ("operation", "repo", "words"),
    [
        ("StartCommit", BOOKS, None),
        ("StartCommit", OTHERS, "[REPO_WRITE] on REPO team/others"),
        ("DeleteRepo", BOOKS, "[REPO_DELETE] on REPO default/books"),
        ("DropCommit", BOOKS, "[REPO_DELETE_COMMIT] on CLUSTER"),
        ("WalkFile", RepoRef("__filesets__"), "no role binding exists for REPO default/__filesets__"),
        ("CreateFileSet", None, None),
        ("ListRepo", None, None),
    ],
)
def test_a_writer_may_do_what_the_role_allows_on_its_repo_alone(
    operation: str, repo: RepoRef | None, words: str | None
) -> None:
    if words is None:
        WRITER.check(operation, repo)
        return
    with pytest.raises(PfsError) as refused:
        WRITER.check(operation, repo)
    assert words in str(refused.value)
