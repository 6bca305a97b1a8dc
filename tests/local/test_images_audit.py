"""The audit asks a service that speaks as OSV does: the real uv, against one on this machine or against none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from s3sync_local.errors import ImageError
from s3sync_local.images.audit import Verdict, audit, judge
from s3sync_local.processes import free_ports

ADVISORY = {
    "id": "PYSEC-2099-1",
    "modified": "2099-01-01T00:00:00Z",
    "published": "2099-01-01T00:00:00Z",
    "summary": "botocore lets anyone in",
    "affected": [{"package": {"name": "botocore", "ecosystem": "PyPI"}, "versions": ["1.44.5"]}],
}


@contextmanager
def _service(vulnerable: str | None) -> Iterator[str]:
    """Serve the two calls of OSV that uv makes; the named package has the advisory."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            named = [query["package"]["name"] == vulnerable for query in queries]
            self._answer({"results": [{"vulns": [ADVISORY]} if hit else {} for hit in named]})

        def do_GET(self) -> None:
            self._answer(ADVISORY)

        def _answer(self, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(10)


def test_a_service_that_knows_nothing_bad_makes_the_lock_clean() -> None:
    with _service(None) as url:
        assert audit(url)[0] is Verdict.CLEAN


def test_a_vulnerable_dependency_is_found_and_named() -> None:
    with _service("botocore") as url:
        verdict, text = audit(url)
    assert verdict is Verdict.VULNERABLE
    assert "PYSEC-2099-1" in text


def test_a_service_that_does_not_answer_is_told_in_one_line_and_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    (port,) = free_ports(1)
    verdict, text = audit(f"http://127.0.0.1:{port}/")
    assert verdict is Verdict.NOT_REACHED
    assert text.startswith("not audited: the vulnerability data cannot be reached")
    assert "\n" not in text


def test_a_lock_that_uv_cannot_read_is_an_error_and_no_verdict() -> None:
    with pytest.raises(ImageError, match="uv audit failed with exit code 2: error: Failed to parse"):
        judge(2, "", "error: Failed to parse `uv.lock`")
