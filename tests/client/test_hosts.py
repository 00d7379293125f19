"""Which hosts are fetched from: every way to write an address of this network, and what it is for.

Each trick is also tried with the mechanism off that it is meant for: then it gets through.
"""

import errno
import socket
import threading
from collections.abc import Iterator

import pytest
from sites import Network, Page, Site, moved, site

from saccade.client import download, hosts
from saccade.client.download import fetch
from saccade.client.hosts import Hosts, Unfetched
from saccade.errors import ConfigError

PUBLIC = Hosts.of(True)
SECRET = b"what is inside"


@pytest.fixture(scope="module")
def inside() -> Iterator[Site]:
    """The server that nobody outside may reach."""
    with site() as made:
        yield made


@pytest.fixture
def network(inside: Site, monkeypatch: pytest.MonkeyPatch) -> Network:
    inside.pages = {"/": Page(SECRET, "text/plain")}
    inside.asked.clear()
    return Network(monkeypatch, inside.port)


def got(url: str, allowed: Hosts = PUBLIC) -> bytes:
    return fetch(url, allowed, accept="text/*").data


PRIVATE = [
    "127.0.0.1", "localhost", "0.0.0.0", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.192", "192.88.99.1",
    # Other ways to write them: one number, octal, hex, parts left out, a dot behind, full-width
    # and circled digits, full stops of other scripts.
    "2130706433", "0x7f000001", "127.1", "0x7f.1", "0177.0.0.1", "0", "127.0.0.1.", "localhost.",
    "LOCALHOST", "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
    "2852039166", "0xa9fea9fe",
    # IPv6, and IPv4 within it: mapped, translated, NAT64, 6to4, compatible.
    "[::]", "[::1]", "[fe80::1]", "[fd00::1]", "[fec0::1]", "[ff02::1]", "[3fff::1]", "[5f00::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[::127.0.0.1]",
]  # fmt: skip


def test_an_address_of_this_network_is_refused_however_it_is_written(network: Network) -> None:
    for host in PRIVATE:
        with pytest.raises(Unfetched, match="of this machine or network") as refused:
            got(f"http://{host}/")
        assert not refused.value.ours, "the model chose it"
    assert not network.reached


