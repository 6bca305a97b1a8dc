"""A program that uses TensorFlow's real S3 plugin, and prints one JSON line of what it saw.

Usage: `python tensorflow_client.py BUCKET FOLDER`, where FOLDER holds local files. The environment is the plugin's.
It ends by `os._exit`: after any S3 call the plugin aborts at a normal exit (tensorflow/io issues 1912 and 2039).
"""

import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any


def load_file_io() -> Any:
    """Load `file_io` and the plugin without the rest of TensorFlow, which takes 5 to 10 seconds."""
    folders = {}
    for name in ("tensorflow", "tensorflow_io"):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(f"{name} is not installed")
        folders[name] = spec.submodule_search_locations[0]
    bare = types.ModuleType("tensorflow")
    bare.__path__ = [folders["tensorflow"]]
    sys.modules["tensorflow"] = bare
    from tensorflow.python.client import pywrap_tf_session  # noqa: PLC0415
    from tensorflow.python.lib.io import file_io  # noqa: PLC0415

    plugin = Path(folders["tensorflow_io"]) / "python" / "ops" / "libtensorflow_io_plugins.so"
    pywrap_tf_session.TF_RegisterFilesystemPlugin(str(plugin))
    return file_io


def use(bucket: str, folder: Path) -> dict[str, Any]:
    """Copy the folder into the bucket, and tell how it looks from there."""
    file_io = load_file_io()
    root = f"s3://{bucket}/{folder.name}"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in files:
        file_io.copy(str(folder / name), f"{root}/{name}", overwrite=True)
    return {
        "files": files,
        "equal": [name for name in files if _read(file_io, f"{root}/{name}") == (folder / name).read_bytes()],
        "walked": sorted(
            f"{place}/{name}".removeprefix(f"{root}/") for place, _, names in file_io.walk(root) for name in names
        ),
        "top": sorted(file_io.list_directory(root)),
        "sizes": {name: file_io.stat(f"{root}/{name}").length for name in files},
        "exists": file_io.file_exists(f"{root}/{files[0]}"),
        "missing_exists": file_io.file_exists(f"{root}/missing"),
        "refused": _refusal(file_io, f"{root}/Chapter [1].txt"),
        "missing_bucket": _refusal(file_io, f"s3://no-such-branch.{bucket.partition('.')[2]}/file"),
    }


def _read(file_io: Any, path: str) -> bytes:
    with file_io.FileIO(path, "rb") as stream:
        content: bytes = stream.read()
    return content


def _refusal(file_io: Any, path: str) -> str:
    try:
        file_io.write_string_to_file(path, "content")
    except Exception as error:
        return type(error).__name__
    return ""


if __name__ == "__main__":
    try:
        print(json.dumps(use(sys.argv[1], Path(sys.argv[2]))), flush=True)
    except BaseException as failure:
        print(f"{type(failure).__name__}: {failure}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
