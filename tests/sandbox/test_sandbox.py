"""Sessions from outside: nothing leaks, nothing stays, no isolation means refusal."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as PILImage
from unhurried import UNHURRIED
from waiting import until

import saccade
from saccade.errors import ConfigError
from saccade.sandbox import Sandbox, SandboxOptions
from saccade.sandbox.inside import jail
from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.memory import KEPT, shared_image
from saccade.sandbox.server import packages


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children(pid: int) -> list[int]:
    """Processes that a process has started, and theirs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found += [int(entry.name), *children(int(entry.name))]
    return found


def test_a_process_that_is_not_locked_down_cannot_pass_for_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What each session tries before it reads code works here, in an ordinary process."""
    house = jail.House(True, True, 0, "", "", 0, b"", (), 0, 0)
    with pytest.raises(OSError, match="does not hold: socket works"):
        jail.prove(house)

    def refused() -> None:
        raise PermissionError

    monkeypatch.setattr(jail, "_try_socket", refused)
    with pytest.raises(OSError, match="does not hold: fork works"):
        jail.prove(house)
    monkeypatch.setattr(jail, "_try_fork", refused)
    with pytest.raises(OSError, match="/etc/passwd"):
        jail.prove(house)


async def test_one_episode_leaves_nothing_for_the_next(sandbox: Sandbox) -> None:
    leave = (
        "import builtins, os, sys, random\nbuiltins.leaked = 1\nos.environ['LEAKED'] = '1'\n"
        "open('leaked.txt', 'w').write('1')\nsys.modules['leaked'] = sys\n"
        "import numpy\nnumpy.leaked = 1\nos.mkdir('folder')\nleaked = 1"
    )
    look = (
        "import builtins, os, sys, numpy\n"
        "[hasattr(builtins, 'leaked'), 'LEAKED' in os.environ, os.listdir('.'), "
        "'leaked' in sys.modules, hasattr(numpy, 'leaked'), 'leaked' in globals()]"
    )
    async with sandbox.notebook() as first, sandbox.notebook() as beside:
        assert (await first.run(leave)).status == "ok"
        async with sandbox.notebook() as second:
            for notebook in (beside, second):
                assert (await notebook.run(look)).value == "[False, False, [], False, False, False]"


async def test_two_episodes_have_images_of_their_own(sandbox: Sandbox) -> None:
    red, blue = (PILImage.new("RGB", (30, 20), colour) for colour in ("red", "blue"))
    async with sandbox.notebook(images=[red]) as a, sandbox.notebook(images=[blue]) as b:
        await a.run("image_1.paste((0, 255, 0), (0, 0, 30, 20))")
        assert (await a.run("image_1.getpixel((3, 3))")).value == "(0, 255, 0)"
        assert (await b.run("image_1.getpixel((3, 3))")).value == "(0, 0, 255)"
        async with sandbox.notebook(images=[red]) as c:
            assert (await c.run("image_1.getpixel((3, 3))")).value == "(255, 0, 0)"
    assert shared_image(red) is shared_image(red)
    before = descriptors()
    many = [PILImage.new("RGB", (4, 4)) for _ in range(200)]
    # One more: the server's end may have one open for a moment, to move into the next cgroup.
    assert len({shared_image(image).descriptor for image in many}) <= KEPT + 2
    assert descriptors() <= before + KEPT + 1


async def test_a_cell_that_is_given_up_ends_its_session(sandbox: Sandbox) -> None:
    session = await sandbox.session()
    cell = asyncio.create_task(session.run("import time; print('begun'); time.sleep(3600)"))
    await until(lambda: session.printed_bytes() > 0)
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    assert session.ended == "the cell was given up"
    assert (await session.run("1")).status == "killed"


async def test_scratch_is_where_programs_look_for_it(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        cell = await notebook.run(
            "import os, tempfile\nopen('a.txt', 'w').write('x')\n"
            "tempfile.NamedTemporaryFile().name, os.getcwd(), os.listdir(os.environ['HOME'])"
        )
        assert cell.value is not None, cell.error
        assert "['a.txt']" in cell.value


async def test_processor_time_of_a_session_is_limited(sandbox: Sandbox) -> None:
    session = await sandbox.session(limits=replace(UNHURRIED, cpu_seconds=1))
    assert (await session.run("1 + 1")).value == "2"
    cell = await session.run("while True: pass")
    assert (cell.status, cell.error) == ("killed", "the process of the session ended")


async def test_hundreds_of_images_can_be_given(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        await notebook.run("1")  # it is stopped from now on
        for number in range(400):
            await notebook.give(
                f"image_{number}", PILImage.new("RGB", (4, 4), (number % 256, 0, 0))
            )
        cell = await notebook.run("[image_0.getpixel((0, 0))[0], image_399.getpixel((0, 0))[0]]")
        assert cell.value == "[0, 143]"


async def test_a_killed_session_takes_no_other_with_it(sandbox: Sandbox) -> None:
    sessions = [await sandbox.session() for _ in range(8)]
    for number, session in enumerate(sessions):
        await session.run(f"x = {number}")
    ends = [
        "import os; os._exit(1)",
        "import ctypes; ctypes.string_at(0)",
        "import os; os.close(3)",
    ]
    ended = await asyncio.gather(*(s.run(c) for s, c in zip(sessions, ends, strict=False)))
    assert [cell.status for cell in ended] == ["killed"] * 3
    left = await asyncio.gather(*(session.run("x") for session in sessions[3:]))
    assert [cell.value for cell in left] == ["3", "4", "5", "6", "7"]
    assert (await sessions[0].run("x")).status == "killed"
    for session in sessions:
        session.close()


async def test_sessions_with_abuses_among_them_leave_nothing_behind() -> None:
    abuses = [
        "1 + 1", "import os; os._exit(0)", "while True: pass", "import os; os.write(3, b'R{')",
        "print('x' * 100_000)", "open('f', 'wb').write(b'x' * (1 << 20))",
        "import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
    ]  # fmt: skip
    others = children(os.getpid())
    async with Sandbox(SandboxOptions(limits=Limits(seconds=0.2, grace_seconds=0.3))) as own:
        await own.start()
        (server,) = set(children(os.getpid())) - set(others)
        (await own.session()).close()
        before = descriptors()

        async def one(number: int) -> str:
            async with own.notebook() as notebook:
                return (await notebook.run(abuses[number % len(abuses)])).status

        for start in range(0, 280, 28):
            await asyncio.gather(*(one(start + n) for n in range(28)))
        # The server's end may have had one more open for a moment, to move into the next cgroup.
        await until(lambda: descriptors() <= before)
        await until(lambda: children(server) == [])
    assert server not in children(os.getpid())


async def test_a_server_that_dies_is_started_again() -> None:
    others = children(os.getpid())
    async with Sandbox() as own:
        await own.start()
        (server,) = set(children(os.getpid())) - set(others)
        session = await own.session()
        os.kill(server, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{session.pid}").exists())
        assert (await session.run("1")).status == "killed"
        async with own.notebook() as notebook:
            assert (await notebook.run("1 + 1")).value == "2"


async def test_sessions_end_when_the_host_is_killed() -> None:
    script = textwrap.dedent(
        """
        import asyncio
        from saccade.sandbox import Limits, Sandbox, SandboxOptions
        async def main():
            sandbox = Sandbox(SandboxOptions(limits=Limits(seconds=3600)))
            sessions = [await sandbox.session() for _ in range(3)]
            await sessions[0].run("x = 1")
            print("ready", flush=True)
            await sessions[1].run("import time; time.sleep(3600)", seconds=3600)
        asyncio.run(main())
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        mine = children(host.pid)
        assert len(mine) == 4
        host.kill()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in mine))


