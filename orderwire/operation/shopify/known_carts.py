"""Finds the carts whose checkouts a webhook has delivered."""

from collections.abc import Collection

from stream.store.contract import Store


def known_carts(store: Store, shop: str, carts: Collection[str]) -> set[str]:
    """Those among `carts`; checkouts that a backfill brought do not count."""
    names = {f"cart_{place}": cart for place, cart in enumerate(sorted(carts))}
    if not names:
        return set()
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT DISTINCT cart_token FROM cart_checkout WHERE shop = :shop AND cart_token IN"
            f" ({', '.join(f':{name}' for name in names)}) AND token <> 'cart:' || cart_token",
            shop=shop,
            **names,
        )
    return {row.cart_token for row in rows}
