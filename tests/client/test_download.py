"""Pictures of the web: what is fetched, and what is not, from a real server on this machine."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pictures import encoded, scene

from saccade.client import download as module
from saccade.client.download import download, is_url
from saccade.client.hosts import Hosts
from saccade.errors import ImageError

PNG = encoded(scene())


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers))  # type: ignore[attr-defined]
        status, headers, body = 200, {}, PNG
        match self.path:
            case "/moved":
                status, headers, body = 302, {"Location": "/a.png"}, b""
            case "/later":
                status, headers, body = 302, {"Location": "/headers"}, b""
            case "/round":
                status, headers, body = 302, {"Location": "/round"}, b""
            case "/inside":
                status, headers, body = 302, {"Location": "http://127.0.0.1:1/a.png"}, b""
            case "/file":
                status, headers, body = 302, {"Location": "file:///etc/passwd"}, b""
            case "/none":
                status, body = 404, b"none"
            case "/packed":
                headers = {"Content-Encoding": "gzip"}
            case "/plain":
                headers = {"Content-Encoding": "Identity"}
            case "/slow":
                headers = {"Content-Length": str(10**9)}
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        while self.path == "/headers" and not self.server.over.wait(0.02):  # type: ignore[attr-defined]
            self.wfile.write(b"X: y\r\n")
        self.end_headers()
        self.wfile.write(body)
        while self.path == "/slow" and not self.server.over.wait(0.02):  # type: ignore[attr-defined]
            self.wfile.write(b"x")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    server.seen, server.over = [], threading.Event()  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hung up
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url(pages: ThreadingHTTPServer) -> str:
    return f"http://localhost:{pages.server_port}"


LOCAL = Hosts.of(["localhost"])


def test_what_a_named_host_has_is_fetched(url: str, pages: ThreadingHTTPServer) -> None:
    assert download(f"{url}/a.png?size=large#top", LOCAL) == PNG
    path, headers = pages.seen[-1]  # type: ignore[attr-defined]
    assert path == "/a.png?size=large"
    assert headers["Host"] == f"localhost:{pages.server_port}"
    assert download(f"{url}/moved", LOCAL) == PNG
    assert download(f"{url}/plain", LOCAL) == PNG
    assert download(f"{url}/a.png", Hosts.of([f"LOCALHOST.:{pages.server_port}"])) == PNG


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/none", "the server answered 404"),
        ("/round", "more than 5 redirects"),
        ("/file", "expected an http or https URL, got 'file:///etc/passwd'"),
        ("/inside", r"the host '127\.0\.0\.1' is not allowed"),
        ("/packed", "the server packed the content"),
    ],
)
def test_what_is_not_fetched_is_named_by_the_url_of_the_user(
    url: str, path: str, says: str
) -> None:
    with pytest.raises(ImageError, match=f"{url}{path}: {says}"):
        download(url + path, LOCAL)


def test_bytes_and_seconds_are_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"/slow: more than 9\.5.*e-05 MiB"):
        download(f"{url}/slow", LOCAL, max_bytes=100)
    monkeypatch.setattr(module, "MAX_SECONDS", 0.2)
    for path in ("/slow", "/headers", "/later"):  # a letter at a time, of content or headers
        with pytest.raises(ImageError, match=rf"{path}: took longer than 0\.2 s"):
            download(url + path, LOCAL)


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://user:secret@localhost/a", "a URL with a user name or password"),
     ("http://localhost:99999/a", "cannot be fetched"), ("http://[::1/a", "cannot be fetched"),
     ("http:///a", "expected an http or https URL"),
     ("http://other.example/a", "'other.example' is not allowed; name it in allow_urls")],
)  # fmt: skip
def test_odd_urls_are_refused(url: str, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        download(url, LOCAL)


def test_what_is_a_url() -> None:
    assert is_url("https://a/b.png")
    assert is_url("HTTP://a/b.png")
    assert not is_url("http.png")
    assert not is_url("httpx://a")
