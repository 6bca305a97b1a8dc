"""Which sync, and which run of it, the lines of a log are about: kept in the context of the task that works on it.

So every line that is written meanwhile carries it, from whichever module or library, and no function hands it on.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from s3sync_operator.api import GROUP, KIND, VERSION

Result = TypeVar("Result")


@dataclass(frozen=True)
class About:
    """A sync, and the job of the attempt that is worked on, once that is known."""

    namespace: str
    name: str
    job: str | None = None
    attempt: int | None = None


_about: ContextVar[About | None] = ContextVar("about", default=None)


def about_sync(namespace: str, name: str) -> None:
    """Say which sync the task works on from now on."""
    _about.set(About(namespace, name))


def about_run(job: str, attempt: int) -> None:
    """Say which job's attempt of the sync the task works on from now on."""
    if about := _about.get():
        _about.set(replace(about, job=job, attempt=attempt))


def in_context(function: Callable[[], Result]) -> Callable[[], Result]:
    """Return a function that may be run in another thread and still tells what its lines are about."""
    return partial(copy_context().run, function)


class AboutFilter(logging.Filter):
    """Adds what a line is about, under the names that kopf's formatters know: `object` in JSON, a prefix in text.

    A line that kopf writes of an object keeps that one. The run is `run` in JSON.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Take note in the record; every line passes."""
        about = _about.get()
        if about and not hasattr(record, "k8s_ref"):
            record.k8s_ref = {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": about.namespace,
                "name": about.name,
            }
            if about.job:
                record.run = {"job": about.job, "attempt": about.attempt}
        return True


def annotate(logger: logging.Logger) -> None:
    """Have all handlers of a logger add it; those that do already are left alone."""
    for handler in logger.handlers:
        if not any(isinstance(item, AboutFilter) for item in handler.filters):
            handler.addFilter(AboutFilter())
