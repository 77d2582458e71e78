"""The member `ltv_first_orders` of `GET /v1/rfm`."""

from typing import Annotated

from msgspec import Meta, Struct

from stream.money import MoneyJson


class PredictedDecile(Struct, frozen=True, kw_only=True):
    """A tenth of the customers, by what was predicted before their later orders were seen."""

    customers: Annotated[int, Meta(description="Customers in it.", examples=[1520])]
    predicted: Annotated[MoneyJson, Meta(description="Predicted value per customer.")]
    actual: Annotated[MoneyJson, Meta(description="What they brought per customer.")]
    predicted_later: Annotated[
        MoneyJson, Meta(description="The part of `predicted` after the first order.")
    ]
    actual_later: Annotated[
        MoneyJson, Meta(description="The part of `actual` after the first order.")
    ]


class PredictedSpread(Struct, frozen=True, kw_only=True):
    """Predicted values of the newest first orders: Meta wants 5 different, the highest 3 times
    the lowest."""

    first_orders: Annotated[int, Meta(description="First orders compared.", examples=[500])]
    distinct: Annotated[int, Meta(description="Different values among them.", examples=[431])]
    lowest: Annotated[MoneyJson, Meta(description="The lowest that is not zero.")]
    highest: Annotated[MoneyJson, Meta(description="The highest.")]


class FirstOrdersLtv(Struct, frozen=True, kw_only=True):
    """What a new customer is worth by the first order: `predicted_ltv` of Purchase events."""

    horizon_days: Annotated[
        int | None,
        Meta(description="Days from the first order on that count.", examples=[365]),
    ]
    customers: Annotated[
        int,
        Meta(
            description="Customers it is fitted on: first order older than that; of large shops a"
            " sample.",
            examples=[15204],
        ),
    ]
    ordered_again: Annotated[
        int, Meta(description="Those who ordered again within the time.", examples=[4130])
    ]
    shrunk_to_mean: Annotated[
        bool | None,
        Meta(
            description="Whether first orders say nothing of later ones: then later orders count"
            " with their mean.",
            examples=[False],
        ),
    ]
    rank_correlation: Annotated[
        float | None,
        Meta(
            description="Spearman's, of predicted and actual later orders of unseen customers.",
            examples=[0.12],
        ),
    ]
    deciles: Annotated[
        list[PredictedDecile] | None,
        Meta(description="Calibration on customers that the model had not seen, lowest first."),
    ]
    spread: Annotated[
        PredictedSpread | None, Meta(description="How far predicted values lie apart.")
    ]
    fitted_day: Annotated[
        str | None,
        Meta(description="Fitted on orders before this day.", examples=["2026-11-22"]),
    ]
    reason: Annotated[
        str | None,
        Meta(description="Why no predicted value is sent to Meta, in words.", examples=[None]),
    ]
