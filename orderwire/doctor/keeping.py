"""Checks log, store and spool, and what they report of the work under way."""

import asyncio
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from orderwire.alarms.alarm import plain
from orderwire.alarms.message import BY_NAME
from orderwire.doctor import Line, fix, hint, ok
from orderwire.operation.existing import open_existing_log, store_revision
from orderwire.operation.standing import StoreState, spool_state
from orderwire.serve.upkeep.clock_steps import last_step
from orderwire.settings.program import ConfigurationError, Settings, sqlite_path
from query.status.answer import stopped
from query.status.schema import AlarmStatus
from stream.log.contract import LogError, Unavailable
from stream.log.spool import read_set_aside
from stream.log.sqlite.place import refuse_to_begin_anew
from stream.record import TOPICS
from stream.store.contract import Store, StoreError
from stream.store.migrations.run import head
from stream.times import instant

DAY_MS = 86_400_000
SPOOL_FINE_S = 60.0
"""A spool drains within seconds of the log's return; records older than this say that it is still
away."""


def log_lines(settings: Settings) -> list[Line]:
    """Whether the log answers, and whether its topics are as set."""
    try:
        return asyncio.run(_kafka_lines(settings) if settings.on_kafka else _file_lines(settings))
    except (ConfigurationError, LogError) as error:
        return [fix("log", str(error))]


async def _file_lines(settings: Settings) -> list[Line]:
    path = sqlite_path(settings.log_url)
    if path is not None:
        refuse_to_begin_anew(path)
    if path is None or not path.exists():
        return [ok("log", f"{path}, made when `orderwire serve` starts")]
    log = await open_existing_log(settings)
    try:
        count = sum(
            [
                span.next - span.first
                for topic in TOPICS
                for span in (await log.spans(topic)).values()
            ]
        )
    finally:
        await log.close()
    return [ok("log", f"{path} holds {count} records")]


async def _kafka_lines(settings: Settings) -> list[Line]:
    from stream.log.kafka.topics import differences

    found = await differences(settings.log_url.removeprefix("kafka://"), settings.kafka, TOPICS)
    absent = [difference for difference in found if "does not exist" in difference]
    if len(absent) == len(TOPICS):
        return [ok("log", "Kafka answers; the topics are made when `orderwire serve` starts")]
    return [fix("log", difference) for difference in found] or [
        ok("log", f"Kafka answers; all {len(TOPICS)} topics are as set")
    ]


def schema_line(settings: Settings) -> Line:
    """Whether the store answers, with the schema of this program."""
    url = settings.store_url.get_secret_value()
    try:
        found = store_revision(url)
    except StoreError as error:
        return fix("store", f"{error}; see ORDERWIRE_STORE_URL")
    kind = "SQLite" if sqlite_path(url) else "PostgreSQL"
    if found is None:
        return ok("store", f"{kind}, empty; `orderwire serve` makes the schema")
    if found > head():
        return fix(
            "store",
            f"its schema is at {found}, newer than this program ({head()}): upgrade orderwire",
        )
    if found < head():
        return hint(
            "store",
            f"its schema is at {found}; `orderwire serve` upgrades it to {head()} when it starts",
        )
    return ok("store", f"{kind}, schema {found}")


def work_lines(settings: Settings, kept: StoreState) -> list[Line]:
    """Roles, stopped processors, parked records, paused accounts, the spool."""
    lines = []
    alive = sorted({role.role for role in kept.roles if role.alive})
    lines.append(
        ok("roles", f"{', '.join(alive)} at work")
        if alive
        else hint("roles", "none at work: `orderwire serve` starts them")
    )
    lines += [
        fix("roles", f"{role.role} ended, and is started again: {role.failed}")
        for role in kept.roles
        if role.failed
    ]
    lines += silent_lines(kept)
    lines += alarm_lines(kept.alarms)
    lines += [
        fix("receiver", f"{role.instance} refuses deliveries: {refusing}")
        for role in kept.roles
        if role.alive and (refusing := role.details.get("refusing"))
    ]
    lines += [
        fix("settings", f"role {role.role} goes by older ones: {error}")
        for role in kept.roles
        if role.alive and (error := role.details.get("settings_error"))
    ]
    lines += [
        fix("processors", f"{name} stopped: {reason}")
        for name, reason in stopped(kept.roles).items()
    ]
    lines += [
        fix("process role", f"{name} stopped, and is tried again: {reason}")
        for name, reason in stopped(kept.roles, "parts").items()
    ]
    lines += [
        fix(
            each.shop or "all shops",
            f"{each.processor} has stopped for it: {each.reason}; "
            f"{each.go_on or 'it is tried again'}",
        )
        for each in kept.stopped_shops
        if each.state != "catching_up"
    ]
    if parked := sum(kept.parked.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in kept.parked.items())
        lines.append(
            hint(
                "parked",
                f"{parked} ({reasons}): `orderwire replay --parked --dry-run` says what can go "
                "back",
            )
        )
    else:
        lines.append(ok("parked", "none"))
    lines += [
        fix(
            f"{each.shop}: subscription {each.topic}",
            f"{each.records} deliveries were parked because they lack {each.missing}: add these"
            " fields to its include_fields, or leave include_fields out",
        )
        for each in kept.filtered
    ]
    for shop, delivered in groupby(kept.deliveries, lambda each: each.shop):
        topics = [f"{each.topic} {each.last} ({each.today} today)" for each in delivered]
        lines.append(ok(f"{shop}: last deliveries", ", ".join(topics)))
    lines += [
        fix(f"{each.shop}: {job.name}", f"fails since {each.since}: {each.reason}")
        for job in kept.jobs
        for each in job.failing
    ]
    lines += [
        (fix if each.go_on else hint)(
            f"{each.shop}: Shopify Events",
            f"{each.waiting} orders since {each.since} came without all their fields"
            f" ({', '.join(f'{count} {why}' for why, count in each.lacking.items())}):"
            f" {each.go_on or 'they are being fetched'}",
        )
        for each in kept.refetch
    ]
    lines += [
        fix(
            f"{each.shop}: privacy",
            f"{each.requests} requests since {each.since} wait: start `orderwire serve`, and see"
            " that no processor has stopped, since records are erased once they are read",
        )
        for each in kept.redactions
    ]
    for shop, accounts in kept.accounts.items():
        for account in accounts.values():
            lines += account_lines(shop, account)
    return [*lines, spool_line(settings), *set_aside_lines(settings)]


