"""Asks Meta once for a shop's ad account: whether its spend can be read, and in which currency."""

from ingest.meta.graph import Away, Graph, GraphError
from ingest.meta.insights import ad_account
from orderwire.doctor import Line, fix, hint, ok
from orderwire.operation.spend.spend_pull import access
from orderwire.settings.program import ShopSettings


def ad_spend(shop: ShopSettings) -> list[Line]:
    """Findings about META_AD_ACCOUNT_ID; none where it is not set."""
    if shop.meta.ad_account_id is None:
        return []
    how = access(shop)
    if how is None:
        return [fix(shop.domain, "META_AD_ACCOUNT_ID is set and no token: set META_ADS_TOKEN")]
    graph = Graph(*how, wait=lambda _: True, tries=1)
    try:
        account = ad_account(graph)
    except Away as error:
        return [fix(shop.domain, f"ad spend: {error}: open outgoing HTTPS, or try again")]
    except GraphError as error:
        return [fix(shop.domain, f"ad spend: {error}")]
    finding = (
        f"ad account {account.account_id} can be read ({account.currency}, {account.time_zone})"
    )
    lines = [ok(shop.domain, finding)]
    converted = account.currency in shop.ads.conversion
    if shop.currency is not None and shop.currency != account.currency and not converted:
        lines.append(
            hint(
                shop.domain,
                f"ad spend is in {account.currency} and the shop in {shop.currency}: it stays out"
                f" of the totals until AD_RATES={account.currency}=… says the rate",
            )
        )
    return lines
