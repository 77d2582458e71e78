"""Settings of the API: the shops, the tokens, and each answer's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from zoneinfo import ZoneInfo

from aggregates.budget.answer.overview import BudgetSettings
from aggregates.carts.answer.overview import CartSettings
from aggregates.rfm.answer.overview import RfmSettings
from destinations.delivery.answer import ShownAccount
from processors.engine.feed import Feed
from query.auth import Reach


def _version() -> str:
    try:
        return version("orderwire")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class ShopAnswerSettings:
    """One shop's settings for its answers."""

    zone: ZoneInfo | None = None
    accounts: tuple[ShownAccount, ...] = ()
    """Who receives its events."""
    sends_predicted_ltv: bool = False
    """Whether one of them is to have it in new customers' sales."""
    rfm: RfmSettings = field(default_factory=RfmSettings)
    carts: CartSettings = field(default_factory=CartSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the whole listener."""

    shops: Mapping[str, ShopAnswerSettings]
    """By domain, lower case."""
    tokens: Mapping[str, Reach] = field(default_factory=dict)
    """Bearer tokens (`query.auth.parse_tokens`); none: loopback only."""
    hosts: frozenset[str] = frozenset()
    """Further names that a `Host` header may have while there is no token."""
    log_kind: str = "sqlite"
    version: str = field(default_factory=_version)
    processors: tuple[Feed, ...] = ()
    """Processors at work beyond those that the answers rest on."""
    patience_s: float = 0.03
    """How long an answer waits for newer cells before it goes by those in memory; `as_of` says
    which they were. A refresh after a batch takes 10 ms of CPU at 1,000,000 customers."""
    refresh_s: float = 1.0
    """How often cells in memory are brought up to date with nobody asking."""
    requests_per_s: float = 50.0
    """How often one token may ask, in the long run; 0: without a limit."""
    role_silent_ms: int = 15_000
    """A role without a heartbeat for this long is shown as not alive."""
