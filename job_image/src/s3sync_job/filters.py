"""Which files of the tree are synced, by patterns as in .gitignore (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pathspec import PathSpec
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from s3sync_job.outcome import Reason, SyncError

Patterns = PathSpec[GitIgnoreSpecPattern]


@dataclass(frozen=True)
class Filter:
    """Chooses paths relative to the input path. ``exclude`` wins over ``include``; without ``include`` all is included.

    The patterns are those of gitignore(5): one without a slash but at its end matches at any depth, one with a slash
    starts at the input path, ``*`` stops at slashes and ``**`` does not, one with a slash at its end matches
    directories only, and one that matches a directory takes in all that lies below it.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    _include: Patterns = field(init=False, repr=False, compare=False)
    _exclude: Patterns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the patterns; raises SyncError InvalidArguments naming the flag and the pattern that is none."""
        object.__setattr__(self, "_include", _compiled("--include", self.include))
        object.__setattr__(self, "_exclude", _compiled("--exclude", self.exclude))

    def takes(self, path: str) -> bool:
        """Tell whether the file at ``path`` is synced; a directory's path ends with a slash."""
        return (not self.include or self._include.match_file(path)) and not self._exclude.match_file(path)

    def excludes(self, path: str) -> bool:
        """Tell whether ``path`` is left out with all below it, even if it is a directory that includes do not name."""
        return self._exclude.match_file(path)


def _compiled(flag: str, patterns: Iterable[str]) -> Patterns:
    return PathSpec(_pattern(flag, pattern) for pattern in patterns)


def _pattern(flag: str, pattern: str) -> GitIgnoreSpecPattern:
    """Return the compiled pattern; one that .gitignore would take for a comment or an empty line matches nothing."""
    try:
        compiled = GitIgnoreSpecPattern(pattern)
    except GitIgnorePatternError as error:
        raise SyncError(
            Reason.INVALID_ARGUMENTS, f"{flag}: {pattern!r} is not a pattern of .gitignore: {error}."
        ) from None
    if compiled.include is None:
        raise SyncError(
            Reason.INVALID_ARGUMENTS,
            f"{flag}: {pattern!r} matches nothing; give a pattern as in .gitignore, such as '*.txt' or '/images/**' "
            "(a leading # is written \\#).",
        )
    return compiled


EVERYTHING = Filter()
"""Takes every file."""
