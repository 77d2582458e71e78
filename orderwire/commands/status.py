"""`orderwire status`: roles, lag and waiting work, whether `serve` runs or not."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Example: `orderwire status --json | jq '.processors[] | {name, lag_records}'`"
    )
    def status(
        as_json: Annotated[
            bool,
            typer.Option(
                "--json",
                help="The answer of GET /v1/status, with `capi` and `destinations` by shop beside "
                "it.",
            ),
        ] = False,
    ) -> None:
        """Show roles, processors with their lag, Purchase events by outcome, parked records and the
        spool.

        Reads the log and the store themselves, so it works while `orderwire serve` is down.
        """
        from orderwire.operation.output import exit_on_failure

        with exit_on_failure("status"):
            answer = asyncio.run(_read())
        if as_json:
            import orjson

            typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
        else:
            _show(answer)


async def _read() -> dict[str, Any]:
    from orderwire.operation.existing import open_existing_log, open_existing_store
    from orderwire.operation.standing import standing
    from orderwire.settings.program import Settings

    settings = Settings.load()
    store = await asyncio.to_thread(open_existing_store, settings)
    try:
        log = await open_existing_log(settings)
        try:
            return await standing(settings, log, store)
        finally:
            await log.close()
    finally:
        store.close()


def _show_projections(projections: Sequence[Mapping[str, Any]]) -> None:
    for each in projections:
        for shop in each["rebuilding"]:
            typer.echo(
                f"{each['name']} of {shop['shop']} is counted anew: {shop['entities']:,} orders and"
                " checkouts so far"
            )
        for shop in each["stopped"]:
            typer.echo(f"{each['name']} of {shop['shop']} has stopped: {shop['reason']}")
            typer.echo(f"  {shop['go_on']}")


def _show(answer: Mapping[str, Any]) -> None:
    from orderwire.operation.output import show

    typer.echo(f"orderwire {answer['version']}, log {answer['log']}, store {answer['store']}")
    roles = [
        (
            r["role"],
            "alive" if r["alive"] else "failed" if r["failed"] else "silent",
            r["instance"],
            r["restarts"],
            r["started_at"],
            r["beat_at"],
        )
        for r in answer["roles"]
    ]
    if roles:
        show("Roles", ("role", "state", "instance", "restarts", "started", "last sign"), roles)
        for r in answer["roles"]:
            if r["failed"]:
                typer.echo(f"  {r['role']} ended: {r['failed']}")
            if r["settings_error"]:
                typer.echo(f"  {r['role']} goes by older settings: {r['settings_error']}")
    else:
        typer.echo("Roles: none has reported; start them with `orderwire serve`")
    rows = [
        (
            p["name"],
            p["topic"],
            _or_unknown(p["lag_records"]),
            _or_unknown(p["oldest_s"]),
            p["records"],
            p["stopped"] or "",
        )
        for p in answer["processors"]
    ]
    show("Processors", ("name", "topic", "lag", "oldest s", "records", "stopped because"), rows)
    if answer["alarms"]:
        show(
            "Alarms",
            ("alarm", "shop", "about", "state", "since", "cause"),
            [
                (
                    a["alarm"],
                    a["shop"] or "",
                    " ".join(a["about"].values()),
                    a["state"],
                    a["since"],
                    a["cause"] or "",
                )
                for a in answer["alarms"]
            ],
        )
    if answer["stopped_shops"]:
        show(
            "Shops that a processor has stopped for",
            ("processor", "shop", "state", "since", "reason"),
            [
                (s["processor"], s["shop"] or "all", s["state"], s["since"], s["reason"])
                for s in answer["stopped_shops"]
            ],
        )
        for command in sorted({s["go_on"] for s in answer["stopped_shops"] if s["go_on"]}):
            typer.echo(f"  {command}")
    _show_projections(answer["projections"])
    if answer["deliveries"]:
        show(
            "Deliveries",
            ("shop", "topic", "last", "today"),
            [(d["shop"], d["topic"], d["last"], d["today"]) for d in answer["deliveries"]],
        )
    if answer["jobs"]:
        show(
            "Jobs",
            ("name", "shops", "running", "failing", "last worked", "next", "what it did"),
            [
                (
                    *(j["name"], j["shops"], j["running"], len(j["failing"])),
                    *(j["succeeded_at"] or "never", j["next_at"] or "", j["note"] or ""),
                )
                for j in answer["jobs"]
            ],
        )
        for j in answer["jobs"]:
            for failing in j["failing"]:
                typer.echo(
                    f"  {j['name']} of {failing['shop']} fails since {failing['since']}:"
                    f" {failing['reason']}; tried again {failing['next_at']}"
                )
    for each in answer["refetch"]:
        reasons = ", ".join(f"{count} {why}" for why, count in each["lacking"].items())
        typer.echo(
            f"{each['waiting']} orders of {each['shop']} came without all their fields ({reasons})"
            f" since {each['since']}: {each['go_on'] or 'they are being fetched'}"
        )
    accounts = [
        (shop, account) for shop, its in answer["destinations"].items() for account in its.values()
    ]
    for shop, account in accounts:
        counted = [(outcome, events) for outcome, events in account["outcomes"].items()]
        show(
            f"Events of {shop} to {account['name']} ({account['account']}): {account['state']}",
            ("outcome", "events"),
            counted,
        )
        if account["paused"]:
            paused = account["paused"]
            typer.echo(f"  {paused['class']} since {paused['since']}: {paused['message']}")
        if account["failing"]:
            failing = account["failing"]
            typer.echo(f"  failing since {failing['since']}: {failing['cause']}")
    if answer["parked"]["by_reason"]:
        show("Parked", ("reason", "records"), list(answer["parked"]["by_reason"].items()))
        typer.echo(
            "  `orderwire replay --parked --dry-run` says which of them would be understood now"
        )
    else:
        typer.echo("Parked: none")
    spool = answer["spool"]
    age = (
        ""
        if spool["oldest_s"] is None
        else f", {spool['bytes']} bytes, the oldest {spool['oldest_s']:.0f} s old"
    )
    typer.echo(f"Spool: {spool['records']} records{age}")
    if spool["set_aside"]:
        typer.echo(
            f"Refused by the log: {spool['set_aside']} records, see `orderwire doctor` for the "
            "cause"
        )


def _or_unknown(value: object) -> object:
    return "unknown" if value is None else value
