"""Entity tags of answers (RFC 9110, 8.8.3): an answer that a client has already is 304."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import hdrs, web
from msgspec.structs import replace

from query.as_of import AsOf


def json_response(request: web.BaseRequest, answer: Any) -> web.Response:
    """The answer as JSON; 304 where the client has it already."""
    if request.method not in ("GET", "HEAD"):
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
    tag = _tag(answer)
    headers = {hdrs.ETAG: f'W/"{tag}"'}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=msgspec.json.encode(answer), content_type="application/json", headers=headers
    )


def _tag(answer: Any) -> str:
    """Of all but when it was asked and how many records wait: those change with every request."""
    if isinstance(answer, Mapping) and isinstance(answer.get("as_of"), AsOf):
        answer = {**answer, "as_of": replace(answer["as_of"], time="", lag_records=None)}
    return sha256(msgspec.json.encode(answer)).hexdigest()[:32]
