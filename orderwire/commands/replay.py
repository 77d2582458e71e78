"""`orderwire replay`: returns parked records to their topics, resumes what has stopped, or moves
positions back to an earlier offset."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orderwire.operation.moving.rewind import MovedPosition
    from orderwire.operation.replaying.parked_replay import Filter, Result
    from orderwire.settings.program import Settings

EXAMPLES = (
    "Examples: `orderwire replay --parked --dry-run`,"
    " `orderwire replay --parked --reason missing_fields:currency`,"
    " `orderwire replay --resume --processor orders --shop example.myshopify.com`,"
    " `orderwire replay --topic orders --from earliest --processor capi`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLES)
    def replay(
        parked: Annotated[bool, typer.Option("--parked", help="Replay parked records.")] = False,
        resume: Annotated[
            bool, typer.Option("--resume", help="Let a stopped shop or processor go on.")
        ] = False,
        set_aside: Annotated[
            bool,
            typer.Option("--set-aside", help="Replay what Kafka refused, from this spool."),
        ] = False,
        reason: Annotated[
            str | None, typer.Option(help="With --parked: only those parked for this reason.")
        ] = None,
        topic: Annotated[
            str | None,
            typer.Option(help="The topic; with --parked ours (orders) or Shopify's (orders/paid)."),
        ] = None,
        discard: Annotated[
            bool,
            typer.Option(
                "--discard",
                help="With --parked --reason, or --set-aside: settle them without replaying.",
            ),
        ] = False,
        since: Annotated[
            str | None,
            typer.Option(
                "--from", help="With --topic: `earliest`, or an offset to read again from."
            ),
        ] = None,
        processor: Annotated[
            str | None,
            typer.Option(help="With --from, --resume: only this processor; else all."),
        ] = None,
        shop: Annotated[
            str | None, typer.Option(help="With --parked, --resume: only this shop; else all.")
        ] = None,
        partition: Annotated[
            int | None, typer.Option(help="With --from: only this partition of the topic.")
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")
        ] = False,
    ) -> None:
        """Send parked records back (--parked), let what has stopped go on (--resume), or let
        processors read a topic again (--topic with --from).

        **--parked** appends each parked record that would be folded now to its topic, and notes
        that it was replayed. What would be rejected again stays parked and is counted with its
        reason. Run it after the cause is mended (an upgrade, a setting).

        **--resume** lets a shop, or a processor, go on that has stopped because its records failed.
        What still fails up to the end of the log, as it is now, is parked. A running processor
        notices within a second. After an upgrade no command is needed: a restart tries again.

        **--set-aside** appends to Kafka again what it has refused (a record too large for its
        topic, a topic that we may not write), from the spool of this machine. What is refused again
        stays.

        **--from** moves the position of the topic's processors back, by compare-and-set, so it is
        safe while they run. Reading a record again changes nothing that was folded before (the
        newest version wins, and a sale is sent to Meta once, whatever happens), and adds what was
        missed: after a lost position, or for a processor that should see older records. It does not
        compute anew what a fold had got wrong. A running processor notices with its next batch; one
        that has lost its position looks again every few seconds.
        """
        from orderwire.operation.output import exit_on_failure
        from orderwire.operation.replaying.parked_replay import Filter
        from orderwire.settings.sources import shop_domain

        if [parked, resume, set_aside, since is not None].count(True) != 1:
            raise typer.BadParameter(
                "choose one: --parked, --resume, --set-aside, or --topic with --from",
                param_hint="--parked / --resume / --set-aside / --from",
            )
        shop = shop_domain(shop) if shop else None
        with exit_on_failure("replay"):
            if resume:
                asyncio.run(_resume(processor, shop, dry_run))
                return
            if set_aside:
                asyncio.run(_replay_set_aside(discard, dry_run))
                return
            if parked:
                if discard and reason is None:
                    raise typer.BadParameter(
                        "--discard needs --reason, so that nothing is discarded unseen",
                        param_hint="--discard",
                    )
                asyncio.run(_replay_parked(Filter(reason, topic, shop), discard, dry_run))
                return
            if topic is None:
                raise typer.BadParameter("--from needs --topic", param_hint="--topic")
            asyncio.run(_rewind(topic, str(since), processor, partition, dry_run))


async def _replay_parked(which: "Filter", discard: bool, dry_run: bool) -> None:
    from orderwire.operation.existing import open_existing_log, open_existing_store
    from orderwire.operation.output import progress
    from orderwire.operation.replaying.parked_replay import replay
    from orderwire.settings.program import Settings

    settings = Settings.load()
    store = await asyncio.to_thread(open_existing_store, settings)
    log = await open_existing_log(settings)
    try:
        with progress("Parked records") as advance:
            result = await replay(
                log,
                store,
                _processors(settings),
                which,
                discard=discard,
                dry_run=dry_run,
                progress=advance,
            )
    finally:
        await log.close()
        store.close()
    _show_parked(result, discard, dry_run)


def _processors(settings: "Settings") -> dict[str, list[Any]]:
    from orderwire.serve.feeds import running
    from orderwire.serve.registry import PROCESSORS

    by_topic: dict[str, list[Any]] = {}
    for name in running(settings):
        made = PROCESSORS[name](settings)
        by_topic.setdefault(made.topic, []).append(made)
    return by_topic


async def _resume(processor: str | None, shop: str | None, dry_run: bool) -> None:
    from orderwire.operation.existing import open_existing_log, open_existing_store
    from orderwire.operation.replaying.resume import find, resume
    from orderwire.settings.program import Settings

    settings = Settings.load()
    store = await asyncio.to_thread(open_existing_store, settings)
    log = await open_existing_log(settings)
    try:
        rows = find(store, processor, shop)
        spans = {topic: await log.spans(topic) for topic in {row.topic for row in rows}}
        if not dry_run:
            resume(store, rows, spans)
    finally:
        await log.close()
        store.close()
    would = "would go" if dry_run else "goes"
    for row in rows:
        typer.echo(
            f"{row.processor} {would} on with {row.shop or 'all shops'}"
            f" from {row.next} of {row.topic}/{row.partition}"
        )
    typer.echo(
        "What still fails up to the log's end of now is parked; see `orderwire replay --parked`."
        if rows
        else "nothing that fits has stopped"
    )


async def _replay_set_aside(discard: bool, dry_run: bool) -> None:
    from orderwire.operation.existing import open_existing_log
    from orderwire.operation.replaying.set_aside_replay import replay
    from orderwire.settings.program import Settings

    settings = Settings.load()
    log = await open_existing_log(settings)
    try:
        result = await replay(log, settings.spool, discard=discard, dry_run=dry_run)
    finally:
        await log.close()
    for topic, count in sorted(result.returned.items()):
        typer.echo(f"{count} replayed to {topic}")
    if result.discarded:
        would = "would be " if dry_run else ""
        typer.echo(f"{result.discarded} {would}discarded")
    for reason, count in sorted(result.left.items()):
        typer.echo(f"{count} {'wait' if dry_run else 'refused again'}: {reason}")
    if not (result.returned or result.discarded or result.left):
        typer.echo("nothing is set aside")


def _show_parked(result: "Result", discard: bool, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    for topic, count in sorted(result.returned.items()):
        typer.echo(f"{count} {would}replayed to {topic}")
    if result.discarded:
        typer.echo(f"{result.discarded} {would}discarded")
    for reason, count in sorted(result.left.items()):
        typer.echo(f"{count} left parked, as this program still does not take them: {reason}")
    if result.gone:
        settled = f"{would}settled" if discard else "settle them with --discard --reason REASON"
        typer.echo(
            f"{result.gone} are older than the log's retention and cannot be replayed; {settled}"
        )
    if not (result.returned or result.left or result.discarded or result.gone):
        typer.echo("nothing is parked that fits")


async def _rewind(
    topic: str, since: str, processor: str | None, partition: int | None, dry_run: bool
) -> None:
    from orderwire.operation.existing import open_existing_log, open_existing_store
    from orderwire.operation.moving.rewind import rewind, targets
    from orderwire.operation.refused import Refused
    from orderwire.operation.standing import feeds
    from orderwire.settings.program import Settings

    if since != "earliest" and not since.isdigit():
        raise typer.BadParameter(
            f"{since!r} is neither `earliest` nor an offset", param_hint="--from"
        )
    settings = Settings.load()
    readers = {feed.processor for feed in feeds(settings) if feed.topic == topic}
    if not readers or (processor is not None and processor not in readers):
        known = ", ".join(f"{feed.processor} ({feed.topic})" for feed in feeds(settings))
        raise Refused(f"no such processor reads {topic}; there are: {known}")
    store = await asyncio.to_thread(open_existing_store, settings)
    log = await open_existing_log(settings)
    try:
        spans = await log.spans(topic)
        wanted = targets(spans, None if since == "earliest" else int(since), partition)
        moved = rewind(
            store,
            topic,
            {processor} if processor else readers,
            wanted,
            spans,
            identity=await log.identity(topic),
            dry_run=dry_run,
        )
    finally:
        await log.close()
        store.close()
    _show_moved(topic, moved, dry_run)


def _show_moved(topic: str, moved: "list[MovedPosition]", dry_run: bool) -> None:
    would = "would go" if dry_run else "goes"
    for move in moved:
        typer.echo(
            f"{move.processor} {would} from {move.before} to {move.now} of {topic}/{move.partition}"
        )
        if move.lost:
            typer.echo(
                f"  {move.lost} offsets before it are gone from the log; see 'A position was lost' "
                "in docs/operation.md"
            )
    if not moved:
        typer.echo("every position is there already")
    elif not dry_run:
        typer.echo(
            "Running processors notice with their next batch; one that lost its position looks"
            " again within seconds."
        )
