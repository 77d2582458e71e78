"""`/v1/budget` on simulated shops: numbers equal brute force, every null has a reason."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from msgspec import to_builtins

from aggregates.budget.answer.campaign_answer import AMBIGUOUS, NO_BANKROLL, NO_MARGIN, PAUSE
from aggregates.budget.answer.overview import BudgetSettings, budget
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.oracles.oracle_budget import DIGITS, Cost, Merchant, Sale, amount
from tests.support.oracles.oracle_budget import budget as brute_force
from tests.support.shops.budget_shop import (
    HALF,
    SHOP,
    TODAY,
    ask,
    fold,
    iso,
    only,
    order_records,
    report,
    steady,
)

on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what no database can change."""
SOURCES = {
    "meta": ("facebook", "ig", "Facebook_Ads"),
    "google": ("google", "adwords"),
    "tiktok": ("tiktok",),
}


class Simulated:
    """A shop of some weeks with several campaigns, its records, and the truth behind them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.currency = self.random.choice(("USD", "USD", "JPY"))
        self.sales: list[Sale] = []
        self.costs: list[Cost] = []
        self.entries: list[Entry] = []
        self.number = 1000
        self.calm = seed % 3 == 0
        for channel, campaign_id, name in (
            ("meta", "1200001", "Summer Sale"),
            ("meta", "1200002", "Été & Co"),
            ("meta", "1200003", "retargeting"),
            ("google", "77", "Brand"),
            ("tiktok", "", "Spark"),
        ):
            self.campaign(channel, campaign_id, name, self.currency)
        if self.random.random() < 0.3:
            self.campaign("google", "78", "Abroad", "EUR")
        self.others()
        self.random.shuffle(self.entries)
        self.entries += self.random.sample(self.entries, len(self.entries) // 5)

    def campaign(self, channel: str, campaign_id: str, name: str, currency: str) -> None:
        pick = self.random
        started, stopped = (
            TODAY - pick.choice((3, 8, 12, 35, 50)),
            TODAY - pick.choice((0, 0, 1, 5, 9)),
        )
        level, skill, slope = (
            pick.uniform(2_000, 20_000),
            pick.uniform(1.0, 5.0),
            pick.choice((1.0, 0.5)),
        )
        if self.calm:
            started, stopped, skill = TODAY - 50, TODAY, pick.uniform(2.0, 4.0)
        varied, renamed = pick.choice((0.02, 0.5)), bool(campaign_id) and pick.random() < 0.3
        for day in range(started, max(stopped, started) + 1):
            spend = 0 if pick.random() < 0.05 else round(level * pick.lognormvariate(0, varied))
            result = name if not renamed or day > TODAY - 10 else f"{name} (old)"
            claimed = round(spend * 3.1) if channel == "meta" else None
            cost = Cost(
                day, channel, campaign_id, result, currency, spend, pick.randrange(100), claimed
            )
            self.costs.append(cost)
            self.entries.append(report(cost, time_ms=2))
            if pick.random() < 0.2:
                self.entries.append(report(cost._replace(spend=spend + 500, clicks=0), time_ms=1))
            worth = skill * level * (spend / level) ** slope
            for _ in range(3 if self.calm else pick.randrange(1, 5)):
                key = (channel, campaign_id, "" if campaign_id else name.casefold())
                self.sale(
                    day,
                    round(worth / 3 * pick.lognormvariate(0, 0.1 if self.calm else 0.3)),
                    key,
                    self.link(channel, campaign_id, name, day),
                )

    def link(self, channel: str, campaign_id: str, name: str, day: int) -> str:
        source = self.random.choice(SOURCES[channel])
        by_name = [
            f"/?utm_source={source}&utm_campaign={quote(name)}",
            f"/products/hat?utm_campaign={quote_plus(name.upper())}&utm_source={source}&fbclid=Iw{day}",
            f"https://shop.example/?utm_medium=cpc&amp;utm_campaign={quote_plus('  ' + name)}",
        ]
        by_id = [
            f"/?utm_id={campaign_id}&utm_source={source}",
            f"/?utm_source={source}&utm_campaign={campaign_id}&x=1",
            f"/?UTM_ID={campaign_id}",
        ]
        return self.random.choice(
            by_id if campaign_id and (day <= TODAY - 10 or self.random.random() < 0.5) else by_name
        )

    def others(self) -> None:
        for day in range(TODAY - 40, TODAY + 1):
            for campaign, landing_site in (
                (("(direct)", "", ""), "/collections/all"),
                (("(none)", "", ""), None),
                (("(none)", "", ""), "/wallets/checkouts.json"),
                (("meta", "", ""), "/?fbclid=IwAR0"),
                (("google", "", ""), "/?gclid=x"),
                (
                    ("klaviyo", "", "welcome"),
                    "/?utm_source=Klaviyo&utm_medium=email&utm_campaign=Welcome",
                ),
            ):
                if self.random.random() < 0.4:
                    self.sale(day, self.random.randrange(1000, 9000), campaign, landing_site)
            if self.random.random() < 0.1:
                self.number += 10
                gone = Sale(day, 5000, self.currency, ("(direct)", "", ""))
                change = self.random.choice(
                    (
                        {"cancelled_at": f"{iso(day)}T13:00:00Z"},
                        {"test": True},
                        {"financial_status": "voided"},
                    )
                )
                self.entries += order_records(self.number, gone, "/", **change)

    def sale(
        self, day: int, kept: int, campaign: tuple[str, str, str], landing_site: str | None
    ) -> None:
        self.number += 10
        currency = "EUR" if self.random.random() < 0.02 else self.currency
        sale = Sale(day, kept, currency, campaign)
        self.sales.append(sale)
        self.entries += order_records(
            self.number, sale, landing_site, self.random.choice((0, 0, 0, 700))
        )

    def merchant(self) -> Merchant:
        pick = self.random
        return Merchant(
            self.currency,
            bankroll=pick.choice((20_000, 60_000, 100_000, 1_000_000)),
            margin=pick.choice((0.3, 0.5, 0.8)),
            days=pick.choice((30, 30, 14)),
            seed=pick.choice((None, 2500)),
            shown=pick.choice((None, 7, 50)),
            immature=pick.choice((3, 3, 1)),
            step=pick.choice((0.3, 0.3, 0.1)),
            kelly=pick.choice((0.5, 0.5, 0.2)),
            prior_days=pick.choice((10, 10, 0, 25)),
            prior_sd=pick.choice((0.2, 0.2, 0.05, 1.0)),
        )


def differing(expected: Any, answer: Any, path: str = "") -> Iterator[str]:
    """Where the answer lacks or contradicts what is expected; floats to 1e-6, budgets (roots of
    equations) to two minor units."""
    if isinstance(expected, dict) and isinstance(answer, dict):
        if (
            path.endswith(("saturation", "recommended_budget", "target_budget"))
            and expected["currency_code"] == answer["currency_code"]
        ):
            units = 10 ** DIGITS[expected["currency_code"]]
            if (
                abs(float(expected["amount"]) - float(answer["amount"])) * units
                > 2 + 1e-6 * abs(float(expected["amount"])) * units
            ):
                yield f"{path}: {answer} instead of {expected}"
            return
        for key, value in expected.items():
            yield from differing(value, answer.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(answer, list) and len(expected) == len(answer):
        for index, (one, other) in enumerate(zip(expected, answer, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif isinstance(expected, float) and isinstance(answer, float | int):
        if answer != pytest.approx(expected, rel=1e-6, abs=1e-9):
            yield f"{path}: {answer} instead of {expected}"
    elif expected != answer:
        yield f"{path}: {answer} instead of {expected}"


@pytest.mark.parametrize("seed", range(2))
def test_every_number_agrees_with_brute_force(store: SqlStore, seed: int) -> None:
    assert_agrees_with_brute_force(store, seed)


@on_sqlite
@pytest.mark.parametrize("seed", range(2, 26))
def test_every_number_of_many_shops_agrees_with_brute_force(store: SqlStore, seed: int) -> None:
    assert_agrees_with_brute_force(store, seed)


def assert_agrees_with_brute_force(store: SqlStore, seed: int) -> None:
    shop = Simulated(seed)
    fold(store, shop.entries)
    merchant = shop.merchant()
    answer, expected = ask(store, merchant), brute_force(shop.sales, shop.costs, TODAY, merchant)
    shown = {
        (c["channel"], c["campaign_id"], "" if c["campaign_id"] else c["name"].casefold()): c
        for c in answer["campaigns"]
    }
    wanted = {
        (key[0], key[1] or None, key[2]): value for key, value in expected.pop("campaigns").items()
    }
    assert shown.keys() == wanted.keys()
    problems = list(
        differing(
            expected,
            {
                **answer,
                "left_out": sum(int(r.split()[0]) for r in answer["reasons"] if "left out" in r),
            },
        )
    )
    for key, value in wanted.items():
        claimed = value.pop("claimed")
        assert (shown[key]["platform"]["revenue"] is not None) <= claimed
        problems += differing(value, shown[key], str(key))
    assert problems == []


def nulls_without_reason(value: Any, path: str = "") -> Iterator[str]:
    """Every null, unless its object (or the campaign it stands in) has a reason."""
    if isinstance(value, dict):
        own = [key for key in value if key.endswith("reason") and value[key]]
        for key, inner in value.items():
            if (
                inner is None
                and not key.endswith("reason")
                and not own
                and key not in ("campaign_id", "name", "channel")
            ):
                yield f"{path}.{key}"
            if inner is not None:
                yield from nulls_without_reason(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from nulls_without_reason(inner, f"{path}[{index}]")


@on_sqlite
@pytest.mark.parametrize(
    "merchant", [Merchant("USD", b, m) for b in (None, 50_000) for m in (None, 0.5)]
)
def test_every_null_has_a_reason_that_names_the_missing_setting(
    store: SqlStore, merchant: Merchant
) -> None:
    fold(
        store,
        [*Simulated(1).entries, report(Cost(TODAY, "meta", "new", "New", "USD", 500, 1, None))],
    )
    answer = ask(store, merchant)
    settings = {name: answer.pop(name) for name in ("margin", "bankroll_per_day")}
    assert list(nulls_without_reason(answer)) == []
    assert (
        (NO_MARGIN in answer["reasons"])
        == (merchant.margin is None)
        == (settings["margin"] is None)
    )
    assert (
        (NO_BANKROLL in answer["reasons"])
        == (merchant.bankroll is None)
        == (settings["bankroll_per_day"] is None)
    )
    result = any(each["recommended_budget"] for each in answer["campaigns"])
    assert result == (None not in (merchant.margin, merchant.bankroll))


@pytest.mark.parametrize("currency", [None, "USD"])
def test_a_shop_of_which_nothing_is_known_yet_says_so(
    store: SqlStore, currency: str | None
) -> None:
    with store.snapshot() as snapshot:
        answer = to_builtins(
            budget(
                snapshot,
                SHOP,
                TODAY,
                BudgetSettings(bankroll=Decimal(100), margin=0.4, currency=currency),
            )
        )
    assert answer["campaigns"] == []
    assert answer["reasons"]
    assert NO_MARGIN not in answer["reasons"]
    del answer["bankroll_per_day"]
    assert list(nulls_without_reason(answer)) == []
    assert answer["total"]["roas"] is None
    assert answer["total"]["orders"] == answer["unattributed"]["orders"] == 0


def test_without_any_data_the_settings_that_are_missing_are_reported_as_well(
    store: SqlStore,
) -> None:
    with store.snapshot() as snapshot:
        assert {NO_MARGIN, NO_BANKROLL} < set(
            budget(snapshot, SHOP, TODAY, BudgetSettings()).reasons
        )


@on_sqlite
@pytest.mark.parametrize("shown", [1, 7, 60, 366])
def test_the_days_that_are_asked_for_change_what_is_shown_and_not_what_is_advised(
    store: SqlStore, shown: int
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), (0.4, -0.3)))
    usual, asked = (ask(store, replace(HALF, shown=each)) for each in (None, shown))
    assert asked["days"] == shown
    assert asked["campaigns"][0]["spend"] == amount(10_000 * min(shown, 41), "USD")
    for name in (
        "days",
        "daily_return",
        "kelly",
        "saturation",
        "current_budget",
        "recommended_budget",
        "binding_constraint",
    ):
        assert asked["campaigns"][0][name] == usual["campaigns"][0][name], name
    assert asked["returns_window"] == usual["returns_window"]


@on_sqlite
@pytest.mark.parametrize("days", [(1, 2, 3), (3, 2, 1)])
def test_spend_reported_by_name_and_later_with_its_id_counts_once(
    store: SqlStore, days: tuple[int, ...]
) -> None:
    """Two days are reported again with the id, under which the links know it; the third stays as it
    was, and is the same campaign's."""
    by_name = [
        report(Cost(TODAY - day, "meta", "", "Summer", "USD", 1000, 1, None)) for day in days
    ]
    by_id = [
        report(Cost(TODAY - day, "meta", "77", "summer ", "USD", 1100, 1, None), time_ms=2)
        for day in days[:2]
    ]
    other = report(Cost(TODAY - 1, "google", "", "Summer", "USD", 500, 1, None))
    sale = Sale(TODAY - 1, 900, "USD", ("", "", ""))
    fold(
        store,
        [*by_id, other, *by_name, *order_records(10, sale, "/?utm_source=fb&utm_campaign=summer")],
        batch=2,
    )
    shown = {
        (each["channel"], each["campaign_id"]): (each["spend"], each["orders"], each["issues"])
        for each in ask(store, HALF)["campaigns"]
    }
    assert shown == {
        ("meta", "77"): (amount(3200, "USD"), 1, []),
        ("google", None): (amount(500, "USD"), 0, []),
    }


