"""A shop's checkouts and carts over some weeks, with every way in which one can end."""

import random
from typing import Any

from tests.support.shopify.cart_events import (
    DAY,
    CartEvent,
    cart_record,
    checkout,
    deleted,
    order,
)


def simulated(seed: int, checkouts: int, days: int) -> list[CartEvent]:
    """A shop's history: visits, purchases at once, recoveries by link and by another order,
    deletes, a second currency."""
    rng = random.Random(seed)
    found: list[CartEvent] = []
    for i in range(checkouts):
        token, created = f"t{i}", rng.uniform(0, days * DAY)
        person = f"{rng.randrange(checkouts // 3)}" if rng.random() < 0.7 else None
        email = f"guest{rng.randrange(checkouts)}@example.org" if rng.random() < 0.3 else None
        cart = f"c{i - (rng.random() < 0.1)}" if rng.random() < 0.8 else None
        if cart and rng.random() < 0.9:
            found.append(cart_record(cart, created - 5))
        total = round(rng.lognormvariate(8.5, 0.9))
        who: dict[str, Any] = {
            "customer": person,
            "email": email,
            "cart": cart,
            "currency": "EUR" if rng.random() < 0.03 else "USD",
        }
        last = created
        for _ in range(rng.choice([1, 1, 2, 3])):
            found.append(checkout(token, last, created=created, total=total, **who))
            last += rng.choice([rng.uniform(0, 9), rng.uniform(9, 70), rng.expovariate(1 / 900)])
        fate = rng.random()
        if fate < 0.35:
            worth, currency = (
                round(total * rng.uniform(0.6, 1.1)),
                "JPY" if rng.random() < 0.03 else who["currency"],
            )
            found.append(
                order(
                    f"o{i}",
                    last,
                    token=token,
                    cart=cart,
                    customer=person,
                    email=email,
                    total=worth,
                    currency=currency,
                )
            )
        elif fate < 0.4:
            found.append(
                checkout(token, last + 0.1, created=created, completed=last, total=total, **who)
            )
        elif fate < 0.43:
            found.append(
                deleted(
                    last + 1,
                    **({"cart": cart} if cart and rng.random() < 0.5 else {"token": token}),
                )
            )
        elif fate < 0.5 and person:
            found.append(
                order(f"o{i}", last + rng.uniform(0, 5 * DAY), customer=person, total=total)
            )
        elif fate < 0.52 and cart:
            found.append(
                order(f"o{i}", last + rng.uniform(0, DAY), cart=cart, customer=person, total=total)
            )
    found += [cart_record(f"alone{i}", rng.uniform(0, days * DAY)) for i in range(checkouts // 10)]
    found.sort(
        key=lambda event: (
            event.received_ms if hasattr(event, "received_ms") else event.version.updated_us // 1000
        )
    )
    return found


def before(events: list[CartEvent], now_ms: int) -> list[CartEvent]:
    return [event for event in events if (event.version.updated_us // 1000) <= now_ms]
