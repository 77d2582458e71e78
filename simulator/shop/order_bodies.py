"""Bodies of orders, refunds and edits, API version 2026-10 (docs/facts/shopify.md, "Orders",
"Refunds"). As in real bodies, an absent value is absent, null, "" or []."""

from collections.abc import Sequence
from datetime import datetime

from simulator.shop.sale import TAX_PERCENT, Line, Sale, tax
from simulator.shop.written import Json, Prices, customer, gid, local

AGENT = {
    "accept_language": "en",
    "browser_height": None,
    "browser_width": None,
    "session_hash": None,
}


def _line_item(line: Line, prices: Prices) -> Json:
    product = line.product
    discount = prices.set(line.discount)
    return {
        "id": line.line_id,
        "admin_graphql_api_id": gid("LineItem", line.line_id),
        "attributed_staffs": [],
        "current_quantity": line.current,
        "fulfillable_quantity": line.current,
        "fulfillment_service": "manual",
        "fulfillment_status": None,
        "gift_card": False,
        "grams": product.grams,
        "name": product.title,
        "price": prices.text(product.price),
        "price_set": prices.set(product.price),
        "product_exists": True,
        "product_id": product.product_id,
        "properties": [],
        "quantity": line.quantity or line.current,
        "requires_shipping": True,
        "sku": product.sku,
        "taxable": True,
        "title": product.title,
        "total_discount": prices.text(line.discount),
        "total_discount_set": discount,
        "variant_id": product.variant_id,
        "variant_inventory_management": "shopify",
        "variant_title": None,
        "vendor": "Orderwire Demo",
        "tax_lines": [],
        "duties": [],
        "discount_allocations": [],
    }


def order(sale: Sale, note_attributes: Sequence[Json]) -> Json:
    """An order as every orders/* topic but edited and delete carries it; about 7 kB with two
    lines."""
    prices = Prices(sale.currency, sale.presentment, sale.rate)
    web, draft = sale.source_name == "web", sale.source_name == "shopify_draft_order"
    subtotal, current_subtotal = sale.subtotal, sale.current_subtotal
    if sale.cancelled is not None:
        current_subtotal = current_total = 0
    else:
        current_total = sale.current_total
    discounts = sum(line.discount for line in sale.lines)
    zero = prices.set(0)
    person = sale.person
    unpaid = sale.financial_status in ("pending", "authorized")
    body: Json = {
        "id": sale.order_id,
        "admin_graphql_api_id": gid("Order", sale.order_id),
        "app_id": 580111 if web else None,
        "browser_ip": person.ip if web and person else None,
        "buyer_accepts_marketing": False,
        "cancel_reason": sale.cancel_reason,
        "cancelled_at": local(sale.cancelled) if sale.cancelled else None,
        "cart_token": sale.cart_token,
        "checkout_token": sale.checkout_token,
        "client_details": {**AGENT, "browser_ip": person.ip, "user_agent": person.user_agent}
        if web and person
        else None,
        "closed_at": None,
        "confirmation_number": f"OW{sale.number:07d}",
        "confirmed": True,
        "created_at": local(sale.created),
        "currency": sale.currency,
        "current_shipping_price_set": prices.set(sale.shipping_left),
        "current_subtotal_price": prices.text(current_subtotal),
        "current_subtotal_price_set": prices.set(current_subtotal),
        "current_total_additional_fees_set": None,
        "current_total_discounts": prices.text(discounts),
        "current_total_discounts_set": prices.set(discounts),
        "current_total_duties_set": None,
        "current_total_price": prices.text(current_total),
        "current_total_price_set": prices.set(current_total),
        "current_total_tax": prices.text(tax(current_subtotal)),
        "current_total_tax_set": prices.set(tax(current_subtotal)),
        "customer_locale": "en" if web else None,
        "discount_codes": [
            {"code": "WELCOME", "amount": prices.text(discounts), "type": "percentage"}
        ]
        if discounts
        else [],
        "email": "" if draft else person.email if person else None,
        "financial_status": sale.financial_status,
        "fulfillment_status": None,
        "landing_site": sale.arrival.landing_site if web else None,
        "landing_site_ref": None,
        "location_id": 9001 if sale.source_name == "pos" else None,
        "name": f"#{sale.number}",
        "note": None,
        "note_attributes": list(note_attributes),
        "number": sale.number - 1000,
        "order_number": sale.number,
        "payment_gateway_names": [] if unpaid else ["bogus"],
        "phone": None,
        "po_number": None,
        "presentment_currency": sale.presentment,
        "processed_at": local(sale.created),
        "referring_site": sale.arrival.referring_site if web else None,
        "source_identifier": None,
        "source_name": sale.source_name,
        "subtotal_price": prices.text(subtotal),
        "subtotal_price_set": prices.set(subtotal),
        "tags": "",
        "tax_exempt": False,
        "tax_lines": [
            {
                "price": prices.text(tax(subtotal)),
                "rate": TAX_PERCENT / 100,
                "title": "Tax",
                "channel_liable": False,
            }
        ],
        "taxes_included": False,
        "test": sale.test,
        "token": f"{sale.order_id:032x}",
        "total_discounts": prices.text(discounts),
        "total_discounts_set": prices.set(discounts),
        "total_line_items_price": prices.text(subtotal + discounts),
        "total_line_items_price_set": prices.set(subtotal + discounts),
        "total_outstanding": prices.text(current_total if unpaid else 0),
        "total_price": prices.text(sale.total),
        "total_price_set": prices.set(sale.total),
        "total_shipping_price_set": prices.set(sale.shipping),
        "total_tax": prices.text(tax(subtotal)),
        "total_tax_set": prices.set(tax(subtotal)),
        "total_tip_received": prices.text(0),
        "total_weight": sum(line.product.grams * line.quantity for line in sale.lines),
        "updated_at": local(sale.updated),
        "user_id": None,
        "discount_applications": [],
        "fulfillments": [],
        "line_items": [_line_item(line, prices) for line in sale.lines],
        "payment_terms": None,
        "refunds": sale.refunds,
        "shipping_lines": [
            {
                "id": sale.order_id + 7,
                "code": "Standard",
                "discounted_price": prices.text(sale.shipping),
                "discounted_price_set": prices.set(sale.shipping),
                "is_removed": False,
                "price": prices.text(sale.shipping),
                "price_set": prices.set(sale.shipping),
                "source": "shopify",
                "title": "Standard",
                "tax_lines": [],
                "discount_allocations": [],
            }
        ]
        if web
        else [],
        "total_cash_rounding_payment_adjustment_set": zero,
    }
    if person is not None and not draft:
        body["contact_email"] = person.email
        if web:
            body["billing_address"] = body["shipping_address"] = person.address
            body["order_status_url"] = (
                f"https://shop.example/orders/{sale.order_id:032x}/authenticate"
            )
        if not sale.guest:
            body["customer"] = customer(person, sale.currency)
    return body


