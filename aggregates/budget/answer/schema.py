"""The answer of `GET /v1/budget`, member by member (docs/budget-advice.md has the reasons)."""

from typing import Annotated

from msgspec import Meta, Struct

from stream.money import MoneyJson

Reason = Annotated[
    str | None,
    Meta(description="Why a number beside it is null, in words.", examples=[None]),
]
Orders = Annotated[int, Meta(description="Orders in the days shown.", examples=[131])]
Spend = Annotated[MoneyJson | None, Meta(description="Ad spend in the days shown.")]
Revenue = Annotated[MoneyJson | None, Meta(description="Revenue of those orders.")]
Roas = Annotated[
    float | None,
    Meta(
        description="Revenue per unit of spend, over the days on which both are known.",
        examples=[2.6],
    ),
]
RoasDays = Annotated[
    int, Meta(description="Days that `roas` is over: spend and orders are known.", examples=[30])
]
CurrentBudget = Annotated[MoneyJson | None, Meta(description="Today's budget per day.")]
RecommendedBudget = Annotated[MoneyJson | None, Meta(description="Tomorrow's budget per day.")]
TargetBudget = Annotated[
    MoneyJson | None, Meta(description="Where the budget heads, one step a day.")
]


class DaySpan(Struct, frozen=True, kw_only=True):
    """A span of days, both ends included."""

    first_day: Annotated[str, Meta(description="Its first day.", examples=["2026-10-24"])]
    last_day: Annotated[str, Meta(description="Its last day.", examples=["2026-11-22"])]


class ReturnsWindow(DaySpan, frozen=True, kw_only=True):
    """The days that are judged."""

    immature_days: Annotated[
        int,
        Meta(
            description="The newest days, today among them, that are not judged: their revenue is"
            " not yet all in.",
            examples=[3],
        ),
    ]


class Risk(Struct, frozen=True, kw_only=True):
    """Against what risk is measured."""

    horizon_days: Annotated[
        int, Meta(description="Over so many days what may be lost is counted.", examples=[30])
    ]
    bankroll: Annotated[MoneyJson | None, Meta(description="What the ads may spend in those days.")]
    note: Annotated[
        str,
        Meta(
            description="The same in words.",
            examples=["Risk is measured against the bankroll of 30 days."],
        ),
    ]
    reason: Reason


class DailyReturn(Struct, frozen=True, kw_only=True):
    """Return per unit of spend on a judged day: margin times revenue by spend, less 1."""

    mean: Annotated[
        float | None, Meta(description="Mean over the judged days, by spend.", examples=[0.04])
    ]
    sd: Annotated[
        float | None, Meta(description="Standard deviation over those days.", examples=[0.35])
    ]
    shrunk_mean: Annotated[
        float | None,
        Meta(description="The mean, drawn towards zero by how little is known.", examples=[0.031]),
    ]
    p_positive: Annotated[
        float | None,
        Meta(
            description="Probability that the true mean is above zero; null below 7 judged days.",
            examples=[0.68],
        ),
    ]
    reason: Reason


class BinaryKelly(Struct, frozen=True, kw_only=True):
    """Kelly's fraction with days as bets that are won or lost."""

    p: Annotated[float | None, Meta(description="Share of days that gained.", examples=[0.57])]
    b: Annotated[
        float | None, Meta(description="Mean gain of those by mean loss of others.", examples=[1.3])
    ]
    fraction: Annotated[
        float | None, Meta(description="Kelly's: p - (1 - p) / b, at least 0.", examples=[0.24])
    ]
    reason: Reason


class Kelly(Struct, frozen=True, kw_only=True):
    """What share of the bankroll the evidence supports."""

    binary: Annotated[BinaryKelly, Meta(description="The same by won and lost days, to compare.")]
    continuous: Annotated[
        float | None,
        Meta(description="Kelly's full fraction, uncapped.", examples=[1.69]),
    ]
    multiplier: Annotated[
        float | None,
        Meta(description="What part of it is advised; null below 7 judged days.", examples=[0.5]),
    ]
    fraction: Annotated[
        float | None,
        Meta(description="`continuous` times `multiplier`, at most 1.", examples=[0.845]),
    ]
    reason: Reason


class CampaignKelly(Kelly, frozen=True, kw_only=True):
    """The same of one campaign, and what it gets beside the others."""

    shared_fraction: Annotated[
        float | None, Meta(description="`target_budget` by the bankroll.", examples=[0.28])
    ]


class Platform(Struct, frozen=True, kw_only=True):
    """What the ad platform itself reports of the days shown."""

    impressions: Annotated[int, Meta(description="Times an ad was shown.", examples=[410000])]
    clicks: Annotated[int, Meta(description="Clicks on ads.", examples=[5100])]
    orders: Annotated[int, Meta(description="Purchases that it claims.", examples=[140])]
    revenue: Annotated[MoneyJson | None, Meta(description="Revenue that it claims.")]
    roas: Annotated[float | None, Meta(description="That revenue by the spend.", examples=[2.8])]
    reason: Reason


