"""The demo: a simulated shop, a real `orderwire serve`, and a Graph API stand-in that checks what
it receives.

    simulator ──signed HTTP──> serve (receive, process, query) ──> Graph stand-in
        └── spend ──> log ──────┘  └── log and store: SQLite files, or Kafka and PostgreSQL
"""

import asyncio
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from rich.console import Console, ConsoleDimensions
from rich.live import Live

from orderwire.operation import standing
from orderwire.serve.feeds import running
from orderwire.serve.registry import PROCESSORS
from orderwire.serve.roles.query import api_settings
from processors.engine.feed import Feed
from query.as_of import Spans
from simulator.demo import screen, spending
from simulator.demo.admin_shop import AdminFeed, check_statement, read_statements
from simulator.demo.figures import (
    RECENT,
    Aggregates,
    Figures,
    StoreReader,
    predicted_ltv_text,
    recent_percentiles,
)
from simulator.demo.introduction import WIDE, introduction
from simulator.demo.stage import PIXEL, SHOP, ZONE, Stage, stage
from simulator.proof import verify
from simulator.servers.children import Children
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import PARKED, REFUSED, mangled
from simulator.shop.mix import Mix
from simulator.shop.sender import ShopSender, Traffic
from simulator.shop.shop import ShopSimulator
from stream.log.contract import LogError
from stream.record import TOPICS
from stream.store.contract import StoreError

COMMANDS = "commands.txt"
DRAW_S, LINE_S, SETTLED_S = 1.0, 3.0, 0.2
HISTORY_PATIENCE_S = 5.0
SPEND_DAYS = 60
LIVE = 1
"""The place of the live phase in lists by phase; history is 0."""
REPEATED = frozenset({"duplicate", "retry"})
PLACING = frozenset({"genuine", "late", "new_spelling", "eighteen_digits"})
"""Kinds of an orders/create that is an order's first, but for a retry that overtakes it."""
CONNECTIONS = 16
CHECKOUT_DAYS = 13
"""How far back checkouts go: none expires (after 14 days) while somebody compares two states of it.
"""
EXAMPLE_SEED = 500
"""Added to the seed for the order to try, so that its id is nobody else's."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `orderwire demo` was asked for."""

    rate: float = 20.0
    """Deliveries a second."""
    orders: int | None = None
    """End after so many live orders, and verify; None: run until a signal."""
    customers: int = 1200
    """Enough that more than 500 have ordered again, below which nothing is predicted."""
    history_days: int = 365
    seed: int = 1
    kafka: bool = False
    receiver_port: int | None = None
    api_port: int | None = None
    trouble: float = 0.0
    """Share of the requests to Meta that go wrong."""
    patience_s: float = 30.0
    """Without progress for so long, waiting for everything to settle is given up."""


