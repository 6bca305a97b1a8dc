"""What is taken from Debian, kept for a month, and then made anew for its updates: the base, and the pause program."""

from collections.abc import Callable
from pathlib import Path

from s3sync_local.errors import ImageError
from s3sync_local.images import debian, inputs, store
from s3sync_local.images.buildah import Build, bud_arguments
from s3sync_local.images.session import Session

BASE = "localhost/pachyderm-s3-sync/base:local"
BASE_NAME = "base"
BASE_TIME = 1686355200
"""The day of Debian 12's release: the time that the base's files get. What a base holds is told by its digest."""
PAUSE_PACKAGE, PAUSE_MEMBER = "catatonit", "usr/bin/catatonit"
FRESH_DAYS = 30
ARCHIVE = "image.tar"


def base_key() -> str:
    """Return the key of the base: it changes with how the base is made. What Debian holds then changes with time."""
    arguments = [*debian.base_arguments(Path("base.tar")), *bud_arguments(Build(BASE, Path(), Path(), BASE_TIME))]
    return inputs.digest({}, [*arguments])


def pause_key() -> str:
    """Return the key of Debian's catatonit."""
    return inputs.digest({}, [*debian.extract_arguments(PAUSE_PACKAGE, Path("package.tar")), PAUSE_MEMBER])


def ensure_base(session: Session) -> Path:
    """Return the archive of the base, made where the cache has none or one that is older than FRESH_DAYS.

    An old base is used on where a new one cannot be made now: its lack of updates is told, and no reason to stop.
    """
    return _ensure_debian(session, BASE_NAME, base_key(), lambda made: make_base(session, made)) / ARCHIVE


def ensure_pause_program(session: Session) -> Path:
    """Return Debian's catatonit, kept like the base."""

    def make(made: Path) -> None:
        work = session.folder("pause-package")
        debian.extract_program(PAUSE_PACKAGE, PAUSE_MEMBER, work, made / PAUSE_PACKAGE, session.progress)

    return _ensure_debian(session, PAUSE_PACKAGE, pause_key(), make) / PAUSE_PACKAGE


def make_base(session: Session, made: Path) -> None:
    """Make a Debian with Python and write it as an image's archive."""
    context = session.folder("context-base")
    debian.make_base(session.work, context / "base.tar", BASE_TIME, session.progress)
    (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    builder = session.builder()
    builder.build(Build(BASE, context, context / "Dockerfile", BASE_TIME))
    builder.save(BASE, made / ARCHIVE)


def fresh(root: Path, name: str, key: str) -> Path | None:
    """Return what was taken from Debian where the cache has it and it is young enough to have the newest updates."""
    entry = store.entry(root, name, key)
    return entry if store.use(entry) and store.age_days(entry) < FRESH_DAYS else None


def _ensure_debian(session: Session, name: str, key: str, make: Callable[[Path], None]) -> Path:
    if found := fresh(session.root, name, key):
        return found
    entry = store.entry(session.root, name, key)
    try:
        session.publish(entry, make)
    except ImageError as error:
        if not entry.exists():
            raise
        session.progress(f"{name} is over {FRESH_DAYS} days old and cannot be made anew, so it is used on: {error}")
    return entry