@on_sqlite
def test_spend_by_a_name_that_two_ids_have_is_a_campaign_of_its_own_but_for_the_days_reported_by_id(
    store: SqlStore,
) -> None:
    costs = [
        Cost(TODAY - day, "meta", n, "Summer", "USD", 100, 1, None)
        for day, n in ((1, "1"), (1, "2"), (1, ""), (2, ""))
    ]
    fold(store, [report(cost) for cost in costs])
    assert {
        each["campaign_id"]: each["spend"] for each in ask(store, HALF)["campaigns"]
    } == dict.fromkeys(("1", "2", None), amount(100, "USD"))


@on_sqlite
def test_below_seven_days_todays_budget_stays(store: SqlStore) -> None:
    fold(store, steady(range(TODAY - 8, TODAY + 1), (0.4, 0.2)))
    (campaign,) = ask(store, HALF)["campaigns"]
    assert (campaign["days"], campaign["binding_constraint"]) == (6, "too_few_days")
    assert campaign["recommended_budget"] == campaign["current_budget"] == amount(10_000, "USD")
    assert campaign["kelly"]["multiplier"] is None
    assert "6 mature days" in campaign["reason"]


@on_sqlite
@pytest.mark.parametrize(("days", "multiplier"), [(7, 0.25), (29, 0.25), (30, 0.5), (60, 0.5)])
def test_the_multiplier_follows_the_mature_days(
    store: SqlStore, days: int, multiplier: float
) -> None:
    fold(store, steady(range(TODAY - 2 - days, TODAY + 1), (0.4, -0.3)))
    assert ask(store, HALF)["campaigns"][0]["kelly"]["multiplier"] == multiplier


