"""Which mode works on this machine, and what helps where none does."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from saccade.errors import ConfigError
from saccade.sandbox.cgroups import granted
from saccade.sandbox.inside.kernel import landlock_version
from saccade.sandbox.options import Mode, SandboxOptions
from saccade.sandbox.server import Refused, Server

CURE = (
    "What helps: in Docker `--security-opt seccomp=unconfined` or a profile that allows unshare, "
    "mount, clone and pivot_root (or `--cap-add SYS_ADMIN`); on a host the sysctls "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0; for "
    "mode landlock Linux 5.13 as root, 6.2 otherwise, and a scratch folder of limited size "
    "(`--tmpfs /tmp:size=2g`); or a sandbox on another machine (`saccade serve sandbox`). "
    "allow_degraded=true starts without what is missing: never for models that you do not trust."
)
MAX_SCRATCH = 16 << 30
"""Bytes of a file system that counts as bounded, if it is in memory."""


def choose(options: SandboxOptions, off: frozenset[str] = frozenset()) -> Server:
    """A running server of the strongest mode that works.

    Raises:
        ConfigError: none does; says what is missing, and what to do.
    """
    wanted: tuple[Mode, ...] = (
        ("namespaces", "landlock") if options.mode == "auto" else (options.mode,)
    )
    if options.allow_degraded:
        wanted = (*wanted, "bare")
    missing = []
    for mode in wanted:
        if mode == "landlock" and not options.allow_degraded and (why := unbounded(options)):
            missing.append(f"landlock: {why}")
            continue
        server = Server(options, mode, off=off)
        try:
            server.start()
        except Refused as error:
            missing.append(str(error).removeprefix("sandbox: mode "))
            continue
        return server
    raise ConfigError(f"sandbox: this machine cannot isolate code. {'; '.join(missing)}. {CURE}")


def machine(options: SandboxOptions) -> dict[str, str]:
    """What this kernel says that it has; `tried` tells what works."""
    return {
        "kernel": f"Linux {platform.release()}, {platform.machine()}",
        "user": f"{os.getuid()}" + (" (root)" if os.getuid() == 0 else ""),
        "user namespaces": f"at most {_setting('user/max_user_namespaces')}",
        "filter actions": _setting("kernel/seccomp/actions_avail"),
        "Landlock": f"version {landlock_version()}" if landlock_version() else "none",
        "scratch": unbounded(options) or f"{options.scratch} is bounded",
        "memory cgroups": _cgroups(),
    }


def _cgroups() -> str:
    groups = granted()
    if groups is None:
        return "none may be made: what the kernel holds is bounded by the filter and limits alone"
    groups.close()
    return f"{groups.kind}: they bound all memory of a session, the kernel's included"


def tried(options: SandboxOptions) -> dict[str, str]:
    """Each mode, and whether this machine can do it: "works", or why not."""
    found: dict[str, str] = {}
    modes: tuple[Mode, ...] = ("namespaces", "landlock")
    for mode in modes:
        server = Server(options, mode)
        try:
            server.start()
        except Refused as error:
            found[mode] = str(error).removeprefix(f"sandbox: mode {mode}: ")
        else:
            bound = unbounded(options) if mode == "landlock" else None
            found[mode] = "works" if bound is None else f"works, but {bound}"
        finally:
            server.close()
    return found


def unbounded(options: SandboxOptions) -> str | None:
    """Why the scratch folder does not bound what sessions write, if it does not."""
    folder = Path(options.scratch)
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"scratch folder {folder}: {error.strerror}"
    if file_system(folder) != "tmpfs":
        return (
            f"{folder} is on a disk, which sessions could fill; mount a tmpfs of limited size there"
        )
    if found.f_blocks * found.f_frsize > MAX_SCRATCH:
        return f"{folder} holds {found.f_blocks * found.f_frsize >> 30} GiB; limit it to 16"
    return None


def _setting(name: str) -> str:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:
        return "unknown"


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if re.split(r"\s+", before)[2] == wanted:
            return after.split()[0]
    return "unknown"
