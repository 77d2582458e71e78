"""Requests go through the proxy that the environment names."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from destinations.delivery.transport import NotSent, aiohttp_call, client_session


async def proxied(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {request.path_qs} for {request.host}")


async def test_a_request_goes_through_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", proxied)
    async with TestServer(app) as server:
        monkeypatch.setenv("HTTP_PROXY", str(server.make_url("/")))
        for name in ("http_proxy", "NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with client_session() as session:
            answer = await aiohttp_call(session)("POST", "http://graph.invalid/v27.0/1", {}, b"", 5)
        assert answer.body == b"POST /v27.0/1 for graph.invalid"
        async with client_session(public_only=True) as session:
            with pytest.raises(NotSent):
                await aiohttp_call(session, public_only=True)(
                    "POST", "http://graph.invalid/v27.0/1", {}, b"", 5
                )