@on_sqlite
@pytest.mark.parametrize(
    ("returns", "bankroll", "binding", "recommended"),
    [
        ((-0.5, -0.3), 100_000, "zero_edge", 7_000),
        ((0.9, 0.7), 100_000, "step_up", 13_000),
        ((0.9, 0.7), 11_000, "bankroll", 11_000),
        ((0.9, -0.8), 20_000, "kelly", 10_000),
        ((0.9, 0.7), 4_000, "bankroll", 4_000),
    ],
)
def test_what_binds_is_named(
    store: SqlStore, returns: tuple[float, ...], bankroll: int, binding: str, recommended: int
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), returns))
    (campaign,) = ask(store, Merchant("USD", bankroll, 0.5))["campaigns"]
    assert (campaign["binding_constraint"], campaign["recommended_budget"]) == (
        binding,
        amount(recommended, "USD"),
    )
    assert (PAUSE in campaign["issues"]) == (binding == "zero_edge")


@on_sqlite
@pytest.mark.parametrize(
    ("returns", "bankroll", "words"),
    [
        ((-0.5, -0.3), 100_000, ("Cut", "-40%", "loses money with P = 9")),
        ((0.9, 0.7), 100_000, ("Raise towards 1000.00 USD a day", "+80%", "30 days")),
        ((0.9, 0.7), 11_000, ("Raise towards 110.00 USD a day",)),
        ((0.9, -0.8), 20_000, ("Keep", "+5%", "a cut needs 75%")),
        ((0.9, 0.7), 4_000, ("Lower", "the bankroll is not enough")),
    ],
)
def test_one_plain_sentence_says_why(
    store: SqlStore, returns: tuple[float, ...], bankroll: int, words: tuple[str, ...]
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), returns))
    (campaign,) = ask(store, Merchant("USD", bankroll, 0.5))["campaigns"]
    for word in words:
        assert word in campaign["why"]
    assert campaign["why"].endswith(".")