async def test_no_more_cells_run_than_there_are_turns() -> None:
    nap = "import time\nt = time.monotonic()\ntime.sleep(0.2)\n[t, time.monotonic()]"
    options = SandboxOptions(max_cells=1, limits=UNHURRIED)
    async with Sandbox(options) as own, own.notebook() as a, own.notebook() as b:
        spans = await asyncio.gather(a.run(nap), b.run(nap))
    first, second = sorted(json.loads(span.value or "") for span in spans)
    assert first[1] <= second[0]


REPLICA = """
import json, os, sys
import pyseccomp as s
rules = s.SyscallFilter(s.ALLOW)
for name in ("unshare", "mount", "setns", "pivot_root", "umount2", "open_tree", "move_mount"):
    rules.add_rule(s.ERRNO(1), name)
rules.add_rule(s.ERRNO(1), "clone", s.Arg(0, s.MASKED_EQ, 0x7E020000, 0x10000000))
for flag in (0x10000000, 0x20000, 0x20000000):
    rules.add_rule(s.ERRNO(1), "clone", s.Arg(0, s.MASKED_EQ, flag, flag))
rules.add_rule(s.ERRNO(38), "clone3")
rules.load()
import asyncio
import saccade
from saccade.errors import ConfigError
from saccade.sandbox import Sandbox, SandboxOptions
async def main():
    try:
        async with Sandbox(SandboxOptions.model_validate(json.loads(sys.argv[1]))) as sandbox:
            async with sandbox.notebook() as notebook:
                cell = await notebook.run("1 + 1")
                print(json.dumps([sandbox.mode, cell.value]))
    except ConfigError as error:
        print(json.dumps(["refused", str(error)]))
asyncio.run(main())
"""
"""A process that may do what Docker's default profile allows: no namespaces, no mounts.

Source: moby, profiles/seccomp/default.json (unshare, mount, setns and clone with CLONE_NEW* need
CAP_SYS_ADMIN there).
"""


