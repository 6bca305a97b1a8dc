"""Loads TensorFlow's real ``file_io`` with the ``s3://`` file system, without importing all of TensorFlow.

``import tensorflow`` takes 5 to 10 seconds, 458 MB, and some forty dependencies of which this image installs three.
With a bare ``tensorflow`` module whose ``__path__`` is the package's folder, its submodules import as ever, and
``file_io`` needs few of them: 1 second and 254 MB (measured, tensorflow-cpu 2.17.1). ``tensorflow_io`` registers its
plugin on import by the call made here; its package's own import would bring in the whole of TensorFlow again.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_PLUGIN = Path("python", "ops", "libtensorflow_io_plugins.so")


def load_file_io(plugin_environment: Mapping[str, str]) -> tuple[Any, Any]:
    """Return TensorFlow's modules ``file_io`` and ``errors``, with ``s3://`` reading ``plugin_environment``.

    The plugin reads the process's environment once, at its first use; hence it is set here and nowhere else.
    """
    os.environ.update(plugin_environment)
    session, file_io, errors = import_tensorflow()
    session.TF_RegisterFilesystemPlugin(plugin())
    return file_io, errors


def import_tensorflow() -> tuple[Any, Any, Any]:
    """Return TensorFlow's modules ``pywrap_tf_session``, ``file_io`` and ``errors``, without ``s3://`` as yet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    if "tensorflow" not in sys.modules:
        package = ModuleType("tensorflow")
        package.__path__ = [str(_folder("tensorflow"))]
        sys.modules["tensorflow"] = package
    return (
        importlib.import_module("tensorflow.python.client.pywrap_tf_session"),
        importlib.import_module("tensorflow.python.lib.io.file_io"),
        importlib.import_module("tensorflow.python.framework.errors"),
    )


def plugin() -> str:
    """Return the path of the plugin for ``s3://``."""
    return str(_folder("tensorflow_io") / _PLUGIN)


def _folder(package: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed; run `uv sync`")
    return Path(spec.submodule_search_locations[0])