@on_sqlite
def test_a_raise_that_better_campaigns_will_take_back_says_so(store: SqlStore) -> None:
    days = range(TODAY - 40, TODAY + 1)
    good, better = (
        steady(days, (0.3, 0.1), 3_000, "Good", "1"),
        steady(days, (1.9, 1.7), 1_000, "Better", "2"),
    )
    fold(store, [*good, *better])
    answer = ask(store, Merchant("USD", 20_000, 0.5))
    shown = only(answer, campaign_id="1")
    now, tomorrow, target = (
        float(shown[f"{name}_budget"]["amount"]) for name in ("current", "recommended", "target")
    )
    assert target < now < tomorrow
    assert shown["why"].startswith("Raise while the bankroll has room")
    assert "towards" not in shown["why"]


@on_sqlite
@pytest.mark.parametrize("merchant", [Merchant("USD", None, 0.5), Merchant("USD", 100_000, None)])
def test_where_nothing_is_advised_the_sentence_says_why_not(
    store: SqlStore, merchant: Merchant
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), (0.9, 0.7)))
    (campaign,) = ask(store, merchant)["campaigns"]
    assert campaign["why"] == f"No change is advised: {campaign['reason']}."


@on_sqlite
def test_the_answer_says_against_what_risk_is_measured(store: SqlStore) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), (0.9, 0.7)))
    risk = ask(store, HALF)["risk"]
    assert risk["horizon_days"] == 30
    assert risk["bankroll"] == amount(30 * 100_000, "USD")
    assert "the bankroll of 30 days" in risk["note"]


