"""The custom pixel in a real browser: a sandboxed frame as Shopify's, whose origin is `null`."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ingest.pixel.script import script
from tests.support.api.receiving import SHOP, immediate_log, running, until
from tests.support.delivery.browser import browsing, needs_chromium

pytestmark = needs_chromium
FRAME = """<script>
const subscribers = {};
const subscribe = (name, callback) => (subscribers[name] ||= []).push(callback);
const init = {customerPrivacy: {marketingAllowed: true, saleOfDataAllowed: true,
  analyticsProcessingAllowed: true, preferencesProcessingAllowed: true}, context: {}};
const analytics = {subscribe};
const api = {customerPrivacy: {subscribe}};
const cookies = {_fbp: "fb.1.1795363100000.1234567890"};
const browser = {cookie: {get: async (name) => cookies[name] || ""},
  sessionStorage: {getItem: async () => null, setItem: async () => undefined}};
</script>
<script>%s</script>
<script>
const context = {navigator: {userAgent: navigator.userAgent},
  document: {location: {search: "?fbclid=IwAR0x"}}};
const event = {id: "sh-1", context, data: {checkout: {token: "c0ffee00c0ffee00"}}};
for (const callback of subscribers.checkout_completed) callback(event);
</script>"""


async def page_of(frame: str) -> TestServer:
    """A shop's page with the pixel's frame in it, as Shopify's lax sandbox has it."""
    quoted = frame.replace("&", "&amp;").replace('"', "&quot;")
    html = f'<iframe sandbox="allow-scripts allow-forms" srcdoc="{quoted}"></iframe>'

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/json"])
async def test_a_browser_lets_the_pixel_post_from_its_sandbox(content_type: str) -> None:
    log = immediate_log()
    async with running(log, pixel=True) as receiver:
        endpoint = str(receiver.client.make_url("/")).rstrip("/")
        text = script(SHOP, endpoint).replace("text/plain;charset=UTF-8", content_type)
        shop = await page_of(FRAME % text)
        try:
            async with browsing(str(shop.make_url("/"))) as watched:
                await watched.page.goto(str(shop.make_url("/")))
                await until(lambda: bool(log.kept))
        finally:
            await shop.close()
    body = json.loads(log.kept[0].body)
    assert body["fbp"] == "fb.1.1795363100000.1234567890"
    assert body["clicks"] == {"fbclid": "IwAR0x"}
    assert "Chrome" in body["user_agent"]
    assert [each for each in watched.complaints if "CORS" in each or "blocked" in each] == []
