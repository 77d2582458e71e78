"""Probabilities of what happens in the simulated shop."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Mix:
    """Probabilities (0 to 1), per visit unless stated otherwise."""

    follow_up: float = 0.3
    """Not a visit at all but the next thing to happen to an earlier order or checkout."""
    new_customer: float = 0.25
    cart: float = 0.9
    """Of web visits: cart webhooks are sent too, not only the checkout's."""
    checkout: float = 0.6
    """Of carts."""
    completed: float = 0.55
    """Of checkouts."""
    pos: float = 0.05
    draft: float = 0.02
    test: float = 0.01
    guest: float = 0.12
    pending: float = 0.08
    foreign: float = 0.1
    """Of orders: presented in another currency than the shop's."""
    paid_separately: float = 0.8
    """Of paid orders: orders/paid and orders/updated follow orders/create."""
    after_edits: bool = False
    """Whether one order can be both edited and refunded. Then its total says little, and only the
    refunds' own lines say what is kept."""
    pause_s: tuple[float, float] = (0.3, 2.0)
    """Between two steps of one visit, uniform; the last step is at the time asked for."""

    @classmethod
    def orders_only(cls) -> Self:
        """One delivery per visit, each a paid order from the web: what a throughput bench wants."""
        return cls(
            follow_up=0,
            cart=0,
            checkout=1,
            completed=1,
            pos=0,
            draft=0,
            test=0,
            guest=0,
            pending=0,
            foreign=0,
            paid_separately=0,
            pause_s=(0, 0),
        )
