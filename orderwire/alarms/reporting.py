"""Sends notices of alarms to the URLs that are set."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from destinations.delivery.transport import Call, CallFailed
from orderwire.alarms.message import body
from orderwire.alarms.rows import AlertRow
from orderwire.settings.alerts import Target

TIMEOUT_S: Final = 5.0
HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "orderwire"}

log = structlog.get_logger()


class Reporter:
    """Sends one notice to those of its targets that have not got it."""

    def __init__(
        self, targets: Callable[[], Sequence[Target]], call: Call, installation: str
    ) -> None:
        """`targets` may change while it runs; `call` reaches what they may reach."""
        self._targets, self._call, self._installation = targets, call, installation

    def wanted(self, row: AlertRow) -> frozenset[str]:
        """Names of the targets that get this alarm."""
        return frozenset(_key(each) for each in self._of(row))

    async def send(self, row: AlertRow) -> frozenset[str]:
        """Names of the targets that took it, or that are set no longer."""
        left = row.notified if row.ended_ms else self.wanted(row) - row.notified
        by_key = {_key(each): each for each in self._of(row)}
        taken = {key for key in left if key not in by_key}
        for key in left & by_key.keys():
            if await self._post(by_key[key], row):
                taken.add(key)
        return frozenset(taken)

    def _of(self, row: AlertRow) -> list[Target]:
        """Each URL once, though installation and shop may name the same."""
        of_it = (each for each in self._targets() if each.shop in ("", row.subject.shop))
        return list({each.url: each for each in reversed(list(of_it))}.values())

    async def _post(self, target: Target, row: AlertRow) -> bool:
        try:
            answer = await self._call(
                "POST",
                target.url,
                HEADERS,
                body(row, target.kind, self._installation),
                timeout_s=TIMEOUT_S,
            )
        except CallFailed as error:
            why = f"{type(error).__name__}: {error}"
        else:
            if 200 <= answer.status < 300:
                return True
            why = f"HTTP {answer.status}"
        log.warning("alarm not reported", alarm=row.subject.alarm, target=target.name, reason=why)
        return False


def _key(target: Target) -> str:
    return f"{target.name} {target.shop}".rstrip()