@on_sqlite
def test_recommended_budgets_stay_within_the_step_and_together_within_the_bankroll(
    store: SqlStore,
) -> None:
    fold(
        store,
        [
            e
            for n in range(1, 5)
            for e in steady(
                range(TODAY - 40, TODAY + 1), (0.9, 0.5, 0.7), 10_000 + n, f"C{n}", str(n)
            )
        ],
    )
    answer = ask(store, Merchant("USD", 45_000, 0.5))
    moves = [
        (float(c["current_budget"]["amount"]), float(c["recommended_budget"]["amount"]))
        for c in answer["campaigns"]
    ]
    assert all(0.7 * current <= result <= 1.3 * current for current, result in moves)
    assert sum(result for _, result in moves) == pytest.approx(450, abs=0.05)
    assert sum(result for _, result in moves) <= 450
    assert float(answer["total"]["recommended_budget"]["amount"]) <= 450


@on_sqlite
def test_spend_in_another_currency_is_shown_but_never_compared(store: SqlStore) -> None:
    fold(
        store,
        [
            *steady(range(TODAY - 40, TODAY + 1), (0.4, 0.2)),
            report(Cost(TODAY, "google", "9", "Abroad", "EUR", 500, 1, None)),
        ],
    )
    answer = ask(store, HALF)
    (abroad,) = (each for each in answer["campaigns"] if each["campaign_id"] == "9")
    assert (abroad["spend"], abroad["roas"], abroad["recommended_budget"]) == (
        amount(500, "EUR"),
        None,
        None,
    )
    assert "EUR" in abroad["reason"]
    assert answer["total"]["roas"] is None
    assert any("EUR" in reason for reason in answer["reasons"])


