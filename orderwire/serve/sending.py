"""The sending side of the role `process`: destinations, HTTP sessions, the sender and its side
tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

from prometheus_client import CollectorRegistry

from destinations.browser.completing import Completers
from destinations.delivery.outbox import OutboxProcessor
from destinations.delivery.protocol import Context
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.transport import aiohttp_call, client_session
from destinations.registry import KINDS
from orderwire.serve.shops.accounts import accounts
from orderwire.serve.shops.zones import zones
from orderwire.serve.tracing import tracing
from orderwire.settings.program import Settings
from processors.engine.shared_decoding import Share
from processors.shopify.orders import OrderEvent
from stream.metrics import DeliveryMetrics
from stream.store.contract import Store


def outbox_processor(
    settings: Settings,
    kind_name: str,
    context: Context,
    share: Share[OrderEvent] | None = None,
) -> OutboxProcessor:
    """The processor that creates the events of a kind's accounts; `share`: of the process's
    decoded orders."""
    kind, its = KINDS[kind_name], accounts(settings, kind_name)
    return OutboxProcessor(
        kind.processor,
        {account.shop for account in its},
        kind.events(its, context),
        zones(settings),
        settings.outbox_days,
        fetching={domain for domain, shop in settings.shops.items() if shop.has_admin_api},
        share=share,
    )


def completers(settings: Settings) -> Completers:
    """How the browser's facts complete the events of each account that has a use for them."""
    return {
        (account.shop, account.name): kind.completer(account)
        for kind in KINDS.values()
        if kind.completer is not None
        for account in accounts(settings, kind.name)
    }


class Sending:
    """Everything that sends. Created inside the event loop; `close` it at the end."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        registry: CollectorRegistry,
    ) -> None:
        """Raises ConfigurationError where traces are wanted and cannot be made."""
        self._tracing = ExitStack()
        ours, public = client_session(), client_session(public_only=True)
        self._sessions, self._store, self._call = (ours, public), store, aiohttp_call(ours)
        self._accounts = [(kind, accounts(settings, kind.name)) for kind in KINDS.values()]
        self.sender = OutboxSender(
            store,
            [kind.destination(account) for kind, its in self._accounts for account in its],
            self._call,
            public_call=aiohttp_call(public, public_only=True),
            metrics=DeliveryMetrics(registry),
            tracer=self._tracing.enter_context(tracing(settings, "process")),
        )

    def asides(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The side tasks of each kind, by name."""
        return {
            name: partial(aside, self._store, its, self._call)
            for kind, its in self._accounts
            for name, aside in kind.asides.items()
        }

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            await session.close()
        await asyncio.to_thread(self._tracing.close)