def alarm_lines(alarms: Sequence[AlarmStatus]) -> list[Line]:
    """Alarms whose condition holds, also where nobody has been notified yet."""
    lines = []
    for each in alarms:
        alarm = BY_NAME.get(each.alarm)
        if alarm is None:
            continue  # of a program that is newer
        about = " ".join(filter(None, [each.shop, *each.about.values()]))
        words = f"{about}: " if about else ""
        words += f"{plain(alarm.meaning)}{f' ({each.cause})' if each.cause else ''}, since"
        lines.append(fix(f"alarm {each.alarm}", f"{words} {each.since}; {plain(alarm.do)}"))
    return lines


def silent_lines(kept: StoreState) -> list[Line]:
    """Roles that stopped reporting without an orderly end, and that no other has replaced."""
    at_work = {role.role for role in kept.roles if role.alive}
    return [
        fix(
            "roles",
            f"{role.role} ({role.instance}) has not reported since {instant(role.beat_ms)}: see"
            " that it runs, and that the store takes writes",
        )
        for role in kept.roles
        if not role.alive and not role.failed and role.role not in at_work
    ]


def account_lines(shop: str, account: dict[str, Any]) -> list[Line]:
    """What waits for an account or was refused; `account` is as in `GET
    /v1/destinations/{name}`."""
    lines, name = list[Line](), account["name"]
    paused, failing = account["paused"], account["failing"]
    if account["state"] == "paused":
        lines.append(
            fix(
                shop,
                f"sending to {name} is paused since {paused['since']} ({paused['class']} "
                f"{paused['code']}): {paused['message']}",
            )
        )
    if failing is not None:
        lines.append(
            fix(shop, f"requests to {name} fail since {failing['since']}: {failing['cause']}")
        )
    if own := account.get("fallback_event_ids"):
        lines.append(
            hint(
                shop,
                f"{own} sales went to {name} as order:<order id>, which no browser's event has: "
                "their orders lack a field of META_EVENT_ID (point of sale, drafts), or another's "
                "has it",
            )
        )
    if dead := account["outcomes"]["dead"]:
        lines.append(
            hint(
                shop,
                f"{name} refused {dead} events; once mended, POST /v1/destinations/{name}/retry "
                "sends those not too old again",
            )
        )
    return lines


def set_aside_lines(settings: Settings) -> list[Line]:
    """Records that Kafka has refused for good and this machine's receivers keep."""
    if not settings.on_kafka:
        return []
    try:
        found = read_set_aside(settings.spool)
    except Unavailable:
        return []  # said by the line before
    causes = {
        "too_large": "raise max.message.bytes of the topic",
        "not_authorised": "give orderwire the right to write the topic",
    }
    return [
        fix(
            "spool",
            f"Kafka refused {count} records for {topic} ({reason}):"
            f" {causes.get(reason, 'see the receiver log for what it said')}, then"
            " `orderwire replay --set-aside`",
        )
        for (topic, reason), count in sorted(found.items())
    ]


def spool_line(settings: Settings) -> Line:
    """Records that this machine's receivers keep while Kafka is away."""
    if not settings.on_kafka:
        return ok("spool", "not needed: the log is a file")
    try:
        state = spool_state(settings)
    except Unavailable as error:
        return fix("spool", str(error))
    if not state.records:
        return ok("spool", "empty")
    waiting = f"{state.records} records wait, the oldest {state.oldest_s:.0f} s"
    if (state.oldest_s or 0) > SPOOL_FINE_S:
        return fix(
            "spool", f"{waiting}: bring Kafka back; a running receiver then drains it by itself"
        )
    return hint("spool", f"{waiting}; it drains by itself once Kafka answers")


def step_lines(store: Store, now_ms: int) -> list[Line]:
    """Whether the clock of a machine that processes was set within a day."""
    with store.snapshot() as snapshot:
        step = last_step(snapshot)
    if step is None or abs(now_ms - step.stepped_ms) > DAY_MS:
        return []
    side = "forward" if step.by_ms > 0 else "back"
    return [
        hint(
            "clock",
            f"it was set {side} by {abs(step.by_ms) // 1000} s at {instant(step.stepped_ms)};"
            " what waits was adjusted: have NTP keep it",
        )
    ]


def database_clock(store: Store) -> Sequence[tuple[str, float]]:
    """How far our clock is ahead of the database server's; nothing for a file."""
    if store.dialect != "postgresql":
        return ()
    with store.snapshot() as snapshot:
        theirs = float(snapshot.query("SELECT extract(epoch FROM clock_timestamp())")[0][0])
    return (("the database's clock", time.time() - theirs),)