@on_sqlite
def test_a_name_that_two_campaigns_have_is_given_to_neither(store: SqlStore) -> None:
    costs = [Cost(TODAY, "meta", n, "Summer", "USD", 100, 1, None) for n in ("1", "2")]
    sale = Sale(TODAY, 900, "USD", ("", "", ""))
    fold(
        store,
        [*map(report, costs), *order_records(10, sale, "/?utm_source=fb&utm_campaign=summer")],
    )
    found = {
        each["campaign_id"]: (each["orders"], each["issues"])
        for each in ask(store, HALF)["campaigns"]
    }
    assert found == {"1": (0, []), "2": (0, []), None: (1, [AMBIGUOUS])}


@on_sqlite
def test_a_link_of_another_channel_does_not_take_a_campaigns_name(store: SqlStore) -> None:
    sale = Sale(TODAY, 900, "USD", ("", "", ""))
    links = ("/?utm_source=klaviyo&utm_campaign=summer", "/?utm_campaign=summer")
    records = [
        record for n, link in enumerate(links) for record in order_records(10 * (n + 1), sale, link)
    ]
    fold(store, [report(Cost(TODAY, "meta", "1", "Summer", "USD", 100, 1, None)), *records])
    assert {each["channel"]: each["orders"] for each in ask(store, HALF)["campaigns"]} == {
        "meta": 1,
        "klaviyo": 1,
    }


@on_sqlite
def test_the_share_of_unattributed_orders_is_shown(store: SqlStore) -> None:
    sale = Sale(TODAY, 1000, "USD", ("", "", ""))
    fold(
        store,
        [
            e
            for n, site in enumerate((None, "/", "/", "/?fbclid=x"))
            for e in order_records(10 * (n + 1), sale, site)
        ],
    )
    answer = ask(store, HALF)
    assert answer["unattributed"] == {
        "orders": 1,
        "revenue": amount(1000, "USD"),
        "share": 0.25,
        "reason": None,
    }
    assert (answer["direct"]["orders"], answer["meta_unassigned"]["orders"]) == (2, 1)


@pytest.mark.parametrize(
    ("shop_zone", "note"),
    [
        ("America/Los_Angeles", None),
        ("Europe/Paris", "mixes the hours"),
        (None, "the shop's time zone is not set"),
    ],
)
def test_time_zones_of_account_and_shop_are_stated(
    store: SqlStore, shop_zone: str | None, note: str | None
) -> None:
    fold(store, steady(range(TODAY - 3, TODAY), (0.1,)))
    zones = ask(store, HALF, shop_zone)["time_zones"]
    assert (zones["shop"], zones["ad_account"]) == (shop_zone, "America/Los_Angeles")
    assert zones["reason"] is None if note is None else note in zones["reason"]


@on_sqlite
def test_the_answer_is_json(store: SqlStore) -> None:
    shop = Simulated(3)
    fold(store, shop.entries)
    assert json.loads(json.dumps(ask(store, shop.merchant()), allow_nan=False))
