"""Finds revenue that some campaign earned without saying which, and withholds advice if it is more
than a tenth of its channel's revenue, since the channel's campaigns look worse than they are."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from aggregates.budget.answer.campaigns import AdAccount, CampaignDays
from aggregates.budget.answer.coverage import Coverage
from aggregates.budget.answer.window import Window, day_text
from stream.money import amount

MATERIAL_SHARE: Final = 0.1
LATE_DAYS: Final = 7
"""Orders that come up to so many days after a campaign's last spend are still its own."""
NAMES_SHOWN: Final = 3
UTM_ID: Final = "put utm_id={{campaign.id}} into the ads' links"


class Finding(NamedTuple):
    """Unassigned revenue of one kind, in minor units, and how to fix it."""

    revenue: int
    mend: str


def withheld(
    account: AdAccount, coverage: Coverage, window: Window, currency: str
) -> dict[int, list[str]]:
    """Why no advice is given, by the campaign's index in `account.campaigns`.

    Only days of `window` with known spend and orders count.
    """
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    reported: defaultdict[str, list[int]] = defaultdict(list)
    for index, each in enumerate(account.campaigns):
        if each.spend_currency is not None:
            reported[each.channel].append(index)
    for channel, indices in reported.items():
        days = coverage.known(channel, window)
        campaigns = [account.campaigns[index] for index in indices]
        nameless, moved = list(_of_channel(account, channel, days)), list(_moved(campaigns, days))
        findings = nameless + moved
        missing = sum(each.revenue for each in findings)
        # Revenue under a renamed campaign's old name is already counted in that campaign.
        everything = sum(each.revenue for each in nameless) + sum(
            _sum(each, days) for each in campaigns
        )
        if _material(missing, everything):
            text = _text(missing, everything, f"what {channel} earned", findings, currency)
            for index in indices:
                reasons[index].append(text)
    for index, text in _ambiguous(account, coverage, window, currency):
        reasons[index].append(text)
    return dict(reasons)


def _material(missing: int, everything: int) -> bool:
    return missing > MATERIAL_SHARE * everything


def _sum(campaign: CampaignDays, days: Iterable[int]) -> int:
    return sum(campaign.revenue[day] for day in days)


def _of_channel(account: AdAccount, channel: str, days: Sequence[int]) -> Iterator[Finding]:
    """Orders known to come from the channel, or that may, without a campaign that spends there."""
    bucket = account.buckets.get(channel)
    clicks = sum(bucket.revenue[day] for day in days) if bucket else 0
    if clicks > 0:
        yield Finding(clicks, f"links that name no campaign: {UTM_ID}")
    strangers = [
        (_sum(each, days), each.name or each.campaign_id or "")
        for each in account.campaigns
        if each.spend_currency is None
        and not each.candidates
        and each.channel in (channel, "")
        and _sum(each, days) > 0
    ]
    if strangers:
        strangers.sort(reverse=True)
        names = ", ".join(repr(name) for _, name in strangers[:NAMES_SHOWN])
        yield Finding(
            sum(revenue for revenue, _ in strangers),
            f"links that name {names}, which no spend report does: correct the links or report "
            "that spend",
        )


def _moved(campaigns: Iterable[CampaignDays], days: Sequence[int]) -> Iterator[Finding]:
    """Orders under the name of a campaign that has stopped spending: its name may have changed.

    A campaign with an id keeps it, so only those known by name can be lost this way.
    """
    for each in campaigns:
        spent = [day for day, spend in each.spend.items() if spend > 0]
        if each.campaign_id or not spent:
            continue
        stray = sum(each.revenue[day] for day in days if day > max(spent) + LATE_DAYS)
        if stray > 0:
            yield Finding(
                stray,
                f"links that name {each.name!r}, which has spent nothing since "
                f"{day_text(max(spent))}: if it was renamed, correct the links or {UTM_ID}",
            )


def _ambiguous(
    account: AdAccount, coverage: Coverage, window: Window, currency: str
) -> Iterator[tuple[int, str]]:
    """Names shared by several campaigns."""
    places = {id(each): index for index, each in enumerate(account.campaigns)}
    groups: defaultdict[tuple[int, ...], list[CampaignDays]] = defaultdict(list)
    for each in account.campaigns:
        if each.candidates:
            groups[tuple(sorted(places[id(one)] for one in each.candidates))].append(each)
    for indices, rows in groups.items():
        campaigns = [account.campaigns[index] for index in indices]
        channels = {each.channel for each in campaigns}
        days = sorted({day for name in channels for day in coverage.known(name, window)})
        missing = sum(_sum(each, days) for each in rows)
        everything = missing + sum(_sum(each, days) for each in campaigns)
        if _material(missing, everything):
            names = ", ".join(sorted({repr(each.name or each.campaign_id) for each in rows}))
            finding = Finding(
                missing, f"links that name {names}, as {_count(indices)} do: {UTM_ID}"
            )
            text = _text(missing, everything, "what they earned", [finding], currency)
            for index in indices:
                yield index, text


def _count(indices: Sequence[int]) -> str:
    return f"{len(indices)} campaigns"


def _text(
    missing: int, everything: int, of_what: str, findings: Sequence[Finding], currency: str
) -> str:
    share = missing / everything
    causes = "; ".join(each.mend for each in findings)
    return (
        f"{share:.0%} of {of_what} ({amount(missing, currency)} {currency}) has no campaign, "
        f"by {causes}"
    )
