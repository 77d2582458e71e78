"""Whether `predicted_ltv` goes to Meta, for the shops that want it sent, and why not."""

from orderwire.doctor import Line, hint, ok
from orderwire.settings.program import Settings, ShopSettings
from stream.money import amount
from stream.store.contract import Store

SUBJECT = "predicted_ltv"


def wants_predicted_ltv(shop: ShopSettings) -> bool:
    """Whether any account of the shop sends it."""
    return any(
        getattr(account.settings, "send_predicted_ltv", False)
        for account in shop.destinations.values()
    )


def predicted_ltv_lines(settings: Settings, store: Store) -> list[Line]:
    """One line per shop that wants it; fits the shop's model, which takes seconds at most."""
    wanting = [shop for shop in settings.shops.values() if wants_predicted_ltv(shop)]
    if not wanting:
        return []
    # NumPy and SciPy: loaded where somebody needs them.
    from orderwire.serve.shops.answer_settings import rfm_settings
    from orderwire.serve.shops.predicted_ltv import fit_shop

    lines = []
    for shop in wanting:
        with store.snapshot() as snapshot:
            found = fit_shop(snapshot, shop.domain, rfm_settings(shop, settings.rfm_window_days))
        where = f"{shop.domain}: "
        if found is None:
            lines.append(hint(SUBJECT, where + "not sent: no order has been counted yet"))
        elif found.reason is not None or found.spread is None:
            lines.append(hint(SUBJECT, f"{where}not sent: {found.reason}"))
        else:
            low, high = (
                amount(each, found.currency) for each in (found.spread.lowest, found.spread.highest)
            )
            lines.append(
                ok(
                    SUBJECT,
                    f"{where}sent with first orders, {low} to {high} {found.currency} over"
                    f" {found.horizon_days} days",
                )
            )
    return lines