class Campaign(Struct, frozen=True, kw_only=True):
    """One campaign."""

    campaign_id: Annotated[
        str | None,
        Meta(
            description="The ad platform's id; null where only a name is known.",
            examples=["1200001"],
        ),
    ]
    name: Annotated[str | None, Meta(description="Its newest name.", examples=["Summer"])]
    channel: Annotated[
        str | None, Meta(description="Its ad platform; null where not known.", examples=["meta"])
    ]
    days: Annotated[int, Meta(description="Days that are judged.", examples=[30])]
    spend: Spend
    revenue: Annotated[MoneyJson, Meta(description="Revenue of the orders that came by its links.")]
    orders: Annotated[int, Meta(description="Orders that came by its links.", examples=[131])]
    roas: Roas
    roas_days: RoasDays
    daily_return: Annotated[DailyReturn, Meta(description="Its returns on the judged days.")]
    kelly: Annotated[CampaignKelly, Meta(description="What the returns support.")]
    saturation: Annotated[
        MoneyJson | None,
        Meta(description="The budget above which another unit of spend does not pay for itself."),
    ]
    saturation_reason: Annotated[
        str | None, Meta(description="Why `saturation` is null.", examples=[None])
    ]
    current_budget: CurrentBudget
    recommended_budget: RecommendedBudget
    target_budget: TargetBudget
    binding_constraint: Annotated[
        str | None,
        Meta(
            description="What bounds the recommended budget: kelly, bankroll, saturation, step_up,"
            " step_down, zero_edge or too_few_days.",
            examples=["step_up"],
        ),
    ]
    why: Annotated[
        str,
        Meta(
            description="The recommendation and its evidence in one sentence.",
            examples=["Raise towards 140.00 USD a day: its mean return is +4%."],
        ),
    ]
    platform: Annotated[Platform, Meta(description="What the ad platform claims, to compare.")]
    issues: Annotated[
        list[str],
        Meta(
            description="What to mend or to look at.",
            examples=[["consider a pause: the mean return is most likely below zero"]],
        ),
    ]
    reason: Annotated[
        str | None,
        Meta(
            description="Why nothing is recommended, or why today's budget stays.", examples=[None]
        ),
    ]


class Attributed(Struct, frozen=True, kw_only=True):
    """What campaigns earned, of all that the shop did."""

    orders: Annotated[int, Meta(description="Orders that came by a campaign.", examples=[350])]
    revenue: Revenue
    roas: Roas
    reason: Reason


class Total(Struct, frozen=True, kw_only=True):
    """All campaigns and all orders of the shop together."""

    spend: Annotated[
        MoneyJson | None, Meta(description="Ad spend in the days shown, in the shop's currency.")
    ]
    revenue: Annotated[MoneyJson | None, Meta(description="Revenue of all of the shop's orders.")]
    orders: Annotated[int, Meta(description="All orders in the days shown.", examples=[412])]
    roas: Annotated[
        float | None,
        Meta(description="Blended: all revenue by all spend.", examples=[2.31]),
    ]
    roas_days: RoasDays
    attributed: Annotated[Attributed, Meta(description="What of it campaigns earned.")]
    daily_return: Annotated[DailyReturn, Meta(description="Returns of all campaigns taken as one.")]
    kelly: Annotated[Kelly, Meta(description="What those returns support.")]
    current_budget: CurrentBudget
    recommended_budget: RecommendedBudget
    target_budget: TargetBudget
    reason: Reason


class Unassigned(Struct, frozen=True, kw_only=True):
    """Orders that no campaign can be credited with."""

    orders: Orders
    revenue: Revenue
    share: Annotated[float | None, Meta(description="Their share of all orders.", examples=[0.053])]
    reason: Reason


class UnassignedOfChannel(Unassigned, frozen=True, kw_only=True):
    """The same of one channel."""

    channel: Annotated[str, Meta(description="The channel.", examples=["klaviyo"])]


class TimeZones(Struct, frozen=True, kw_only=True):
    """Whose days spend and orders count on."""

    shop: Annotated[
        str | None, Meta(description="The shop's, as it is set.", examples=["Europe/Paris"])
    ]
    ad_account: Annotated[
        str | None,
        Meta(description="The ad account's, as it reports.", examples=["America/Los_Angeles"]),
    ]
    reason: Annotated[
        str | None,
        Meta(description="What to know where they differ or are not known.", examples=[None]),
    ]


class Budget(Struct, frozen=True, kw_only=True):
    """What each campaign cost and earned, and what to spend on it tomorrow."""

    days: Annotated[int, Meta(description="Days whose money and orders are shown.", examples=[30])]
    window: Annotated[DaySpan, Meta(description="Those days.")]
    returns_window: Annotated[
        ReturnsWindow, Meta(description="The days that returns and advice are of.")
    ]
    margin: Annotated[
        float | None,
        Meta(description="Contribution margin, a fraction of revenue (AD_MARGIN).", examples=[0.4]),
    ]
    bankroll_per_day: Annotated[
        MoneyJson | None, Meta(description="What ads may spend per day (AD_BANKROLL).")
    ]
    reasons: Annotated[
        list[str],
        Meta(
            description="What is missing or left out in the whole answer.",
            examples=[["2 orders in another currency than USD are left out"]],
        ),
    ]
    risk: Annotated[Risk, Meta(description="Against what risk is measured.")]
    total: Annotated[Total, Meta(description="All campaigns together.")]
    campaigns: Annotated[
        list[Campaign], Meta(description="Every campaign, by spend, the largest first.")
    ]
    unattributed: Annotated[
        Unassigned, Meta(description="Orders of which no link says where they came from.")
    ]
    direct: Annotated[
        Unassigned, Meta(description="Orders by a link into the shop without any campaign.")
    ]
    meta_unassigned: Annotated[
        Unassigned, Meta(description="Orders by a Meta ad whose link names no campaign.")
    ]
    unassigned: Annotated[
        list[UnassignedOfChannel],
        Meta(description="The same of every other channel."),
    ]
    time_zones: Annotated[TimeZones, Meta(description="Whose days are counted on.")]
