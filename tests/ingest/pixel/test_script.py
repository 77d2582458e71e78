"""The custom pixel, run by a JavaScript engine against the receiver."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ingest.pixel.script import script
from tests.support.api.receiving import SHOP, Held, immediate_log, running

ALL_YES = {
    "analyticsProcessingAllowed": True,
    "marketingAllowed": True,
    "preferencesProcessingAllowed": True,
    "saleOfDataAllowed": True,
}
ALL_NO = dict.fromkeys(ALL_YES, False)
FBP, FBC = "fb.1.1795363100000.1234567890", "fb.1.1795363100000.IwAR0click"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"
SANDBOX = Path(__file__).with_name("sandbox.mjs")


def page(query: str = "") -> dict[str, Any]:
    return {"document": {"location": {"search": query}}, "navigator": {"userAgent": BROWSER}}


def checkout(name: str, token: str = "c0ffee00c0ffee00", query: str = "") -> dict[str, Any]:
    event = {"id": "sh-1", "context": page(query), "data": {"checkout": {"token": token}}}
    return {"name": name, "event": event}


async def run(
    log: Held, steps: Sequence[dict[str, Any]], **of_page: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the pixel answered in its sandbox, and the bodies that reached the log."""
    async with running(log, pixel=True) as receiver:
        text = script(SHOP, str(receiver.client.make_url("/")).rstrip("/"))
        given = {"script": text, "page": {"context": page(), **of_page}, "steps": steps}
        node = await asyncio.create_subprocess_exec(
            *("node", str(SANDBOX)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await node.communicate(json.dumps(given).encode())
    assert node.returncode == 0
    return json.loads(output), [json.loads(record.body) for record in log.kept]


async def test_the_pixel_sends_what_only_the_browser_knows() -> None:
    steps = [checkout("checkout_started"), checkout("checkout_completed", query="?fbclid=IwAR0x")]
    log = immediate_log()
    answered, bodies = await run(
        log, steps, customerPrivacy=ALL_YES, cookies={"_fbp": FBP, "_fbc": FBC}
    )
    assert answered["statuses"] == [204, 204]
    assert [record.headers["topic"] for record in log.kept] == [
        "pixel/checkout_started",
        "pixel/checkout_completed",
    ]
    assert {record.topic for record in log.kept} == {"checkouts"}
    clicked_ms = bodies[1].pop("clicked_ms")
    assert clicked_ms > 1_700_000_000_000
    assert bodies[1] == {
        "checkout_token": "c0ffee00c0ffee00",
        "event_id": "sh-1",
        "fbp": FBP,
        "fbc": FBC,
        "user_agent": BROWSER,
        "clicks": {"fbclid": "IwAR0x"},
        "consent": dict.fromkeys(("analytics", "marketing", "preferences", "sale_of_data"), True),
    }


async def test_without_consent_to_marketing_only_the_choices_are_sent() -> None:
    answered, (body,) = await run(
        immediate_log(),
        [
            {"name": "page_viewed", "event": {"context": page("?fbclid=IwAR0x")}},
            checkout("checkout_completed"),
        ],
        customerPrivacy=ALL_NO,
        cookies={"_fbp": FBP, "_fbc": FBC},
    )
    assert body == {
        "checkout_token": "c0ffee00c0ffee00",
        "event_id": "sh-1",
        "consent": dict.fromkeys(("analytics", "marketing", "preferences", "sale_of_data"), False),
    }
    assert answered["storage"] == {}


async def test_the_click_of_the_landing_page_is_remembered_until_the_checkout() -> None:
    landed = {"name": "page_viewed", "event": {"context": page("?FBCLID=IwAR0y&utm_source=x")}}
    _, (body,) = await run(
        immediate_log(), [landed, checkout("checkout_completed")], customerPrivacy=ALL_YES
    )
    assert body["clicks"] == {"fbclid": "IwAR0y"}
    assert "fbc" not in body


async def test_a_refusal_after_the_checkout_is_sent_for_its_token() -> None:
    refused = {"name": "visitorConsentCollected", "event": {"customerPrivacy": ALL_NO}}
    _, bodies = await run(
        immediate_log(), [checkout("checkout_completed"), refused], customerPrivacy=ALL_YES
    )
    assert bodies[1]["checkout_token"] == "c0ffee00c0ffee00"
    assert bodies[1]["consent"]["marketing"] is False
    assert "user_agent" not in bodies[1]


async def test_a_browser_that_blocks_storage_and_cookies_still_reports() -> None:
    broken = script(SHOP, "https://orders.example.com").replace("browser.", "absent.")
    assert "absent.cookie" in broken
    log = immediate_log()
    async with running(log, pixel=True) as receiver:
        endpoint = str(receiver.client.make_url("/pixel"))
        text = broken.replace("https://orders.example.com/pixel", endpoint)
        given = {
            "script": text,
            "page": {"customerPrivacy": ALL_YES, "context": page()},
            "steps": [checkout("checkout_completed")],
        }
        node = await asyncio.create_subprocess_exec(
            *("node", str(SANDBOX)), stdin=asyncio.subprocess.PIPE
        )
        await node.communicate(json.dumps(given).encode())
    assert node.returncode == 0
    assert json.loads(log.kept[0].body)["user_agent"] == BROWSER


@pytest.mark.parametrize(
    "url",
    [
        "http://orders.example.com",
        "orders.example.com",
        "https://orders.example.com/webhooks",
        'https://a"b/pixel',
        "https://orders.example.com/pixel?x=1",
    ],
)
def test_an_address_that_a_shops_page_cannot_post_to_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        script(SHOP, url)


def test_the_script_holds_its_shop_and_address_and_no_placeholder() -> None:
    text = script(SHOP, "https://orders.example.com/")
    assert '"https://orders.example.com/pixel"' in text
    assert f'"{SHOP}"' in text
    assert "__ORDERWIRE" not in text