def in_a_container(**options: object) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", REPLICA, json.dumps(options)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_where_nothing_bounds_the_scratch_space_it_refuses_and_says_what_to_do() -> None:
    folder = tempfile.mkdtemp(dir="/var/tmp")
    try:
        what, why = in_a_container(scratch=folder)
    finally:
        os.rmdir(folder)
    assert what == "refused"
    for part in (
        "namespaces: OSError",
        "is on a disk",
        "seccomp=unconfined",
        "tmpfs",
        "allow_degraded",
    ):
        assert part in why or part.replace("OSError", "PermissionError") in why, part


@pytest.fixture
def bounded() -> Iterator[str]:
    """A file system of limited size that every user can reach; mounting one needs root.

    Not below pytest's own folder: another pytest that starts meanwhile closes that to others.
    """
    folder = tempfile.mkdtemp(dir="/var/tmp")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", folder],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        os.rmdir(folder)
        pytest.skip("only root can mount a bounded scratch space")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)


def test_where_it_is_bounded_landlock_takes_over(bounded: str) -> None:
    assert in_a_container(scratch=bounded) == ["landlock", "2"]


def test_what_is_missing_can_be_accepted() -> None:
    assert in_a_container(allow_degraded=True, scratch="/tmp") == ["landlock", "2"]


async def test_an_asked_for_mode_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match="is on a disk"):
        await Sandbox(SandboxOptions(mode="landlock", scratch="/var/tmp")).start()


def test_landlock_contains_the_abuses_too(
    bounded: str, of_nobody: "subprocess.Popen[str] | str"
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "saccade", "check", "sandbox", "--mode", "landlock", "--scratch",
         bounded, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["mode"] == "landlock"
    escaped = [(a["name"], a["evidence"]) for a in found["abuses"] if not a["contained"]]
    assert escaped == []
    assert len(found["abuses"]) > 170
    assert all(a["mechanism"] for a in found["abuses"])
    assert done.returncode == 0


def test_the_command_counts_what_escapes() -> None:
    """On a scratch space without bounds a disk can be filled: it says so, and fails."""
    done = subprocess.run(
        [sys.executable, "-c", DEGRADED], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    escaped = {a["name"] for a in found["abuses"] if not a["contained"]}
    assert done.returncode == 1
    assert escaped == {"fill the scratch space", "own library on the scratch space"}


DEGRADED = """
import sys
import saccade.sandbox.modes as modes
from saccade.sandbox.server import Refused, Server
start = Server.start
def only_bare(self):
    if self.mode != "bare":
        raise Refused(f"sandbox: mode {self.mode}: not in this test")
    start(self)
Server.start = only_bare
from saccade.cli import main
sys.argv = ["saccade", "check", "sandbox", "--allow-degraded", "--json", "--only", "scratch"]
main()
"""


AS_NOBODY = """
import os, sys
sys.path[:0] = sys.argv[1:]
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.chdir("/")
from saccade.cli import main
sys.argv = ["saccade", "check", "sandbox", "--json"]
main()
"""


@pytest.fixture(scope="module")
def of_nobody() -> "Iterator[subprocess.Popen[str] | str]":
    """All abuses by an ordinary user, or why there are none.

    It runs beside the test of landlock: either waits for limits during a third of its time.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    usable = [p for p in (sys.executable, f"/usr/bin/{version}") if reachable(Path(p).resolve())]
    paths = [str(Path(saccade.__file__).parents[1]), *packages()]
    if os.getuid() != 0:
        yield "this is an ordinary user already"
    elif not usable or not all(reachable(Path(path)) for path in paths):
        yield "interpreter or packages are where only root can look"
    else:
        command = [usable[0], "-c", AS_NOBODY, *paths]
        variables = {"PATH": os.environ["PATH"], "HOME": "/tmp"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
        ) as running:
            yield running
            running.kill()


def test_an_ordinary_user_is_as_safe(of_nobody: "subprocess.Popen[str] | str") -> None:
    if isinstance(of_nobody, str):
        pytest.skip(of_nobody)
    out, errors = of_nobody.communicate()
    found = json.loads(out or "{}")
    assert found.get("mode") == "namespaces", errors
    assert [a["name"] for a in found["abuses"] if not a["contained"]] == []
    assert of_nobody.returncode == 0


def reachable(path: Path) -> bool:
    """Whether any user can get there."""
    return path.exists() and all(
        part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents)
    )
