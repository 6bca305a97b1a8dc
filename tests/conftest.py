"""The fixtures of all tests; each lives in the module of tests/support that says what it is."""

import hypothesis
import pytest

from tests.support.cluster import cluster, end_shared_cluster, images, trees
from tests.support.deploy import bare_cluster, fresh, helm
from tests.support.groups import pytest_collection_modifyitems
from tests.support.job_server import job_server
from tests.support.operator_process import installed, second_cluster
from tests.support.signals import signals_are_heard

__all__ = [
    "bare_cluster",
    "cluster",
    "fresh",
    "helm",
    "images",
    "installed",
    "job_server",
    "pytest_collection_modifyitems",
    "second_cluster",
    "signals_are_heard",
    "trees",
]


# How long an example takes says more about the machine than about the code; the benchmarks measure time.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running."""
    end_shared_cluster(config)
