"""What the seed's script does, without its printing: copy one file after the other, walk, read each file whole.

    python seed_way.py BUCKET INPUT-PATH

It takes S3_ENDPOINT and the keys from the environment, as s3sync-job does. What it reads it does not compare.
"""

from __future__ import annotations

import os
import sys

from s3sync_job.settings import parse_gateway, plugin_environment
from s3sync_job.tensorflow_io_loader import load_file_io

PLUGINS_PART = 50 * 1024**2
"""The plugin's default size of an upload's part, which the seed's script leaves as it is."""


def main(bucket: str, input_path: str) -> None:
    """Copy and read, and end the process, which TensorFlow would take its time for."""
    environment = plugin_environment(parse_gateway(os.environ), 0, 25)
    file_io, _ = load_file_io({**environment, "S3_MULTI_PART_UPLOAD_CHUNK_SIZE": str(PLUGINS_PART)})
    url = f"s3://{bucket}/"
    for directory, _, files in os.walk(input_path):
        for file in files:
            file_io.copy(f"{directory}/{file}", f"{url}{directory}/{file}", True)
    for directory, _, files in file_io.walk(url + input_path, True):
        for file in files:
            file_io.read_file_to_string(f"{directory}/{file}", False)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