def refund(
    sale: Sale,
    refund_id: int,
    at: datetime,
    returned: Sequence[tuple[Line, int]],
    shipping: int,
    money: int | None,
) -> Json:
    """A refund object, as in refunds/create and in an order's `refunds`. `money` None: no
    transaction at all (restock only)."""
    prices = Prices(sale.currency, sale.presentment, sale.rate)
    # Tax goes back as the order's tax falls, so that the parts add up to the total's difference to
    # the unit.
    left = sale.current_subtotal
    items: list[Json] = []
    for line, quantity in returned:
        worth = line.worth(line.current) - line.worth(line.current - quantity)
        returned_tax = tax(left) - tax(left - worth)
        left -= worth
        items.append(
            {
                "id": refund_id + 100 + len(items),
                "quantity": quantity,
                "line_item_id": line.line_id,
                "location_id": None,
                "restock_type": "return",
                "subtotal": float(prices.text(worth)),
                "total_tax": float(prices.text(returned_tax)),
                "subtotal_set": prices.set(worth),
                "total_tax_set": prices.set(returned_tax),
            }
        )
    transactions = []
    if money is not None:
        transactions.append(
            {
                "id": refund_id + 50,
                "admin_graphql_api_id": gid("OrderTransaction", refund_id + 50),
                "order_id": sale.order_id,
                "kind": "refund",
                "gateway": "bogus",
                "status": "success",
                "created_at": local(at),
                "processed_at": local(at),
                "test": sale.test,
                "amount": prices.text(money),
                "currency": sale.currency,
                "receipt": {},
            }
        )
    return {
        "id": refund_id,
        "admin_graphql_api_id": gid("Refund", refund_id),
        "order_id": sale.order_id,
        "created_at": local(at),
        "processed_at": local(at),
        "note": None,
        "user_id": 548380009,
        "restock": bool(items),
        "return": None,
        "duties": [],
        "order_adjustments": [],
        "refund_shipping_lines": [
            {"id": refund_id + 60, "subtotal_amount_set": prices.set(shipping)}
        ]
        if shipping
        else [],
        "refund_line_items": items,
        "transactions": transactions,
    }


def order_edit(
    sale: Sale,
    edit_id: int,
    at: datetime,
    added: Sequence[Line],
    removed: Sequence[tuple[Line, int]],
) -> Json:
    """orders/edited: names lines, no totals."""
    none: Json = {"additions": [], "removals": []}
    return {
        "order_edit": {
            "id": edit_id,
            "app_id": None,
            "created_at": local(at),
            "committed_at": local(at),
            "notify_customer": False,
            "order_id": sale.order_id,
            "staff_note": "",
            "user_id": None,
            "line_items": {
                "additions": [{"id": line.line_id, "delta": line.current} for line in added],
                "removals": [{"id": line.line_id, "delta": quantity} for line, quantity in removed],
            },
            "discounts": {"line_item": none},
            "shipping_lines": none,
        }
    }