def test_without_the_check_of_addresses_it_would_be_reached(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_is_public", lambda address: True)
    for host in PRIVATE:
        assert got(f"http://{host}/") == SECRET, host
    assert len(network.reached) == len(PRIVATE)


ODD = [
    ("http://good.example@127.0.0.1/", "user name"),
    ("http://good.example%2f@127.0.0.1/", "user name"),
    ("http://127.0.0.1#@good.example/", "of this machine"),
    ("http://127.0.0.1?@good.example/", "of this machine"),
    ("http://127.0.0.1;good.example/", "no name and no address"),
    ("http://127.0.0.1\\@good.example/", "user name"),
    ("http://good.example\\@127.0.0.1/", "user name"),
    ("http://good.example\\.127.0.0.1/", "no name and no address"),
    ("http:\\\\127.0.0.1/", "expected an http"),
    ("http:127.0.0.1/", "expected an http"),
    ("http:///127.0.0.1/", "expected an http"),
    ("//127.0.0.1/", "expected an http"),
    ("http://127.0.0.1%00.good.example/", "no name and no address"),
    ("http://127.0.0.1 .good.example/", "no name and no address"),
    ("http://[fe80::1%25lo]/", "cannot be fetched|no name and no address"),
    ("http://[::1/", "cannot be fetched"),
    ("http://" + "a" * 64 + ".example/", "cannot be fetched"),
    ("http://127.0.0.1:80:80/", "cannot be fetched"),
    ("http://localhost:0/", "whose port is none"),
    ("http://localhost:99999/", "cannot be fetched"),
    ("http://\u2100.example/", "cannot be fetched"),  # NFKC: a/c
    ("file:///etc/passwd", "expected an http"), ("gopher://127.0.0.1:70/_x", "expected an http"),
    ("ftp://127.0.0.1/", "expected an http"), ("data:text/plain,x", "expected an http"),
    ("jar:http://127.0.0.1/", "expected an http"), ("", "expected an http"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "says"), ODD)
def test_a_url_with_two_readings_is_refused(network: Network, url: str, says: str) -> None:
    with pytest.raises(Unfetched, match=says):
        got(url)
    assert not network.reached


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1/", "//127.0.0.1/", "http://2130706433/", "http://[::ffff:7f00:1]/",
     "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "gopher://127.0.0.1:70/_x",
     "http://good.example@127.0.0.1/", "http://chain.example/"],
)  # fmt: skip
def test_a_redirect_is_checked_like_any_url(
    network: Network, inside: Site, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    network.names = {name: [["93.184.215.14"]] for name in ("good.example", "chain.example")}
    inside.pages |= {"/start": moved("/hop"), "/hop": moved(place), "/latest/meta-data/":
                     Page(SECRET)}  # fmt: skip
    if "chain" in place:
        inside.pages["/"] = moved("http://127.0.0.1/end")
    with pytest.raises(Unfetched, match=r"of this machine|expected an http|user name"):
        got("http://good.example/start")
    assert set(network.reached) == {"93.184.215.14"}
    if "@" in place or not place.startswith(("http:", "//")):
        return
    monkeypatch.setattr(hosts, "_is_public", lambda address: True)
    inside.pages["/end"] = Page(SECRET)
    assert got("http://good.example/start") == SECRET
    assert network.reached[-1] != "93.184.215.14"


def test_a_name_that_leads_elsewhere_the_second_time_is_connected_to_where_it_was_checked(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[list[str] | OSError] = [["93.184.215.14"], ["127.0.0.1"]]
    network.names["rebound.example"] = list(answers)
    assert got("http://rebound.example/") == SECRET  # of the only server that there is
    assert network.reached == ["93.184.215.14"]
    assert network.looked_up.count("rebound.example") == 1
    network.names["rebound.example"] = list(answers)
    monkeypatch.setattr(
        download, "_at", lambda address, port, parts: f"http://rebound.example:{port}/"
    )
    got("http://rebound.example/")
    assert network.reached[-1] == "127.0.0.1"


def test_all_addresses_of_a_name_count(network: Network) -> None:
    network.names["two.example"] = [["93.184.215.14", "127.0.0.1"]]
    with pytest.raises(Unfetched, match=r"'two\.example' is the address 127\.0\.0\.1"):
        got("http://two.example/")
    assert not network.reached


def test_the_server_is_told_the_name_and_not_the_address(network: Network, inside: Site) -> None:
    network.names["good.example"] = network.names["xn--bcher-kva.example"] = [["93.184.215.14"]]
    for url, host in (
        ("http://good.example/", "good.example"),
        ("http://GOOD.example.:8080/", "good.example:8080"),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("http://[2606:4700::1111]:81/", "[2606:4700::1111]:81"),
    ):
        got(url)
        assert inside.hosts[-1] == host


def test_the_certificate_that_is_wanted_is_that_of_the_name(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first message of TLS holds the name in clear; it is the one that is verified."""
    network.names["named.example"] = [["93.184.215.14"]]
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        monkeypatch.setattr(network, "_port", server.getsockname()[1])
        with pytest.raises(Unfetched, match="cannot be fetched"):
            got("https://named.example/")
        thread.join()
    assert b"named.example" in heard[0]


def test_a_failure_is_ours_only_where_every_url_would_fail(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    network.names = {
        "nowhere.example": [socket.gaierror(socket.EAI_NONAME, "Name or service not known")],
        "broken.example": [late],  # its own servers are
        "example.com": [["93.184.215.14"]],
    }
    for name, again in (("nowhere.example", False), ("broken.example", True)):
        with pytest.raises(Unfetched, match="cannot be fetched") as failed:
            got(f"http://{name}/")
        assert (failed.value.ours, failed.value.again) == (False, again)
    network.names["example.com"] = [late]
    with pytest.raises(Unfetched) as failed:
        got("http://broken.example/")
    assert failed.value.ours

    def unreachable(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    for url, ours in (("http://93.184.215.14/", True), ("http://[2606:4700::1111]/", False)):
        with pytest.raises(Unfetched, match="Network is unreachable") as failed:
            got(url)
        assert failed.value.ours is ours


def test_a_named_host_is_trusted_with_its_port_in_every_spelling(inside: Site) -> None:
    inside.pages = {"/": Page(SECRET)}
    url = f"http://LocalHost.:{inside.port}/"
    assert got(url, Hosts.of(["localhost"])) == got(url, Hosts.of([f"localhost:{inside.port}"]))
    with pytest.raises(Unfetched, match="is not allowed"):
        got(url, Hosts.of(["localhost:1"]))
    with pytest.raises(Unfetched, match="is not allowed"):
        got(f"http://127.0.0.1:{inside.port}/", Hosts.of(["localhost"]))
    assert Hosts.of(["B\u00fccher.example"]) == Hosts.of(["xn--bcher-kva.example."])


@pytest.mark.parametrize(
    "allowed", ["localhost", None, 1, [3], ["a/b"], ["http://a"], ["a:x"], [""]]
)
def test_hosts_that_are_none_are_refused(allowed: object) -> None:
    with pytest.raises(ConfigError, match="allow_urls: expected"):
        Hosts.of(allowed)  # type: ignore[arg-type]
