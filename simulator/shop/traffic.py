"""A shop's traffic as a process of its own, for benches and kill tests.

`python -m simulator.shop.traffic --url http://127.0.0.1:8081/webhooks/shopify --shop S --secret K
--now T --count N --rate R` sends the deliveries of `plan`, so that its caller can compute the
expected state.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import IO

import orjson

from simulator.shop.delivery import Delivery, signed
from simulator.shop.mangle import mangled
from simulator.shop.mix import Mix
from simulator.shop.sender import ShopSender, Traffic
from simulator.shop.shop import ShopSimulator


def laps(
    deliveries: Sequence[Delivery], *, shop: str, secret: bytes, seed: int = 0
) -> Iterator[Delivery]:
    """Endless copies of the given orders/create deliveries as new orders of the same customers.

    Ids, tokens and webhook ids are new each time and of the same length. A copy costs a tenth of
    simulating an order.
    """
    random = Random((seed << 8) ^ 0x6)
    yield from deliveries
    checkouts = [
        str(orjson.loads(delivery.body)["checkout_token"]).encode() for delivery in deliveries
    ]
    lap = 0
    while True:
        lap += 1
        for delivery, token in zip(deliveries, checkouts, strict=True):
            key = str(int(delivery.key) + lap * len(deliveries) * 16 + 8)
            body = delivery.body.replace(delivery.key.encode(), key.encode())
            body = body.replace(token, b"%032x" % random.getrandbits(128))
            fresh = f"{random.getrandbits(128):032x}"
            yield signed(
                delivery.topic,
                body,
                shop=shop,
                secret=secret,
                webhook_id=fresh,
                event_id=fresh,
                triggered=delivery.triggered_at,
                key=key,
            )


def plan(arguments: argparse.Namespace) -> Iterator[Delivery]:
    """The deliveries that the command line asks for; the same arguments give the same ones, in this
    process or another."""
    now = datetime.fromisoformat(arguments.now)
    secret = arguments.secret.encode()
    mix = Mix.orders_only() if arguments.mix == "orders" else Mix()
    simulator = ShopSimulator(
        arguments.seed,
        arguments.shop,
        secret,
        now,
        arguments.customers,
        currency=arguments.currency,
        mix=mix,
    )
    deliveries: Iterator[Delivery] = simulator.stream(now, arguments.visits_per_s)
    if arguments.mix == "orders":
        deliveries = laps(
            list(islice(deliveries, min(arguments.count, 2000))),
            shop=arguments.shop,
            secret=secret,
            seed=arguments.seed,
        )
    if arguments.mangled:
        deliveries = mangled(deliveries, shop=arguments.shop, secret=secret, seed=arguments.seed)
    return islice(deliveries, arguments.count)


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    made = argparse.ArgumentParser(
        "python -m simulator.shop.traffic", description=(__doc__ or "").partition("\n")[0]
    )
    made.add_argument(
        "--url",
        required=True,
        help="the receiver's, for example http://127.0.0.1:8081/webhooks/shopify",
    )
    made.add_argument("--shop", required=True)
    made.add_argument("--secret", required=True, help="the simulated shop's webhook secret")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument(
        "--now", required=True, help="ISO 8601 with an offset: when the first visit is"
    )
    made.add_argument("--customers", type=int, default=2000)
    made.add_argument("--currency", default="USD")
    made.add_argument("--count", type=int, default=1000, help="deliveries")
    made.add_argument("--visits-per-s", type=float, default=50.0, help="in the shop's own time")
    made.add_argument(
        "--mix",
        choices=("full", "orders"),
        default="full",
        help="orders: nothing but paid orders, cheap to make",
    )
    made.add_argument(
        "--mangled", action="store_true", help="with duplicates, retries, late and broken ones"
    )
    made.add_argument(
        "--rate", type=float, help="deliveries a second; default: as fast as they are accepted"
    )
    made.add_argument("--connections", type=int, default=16)
    made.add_argument(
        "--acknowledged",
        type=Path,
        help="file for `webhook id<TAB>topic<TAB>key` of each 200, as they come",
    )
    return made


async def _send(arguments: argparse.Namespace, acknowledged: IO[bytes] | None) -> Traffic:
    def write(delivery: Delivery) -> None:
        if acknowledged is not None:
            acknowledged.write(
                f"{delivery.webhook_id}\t{delivery.topic}\t{delivery.key}\n".encode()
            )

    sender = ShopSender(
        arguments.url,
        plan(arguments),
        connections=arguments.connections,
        rate=arguments.rate,
        acknowledged=write,
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, sender.stop)
    return await sender.run()


def main(argv: list[str] | None = None) -> int:
    """Send and print the traffic as JSON. Returns 0 if every answer was the expected one."""
    arguments = parser().parse_args(argv)
    if arguments.acknowledged is None:
        traffic = asyncio.run(_send(arguments, None))
    else:
        # Unbuffered: a line that was written outlives this process being killed.
        with arguments.acknowledged.open("ab", buffering=0) as file:
            traffic = asyncio.run(_send(arguments, file))
    sys.stdout.write(orjson.dumps(traffic.summary()).decode() + "\n")
    return 1 if traffic.unexpected or traffic.gave_up else 0


if __name__ == "__main__":
    sys.exit(main())
