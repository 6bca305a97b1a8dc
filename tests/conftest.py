"""The fixtures of all tests; each lives in the module of tests/support that says what it is."""

import pytest

from tests.support.cluster import cluster, end_shared_cluster, images, trees
from tests.support.deploy import bare_cluster, fresh, helm
from tests.support.operator_process import installed, second_cluster
from tests.support.signals import signals_are_heard

__all__ = [
    "bare_cluster",
    "cluster",
    "fresh",
    "helm",
    "images",
    "installed",
    "second_cluster",
    "signals_are_heard",
    "trees",
]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running."""
    end_shared_cluster(config)
