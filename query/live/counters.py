"""What a dashboard shows at any moment of one shop: counters, and what needs somebody."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from destinations.delivery.answer import ShownAccount, account
from destinations.delivery.schema import AccountState
from query.status.answer import Role, read_parked, read_roles, spool, stopped
from query.status.stopped_shops import read_stopped_shops
from stream.store.contract import Snapshot


class LiveAccount(Struct, frozen=True, kw_only=True):
    """A destination account in numbers."""

    name: str
    state: str | None
    sent: int
    pending: int
    dead: int
    oldest_unsent_s: int | None
    latency_p50_ms: float | None


class Counters(Struct, frozen=True, kw_only=True):
    """Numbers that change with every event."""

    records: int
    """Folded by all processors since the store was made: it changes whenever anything does."""
    lag_records: int | None
    parked: int
    spool: int
    accounts: list[LiveAccount]


class Alert(Struct, frozen=True, kw_only=True):
    """Something that needs somebody."""

    severity: Literal["critical", "warning"]
    message: str
    action: str


class Live(Struct, frozen=True, kw_only=True):
    """Counters and alerts of one moment."""

    counters: Counters
    alerts: list[Alert]


def read_live(
    snapshot: Snapshot,
    shop: str,
    accounts: Sequence[ShownAccount],
    lag_records: int | None,
    now_ms: int,
    silent_ms: int,
) -> Live:
    """From one snapshot."""
    roles = read_roles(snapshot, now_ms, silent_ms)
    states = [account(snapshot, each, now_ms) for each in accounts]
    waiting = spool(roles)
    counters = Counters(
        records=sum(position.records for position in snapshot.positions()),
        lag_records=lag_records,
        parked=sum(read_parked(snapshot, {shop}).values()),
        spool=waiting.records,
        accounts=[_account(state) for state in states],
    )
    alerts = [
        *_of_roles(roles),
        *(
            Alert(
                severity="critical",
                message=f"{each.processor} has stopped for this shop: {each.reason}",
                action=f"mend what it says, then run `{each.go_on}`",
            )
            for each in read_stopped_shops(snapshot, roles, {shop})
            if each.state == "stopped"
        ),
        *(alert for state in states for alert in _of_account(state)),
    ]
    if waiting.records:
        alerts.append(
            Alert(
                severity="warning",
                message=f"{waiting.records} deliveries wait in the spool for the log",
                action="see whether the log's brokers answer; nothing is lost",
            )
        )
    return Live(counters=counters, alerts=alerts)


def _account(state: AccountState) -> LiveAccount:
    return LiveAccount(
        name=state.name,
        state=state.state,
        sent=state.outcomes.sent,
        pending=state.outcomes.pending,
        dead=state.outcomes.dead,
        oldest_unsent_s=state.oldest_unsent_s,
        latency_p50_ms=state.latency_ms.p50,
    )


def _of_roles(roles: Sequence[Role]) -> list[Alert]:
    if not any(role.role == "process" and role.alive for role in roles):
        return [
            Alert(
                severity="critical",
                message="no process role gives a sign of life: numbers stand still",
                action="start `orderwire serve`, or see its log",
            )
        ]
    return [
        Alert(
            severity="critical",
            message=f"processor {name} has stopped: {reason}",
            action="see the log of the process role",
        )
        for name, reason in sorted(stopped(roles).items())
    ]


def _of_account(state: AccountState) -> list[Alert]:
    if state.paused is not None:
        return [
            Alert(
                severity="critical",
                message=f"{state.name} is paused: {state.paused.message}",
                action="see `orderwire doctor`; it goes on by itself once mended",
            )
        ]
    if state.failing is not None:
        return [
            Alert(
                severity="critical",
                message=f"{state.name} cannot be reached: {state.failing.cause}",
                action="nothing is lost; check the way out of this machine if it lasts",
            )
        ]
    if state.outcomes.dead:
        return [
            Alert(
                severity="warning",
                message=f"{state.outcomes.dead} events were refused by {state.name} for good",
                action="see why per order, mend it, then retry them",
            )
        ]
    return []
