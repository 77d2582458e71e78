"""Bodies of carts and checkouts, API version 2026-10 (docs/facts/shopify.md, "Checkouts", "Carts").
As in real bodies, an absent value is absent, null, "" or []."""

from collections.abc import Sequence
from datetime import UTC, datetime

from simulator.shop.sale import TAX_PERCENT, Line, Sale, tax
from simulator.shop.written import Json, Prices, customer, local, utc


def cart(
    token: str, lines: Sequence[Line], currency: str, created: datetime, updated: datetime
) -> Json:
    """carts/create and carts/update: no customer, no email, no attribution."""
    prices = Prices(currency, currency, 1.0)
    items: list[Json] = []
    for line in lines:
        price, whole = prices.text(line.product.price), prices.text(line.worth(line.current))
        items.append(
            {
                "id": line.product.variant_id,
                "properties": None,
                "quantity": line.current,
                "variant_id": line.product.variant_id,
                "key": f"{line.product.variant_id}:{token[:32]}",
                "discounted_price": price,
                "discounts": [],
                "gift_card": False,
                "grams": line.product.grams,
                "line_price": whole,
                "original_line_price": whole,
                "original_price": price,
                "price": price,
                "product_id": line.product.product_id,
                "sku": line.product.sku,
                "taxable": True,
                "title": line.product.title,
                "total_discount": prices.text(0),
                "vendor": "Orderwire Demo",
                "price_set": prices.set(line.product.price),
            }
        )
    return {
        "id": token,
        "token": token,
        "line_items": items,
        "note": None,
        "updated_at": utc(updated),
        "created_at": utc(created),
    }


def checkout(
    token: str,
    sale: Sale,
    *,
    contact: bool,
    created: datetime,
    updated: datetime,
    completed: datetime | None,
    attributes: Sequence[Json],
) -> Json:
    """checkouts/create and checkouts/update, with all prices in the buyer's currency.

    `contact`: the buyer has given email and address.
    """
    prices = Prices(sale.currency, sale.presentment, sale.rate)
    person = sale.person if contact else None
    subtotal = sale.subtotal
    body: Json = {
        "token": token,
        "cart_token": sale.cart_token,
        "email": person.email if person else None,
        "gateway": None,
        "buyer_accepts_marketing": False,
        # Created in UTC, updated in the shop's offset, as in real bodies
        # (docs/facts/shopify.md, "Checkouts").
        "created_at": local(created.astimezone(UTC)),
        "updated_at": local(updated),
        "landing_site": sale.arrival.landing_site,
        "note": None,
        "note_attributes": list(attributes),
        "referring_site": sale.arrival.referring_site,
        "shipping_lines": [],
        "taxes_included": False,
        "total_weight": sum(line.product.grams * line.quantity for line in sale.lines),
        "currency": sale.currency,
        "completed_at": local(completed) if completed else None,
        "closed_at": None,
        "user_id": None,
        "location_id": None,
        "source_identifier": None,
        "source_url": None,
        "device_id": None,
        "phone": None,
        "customer_locale": "en",
        "line_items": [
            {
                "applied_discounts": [],
                "discount_allocations": [],
                "key": f"{line.line_id:032x}",
                "fulfillment_service": "manual",
                "gift_card": False,
                "grams": line.product.grams,
                "presentment_title": line.product.title,
                "product_id": line.product.product_id,
                "properties": None,
                "quantity": line.quantity,
                "requires_shipping": True,
                "sku": line.product.sku,
                "tax_lines": [],
                "taxable": True,
                "title": line.product.title,
                "variant_id": line.product.variant_id,
                "vendor": "Orderwire Demo",
                "line_price": prices.shown(line.worth(line.quantity)),
                "price": prices.shown(line.product.price),
            }
            for line in sale.lines
        ],
        "name": f"#{token[:12]}",
        "source": None,
        "abandoned_checkout_url": (
            f"https://shop.example/548380009/checkouts/ac/{sale.cart_token or token}"
            f"/recover?key={token[:16]}"
        ),
        "discount_codes": [],
        "tax_lines": [
            {
                "price": prices.shown(tax(subtotal)),
                "rate": TAX_PERCENT / 100,
                "title": "Tax",
                "channel_liable": False,
            }
        ],
        "source_name": "web",
        "presentment_currency": sale.presentment,
        "total_discounts": prices.shown(sum(line.discount for line in sale.lines)),
        "total_line_items_price": prices.shown(subtotal),
        "total_price": prices.shown(sale.total),
        "total_tax": prices.shown(tax(subtotal)),
        "subtotal_price": prices.shown(subtotal),
        "total_duties": None,
        "shipping_address": person.address if person else [],
    }
    if person is not None:
        body["billing_address"] = person.address
        if not sale.guest:
            body["customer"] = customer(person, sale.currency)
    return body