class Demo:
    """One run. Create it with an empty folder of its own, and `run` it once.

    A year of orders is sent first, as fast as possible; then visits happen live, with delivery
    faults (`mangle`). With `orders` the demo ends by itself once everything has settled, and
    verifies everything (`verify`).
    """

    def __init__(self, options: DemoOptions, folder: Path, console: Console) -> None:
        self._options, self._folder, self._console = options, folder, console
        self._secret = secrets.token_hex(16)
        self._now = datetime.now(UTC)
        self._shop = ShopSimulator(
            options.seed, SHOP, self._secret, self._now, options.customers, zone=ZoneInfo(ZONE)
        )
        self._children = Children(folder)
        self._started_s = time.monotonic()
        self._phase = "starting"
        self._traffic: list[Traffic] = []
        self._acknowledged_in: list[int] = []
        self._orders = self._placed = self._repeated = 0
        self._ltv = "-"
        self._acknowledged: Counter[str] = Counter()
        self._broken: dict[str, str] = {}
        self._aggregates: Aggregates | None = None
        self._graph: dict[str, object] = {}
        self._feed: AdminFeed | None = None
        self._introduction: Callable[..., list[str]] = lambda **_: []

    async def run(self) -> int:
        """Returns 0 when stopped by a signal, or when every check is right; 1 if one is not.

        Raises Missing, Died, NotReady, LogError, StoreError.
        """
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        story, watching, stopping = (
            asyncio.create_task(self._story()),
            asyncio.create_task(self._watch()),
            asyncio.create_task(stop.wait()),
        )
        tasks: list[asyncio.Task[Any]] = [story, watching, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return 0
            if watching.done():
                await watching
            return await story
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _watch(self) -> None:
        """Raises Died."""
        while True:
            await asyncio.sleep(0.2)
            self._children.check()

    async def _story(self) -> int:
        options = self._options
        screen.print_plain(
            self._console,
            f"orderwire demo: starting {'Kafka, PostgreSQL, ' if options.kafka else ''}"
            f"stand-ins for Meta and Shopify, and serve, in {self._folder}",
        )
        async with stage(
            self._folder,
            self._children,
            secret=self._secret,
            kafka=options.kafka,
            receiver_port=options.receiver_port,
            api_port=options.api_port,
            trouble=options.trouble,
            seed=options.seed,
        ) as there:
            try:
                self._introduce(there)
                checks = await self._play(there)
                self._console.print(screen.result(checks))
                wrong = sum(bool(check.differences) for check in checks)
                outcome = f"{wrong} of {len(checks)} checks failed" if wrong else "all right"
                screen.print_plain(
                    self._console, f"{outcome}: {self._orders} live orders, seed {options.seed}"
                )
                return int(wrong > 0)
            finally:
                screen.print_plain(self._console, "stopping: what was begun is finished first")

    async def _play(self, there: Stage) -> list[verify.Check]:
        """History, then live; the checks at the end."""
        options = self._options
        reader = StoreReader(there.store, SHOP, api_settings(there.settings).shops[SHOP])
        processors = [PROCESSORS[name](there.settings) for name in running(there.settings)]
        feeds = standing.feeds(there.settings)
        history = self._shop.history(options.history_days, checkout_days=CHECKOUT_DAYS)
        visits = self._noted(
            mangled(self._visits(), shop=SHOP, secret=self._secret, seed=options.seed)
        )
        feed = AdminFeed(there.http, there.ports.admin_url)
        async with self._shown(there, reader, feeds), _beside(feed.run()):
            self._feed = feed
            await self._send(there, history, "loading a year of orders", None)
            await spending.report_past(there.log, self._shop, SPEND_DAYS)
            await self._until_settled(there, feeds, options.patience_s, sent=False)
            # What history sent to Meta is counted apart from what the live phase sends.
            await self._until_settled(there, feeds, min(options.patience_s, HISTORY_PATIENCE_S))
            await feed.drain()
            demo_shop = there.settings.shops[SHOP]
            await asyncio.to_thread(read_statements, demo_shop, there.store, time.time())
            await asyncio.to_thread(reader.mark, time.time_ns() // 1_000_000)
            async with _beside(spending.follow(there.log, self._shop)):
                await self._send(there, visits, f"live, {options.rate:g} webhooks/s", options.rate)
            self._phase = "all sent, settling"
            await self._until_settled(there, feeds, options.patience_s)
            self._phase = "checking"
            await feed.drain()
            statement = await asyncio.to_thread(check_statement, demo_shop, there.store)
            checks = await verify.verify(
                log=there.log,
                store=there.store,
                processors=processors,
                sent=self._sent(),
                account=await there.graph_account(events=True),
                shop=SHOP,
                pixel_id=PIXEL,
                since=self._now,
                clock=lambda: datetime.now(UTC),
                folder=self._folder,
                thread=asyncio.to_thread,
            )
            return [*checks, statement]

    # What is sent

    async def _send(
        self, there: Stage, deliveries: Iterable[Delivery], phase: str, rate: float | None
    ) -> None:
        """Send all of them; when cancelled, finish those under way first."""
        place = len(self._traffic)

        def acknowledged(delivery: Delivery) -> None:
            self._acknowledged_in[place] += 1
            if delivery.kind in REPEATED:
                self._repeated += 1
            elif place == LIVE and delivery.topic == "orders/create" and delivery.kind in PLACING:
                self._placed += 1
            if self._feed is not None:
                self._feed.acknowledged(delivery)
            if self._options.orders is not None:
                self._acknowledged[delivery.webhook_id] += 1

        sender = ShopSender(
            there.ports.webhooks,
            deliveries,
            connections=CONNECTIONS,
            rate=rate,
            acknowledged=acknowledged,
        )
        self._phase = phase
        self._acknowledged_in.append(0)
        self._traffic.append(sender.traffic)
        await sender.run()

    def _visits(self) -> Iterator[Delivery]:
        """Visits, generated on demand, until there were enough orders."""
        before, wanted = len(self._shop.ledger), self._options.orders
        while wanted is None or self._orders < wanted:
            yield from self._shop.visit(datetime.now(UTC))
            self._orders = len(self._shop.ledger) - before

    def _noted(self, deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
        """The same deliveries; broken ones are remembered for the verification."""
        for delivery in deliveries:
            if self._options.orders is not None and delivery.kind in PARKED | REFUSED:
                self._broken[delivery.webhook_id] = delivery.kind
            yield delivery

    def _sent(self) -> verify.Sent:
        return verify.Sent(
            acknowledged=self._acknowledged,
            broken=self._broken,
            unexpected=[one for traffic in self._traffic for one in traffic.unexpected],
            gave_up=[one for traffic in self._traffic for one in traffic.gave_up],
        )

    async def _until_settled(
        self, there: Stage, feeds: tuple[Feed, ...], patience_s: float, *, sent: bool = True
    ) -> None:
        """Return when every processor is at the end and (with `sent`) every event is with Meta,
        twice in a row, since one may make the other busy; or when nothing has moved for
        `patience_s`."""
        best, quiet, deadline = None, 0, 0.0
        while quiet < 2:
            spans = await _spans(there)

            def left(spans: Spans = spans) -> tuple[int, ...]:
                with there.store.snapshot() as snapshot:
                    return verify.left(feeds, snapshot, spans)[: 2 if sent else 1]

            now = await asyncio.to_thread(left)
            quiet = 0 if any(now) else quiet + 1
            if best is None or now < best:
                best, deadline = now, time.monotonic() + patience_s
            elif quiet == 0 and time.monotonic() > deadline:
                return
            await asyncio.sleep(SETTLED_S)

    # What is shown

    def _introduce(self, there: Stage) -> None:
        """Print addresses, and commands to try."""
        example = ShopSimulator(
            self._options.seed + EXAMPLE_SEED,
            SHOP,
            self._secret,
            self._now,
            1,
            mix=Mix.orders_only(),
        ).visit(self._now)[0]
        body = self._folder / "order.json"
        body.write_bytes(example.body)
        self._introduction = partial(
            introduction, there.ports, example, body, self._folder / "serve.log"
        )
        (self._folder / COMMANDS).write_text("\n".join(self._introduction()) + "\n")
        self._print_introduction()

    def _print_introduction(self) -> int:
        """Returns its lines."""
        width = self._console.width if self._console.is_terminal else WIDE
        lines = self._introduction(width=width)
        for text in lines:
            screen.print_plain(self._console, text)
        return len(lines)

    @asynccontextmanager
    async def _shown(
        self, there: Stage, reader: StoreReader, feeds: tuple[Feed, ...]
    ) -> AsyncIterator[None]:
        """Show figures on the console during the block. If that fails, the block is cancelled and
        the error raised."""
        task = asyncio.create_task(self._show(there, reader, feeds))
        block = asyncio.current_task()
        task.add_done_callback(lambda _: block is None or task.cancelled() or block.cancel())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _show(self, there: Stage, reader: StoreReader, feeds: tuple[Feed, ...]) -> None:
        wanted = self._options.orders
        ending = "Ctrl-C ends it" if wanted is None else f"ends after {wanted:,} orders"
        if not self._console.is_terminal:
            while True:
                screen.print_plain(
                    self._console, screen.line(await self._figures(there, reader, feeds))
                )
                await asyncio.sleep(LINE_S)
        above = len(self._introduction(width=self._console.width))
        with screen.no_echo():
            while True:
                size = self._console.size
                with Live(console=self._console, auto_refresh=False) as live:
                    while self._console.size == size:
                        figures = await self._figures(there, reader, feeds)
                        place = self._place(there, size, above, ending)
                        live.update(screen.screen(figures, place), refresh=True)
                        await asyncio.sleep(DRAW_S)
                # What a terminal makes of the old screenful at a new width cannot be redrawn.
                self._console.clear()
                above = self._print_introduction()

    def _place(
        self, there: Stage, size: ConsoleDimensions, above: int, ending: str
    ) -> screen.Place:
        """Where the screenful goes; it names the file of commands where those scroll away."""
        below = size.height - above
        commands = f"commands: cat {self._folder / COMMANDS}" if below < screen.LINES else ""
        dashboard = f"{there.ports.api_url}/"
        return screen.Place(size.width, size.height, dashboard, ending, commands)

    async def _figures(self, there: Stage, reader: StoreReader, feeds: tuple[Feed, ...]) -> Figures:
        """A number that cannot be read now keeps its last value."""
        with suppress(aiohttp.ClientError, TimeoutError):
            self._graph = await there.graph_account()
            if len(self._traffic) > LIVE:  # the models are fitted when asked for, once a minute
                self._ltv = predicted_ltv_text(await there.answer("/v1/rfm"))
        with suppress(LogError, StoreError):
            spans = await _spans(there)
            self._aggregates = await asyncio.to_thread(
                reader.read, feeds, spans, time.time_ns() // 1_000_000
            )
        statuses: Counter[int] = Counter()
        for traffic in self._traffic:
            statuses.update(traffic.statuses)
            # Counted already; a demo may run for days.
            traffic.acknowledged.clear()
            del traffic.latencies_ms[:-RECENT]
        history, live = (*self._acknowledged_in, 0, 0)[:2]
        return Figures(
            phase=self._phase,
            elapsed_s=time.monotonic() - self._started_s,
            statuses=statuses,
            history=history,
            live=live,
            repeated=self._repeated,
            placed=self._placed,
            acked_ms=recent_percentiles(self._traffic[-1]) if self._traffic else (None, None),
            graph=self._graph,
            aggregates=self._aggregates,
            predicted_ltv=self._ltv,
        )


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` during the block; what it posts may fail while the demo ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, aiohttp.ClientError, TimeoutError):
            await task


async def _spans(there: Stage) -> Spans:
    return {topic: await there.log.spans(topic) for topic in TOPICS}
