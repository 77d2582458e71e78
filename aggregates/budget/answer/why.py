"""One plain sentence per recommended budget: the change and its evidence."""

from aggregates.budget.advice.evidence import Evidence
from aggregates.budget.advice.sizing import Advice
from aggregates.budget.answer.assessment import Assessment
from aggregates.budget.answer.terms import Terms
from stream.money import amount


def why(assessed: Assessment, terms: Terms, reason: str | None) -> str:
    """The sentence; `reason` is why nothing is recommended, or why today's budget stays."""
    found, advice, current = assessed.evidence, assessed.advice, assessed.current
    if reason is not None or found is None or advice is None or current is None:
        return f"No change is advised: {reason}."
    if advice.pause:
        change = "Stop it" if current == 0 or advice.recommended == 0 else "Cut"
        return f"{change}: its {_seen(found)}, so it loses money with P = {_loss(found):.0%}."
    target = f"{amount(advice.target, terms.currency)} {terms.currency} a day"
    if advice.recommended > max(current, advice.target):
        # Tomorrow's steps leave some of the bankroll; in the long run better campaigns take it.
        return (
            f"Raise while the bankroll has room: its {_seen(found)}; once better campaigns have"
            f" grown, {target} of it is left."
        )
    if advice.recommended > current:
        return f"Raise towards {target}: its {_seen(found)}{_staked(found, advice, terms)}."
    if advice.binding == "bankroll":
        done = "Lower" if advice.recommended < current else "Keep"
        return f"{done}: the bankroll is not enough for all campaigns, and its {_seen(found)}."
    if advice.binding == "saturation":
        done = "Lower" if advice.recommended < current else "Keep"
        return f"{done}: above {target} another unit of spend does not pay for itself."
    return (
        f"Keep: its {_seen(found)}, too little to raise it and too uncertain to cut it (it loses "
        f"money with P = {_loss(found):.0%}, and a cut needs "
        f"{terms.caution.cut_probability:.0%})."
    )


def _seen(found: Evidence) -> str:
    return f"mean return on {found.n} judged days is {found.mean or 0.0:+.0%}"


def _loss(found: Evidence) -> float:
    return 1.0 - (found.p_positive or 0.0)


def _staked(found: Evidence, advice: Advice, terms: Terms) -> str:
    """How much the evidence supports: a campaign's own cautious fraction."""
    if advice.binding == "saturation":
        return ", up to where another unit of spend does not pay for itself"
    return (
        f", which supports {found.fraction or 0.0:.0%} of the bankroll at a risk measured over "
        f"{terms.caution.horizon_days} days"
    )
