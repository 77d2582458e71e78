"""Checks the machine: disk space, ports, clock."""

import errno
import os
import shutil
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

import requests

from orderwire.doctor import Line, fix, hint, ok
from orderwire.private_files import data_files, readable_by_others
from orderwire.serve.reporting.role_metrics import is_short
from orderwire.settings.program import ConfigurationError, ListenAddress, Settings, sqlite_path

CLOCK_S = 30.0
"""Meta refuses a request for one event in the future (docs/facts/meta.md, "Events"); Shopify's
signatures carry no time."""


def disk_lines(settings: Settings) -> list[Line]:
    """Whether each data folder is writable, and its free space."""
    urls = (settings.log_url, settings.store_url.get_secret_value())
    files = [path for url in urls if (path := sqlite_path(url)) is not None]
    if settings.on_kafka:
        files.append(settings.spool)
    return [disk_line(folder) for folder in dict.fromkeys(file.parent for file in files)]


def private_lines(settings: Settings, folder: Path) -> list[Line]:
    """Whether anybody but the owner can open what holds secrets or bodies; `folder` is where `.env`
    is looked for."""
    secrets = [folder / ".env", settings.config]
    open_to_others = [
        path for path in [*secrets, *data_files(settings)] if readable_by_others(path)
    ]
    return [
        fix("files", f"{path} can be opened by other users: chmod 600 {path}")
        for path in open_to_others
    ]


def disk_line(folder: Path) -> Line:
    """One folder."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        return fix(
            "disk",
            f"{there} cannot be written by this user: change its owner, or put the data elsewhere",
        )
    usage = shutil.disk_usage(there)
    room = f"{usage.free / (1 << 30):.1f} GiB free of {usage.total / (1 << 30):.0f}"
    if is_short(usage.free, usage.total):
        return fix(
            "disk", f"{folder}: {room}; a full disk answers deliveries with 503, so make room"
        )
    return ok("disk", f"{folder}: {room}")


def port_line(subject: str, address: ListenAddress, alive: bool) -> Line:
    """Whether a listener can have its address, or has it; `alive` says whether its role has a fresh
    heartbeat."""
    where = f"{address.host}:{address.port}"
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
            return ok(subject, f"{where} is free")
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = error.strerror or type(error).__name__
    if not taken:
        return fix(subject, f"{where} cannot be listened on ({reason}): choose another address")
    if _answers_healthz(address):
        return ok(
            subject,
            f"{where} is served"
            + ("" if alive else ", though its role has no fresh heartbeat in the store"),
        )
    return fix(subject, f"{where} is taken by another program: stop it, or choose another address")


def _answers_healthz(address: ListenAddress) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - it is compared, not bound
    try:
        answer = requests.get(
            f"http://{f'[{host}]' if ':' in host else host}:{address.port}/healthz",
            timeout=2,
            allow_redirects=False,
        )
    except requests.RequestException:
        return False
    return answer.status_code in (200, 503) and "json" in answer.headers.get("Content-Type", "")


def port_lines(settings: Settings, alive: Collection[str]) -> list[Line]:
    """Both listeners. `alive`: names of the roles with a fresh heartbeat."""
    lines = []
    for subject, role, name in (
        ("receiver", "receive", "receiver_address"),
        ("api", "query", "api_address"),
    ):
        try:
            lines.append(port_line(subject, getattr(settings, name), role in alive))
        except ConfigurationError as error:
            lines.append(fix(subject, str(error)))
    return lines


def clock_line(offsets_s: Sequence[tuple[str, float]]) -> Line:
    """`offsets_s`: whose clock, and how many seconds ours is ahead of it."""
    if not offsets_s:
        return hint("clock", "nothing to compare it with was reached; make sure that NTP runs")
    who, worst = max(offsets_s, key=lambda offset: abs(offset[1]))
    if abs(worst) > CLOCK_S:
        side = "ahead of" if worst > 0 else "behind"
        return fix(
            "clock",
            f"{abs(worst):.0f} s {side} {who}: set up NTP, or Meta refuses events as coming from "
            "the future",
        )
    return ok("clock", f"within {max(1.0, abs(worst)):.0f} s of {who}")
