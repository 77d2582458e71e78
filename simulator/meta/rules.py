"""Meta's rules for a Conversions API request, as plain functions (docs/facts/meta.md, "Events",
"Purchase", "Too little identity", "Subcodes").

A broken rule has its subcode if one is known, else plain code 100. Nothing here keeps or returns a
value of `user_data`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from babel.numbers import is_currency

DAY_S = 86_400
MAX_EVENTS = 1_000
FUTURE_S = 60
"""rudder's bound for event_time ahead of now; Meta publishes none."""
FBC_DAYS = 90

ACTION_SOURCES = frozenset(
    {
        "email",
        "website",
        "app",
        "phone_call",
        "chat",
        "physical_store",
        "system_generated",
        "business_messaging",
        "other",
    }
)
HASHED = ("em", "ph", "fn", "ln", "ct", "st", "zp", "country", "db", "ge")
MATCH_KEYS = frozenset(
    {*HASHED, "external_id", "client_ip_address", "client_user_agent", "fbc", "fbp"}
)
TOO_LITTLE = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
"""`user_data` within one of these identifies nobody."""
DELIVERY_CATEGORIES = frozenset({"in_store", "curbside", "home_delivery"})
HASH_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_sha256 = re.compile(r"[0-9a-f]{64}").fullmatch
_fbc = re.compile(r"fb\.\d\.(\d{13})\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]{1,8})?").fullmatch
_fbp = re.compile(r"fb\.\d\.\d{10,13}\.\d+(?:\.[A-Za-z0-9_\-]{1,8})?").fullmatch
_number = re.compile(r"\d+(?:\.\d+)?").fullmatch


class Broken(NamedTuple):
    """A rule that an event breaks."""

    rule: str
    """Our name of it, snake case."""
    subcode: int | None
    message: str
    code: int = 100


class Remark(NamedTuple):
    """A mistake that Meta accepts: counted, never refused."""

    name: str


def request_broken(body: Any) -> Broken | None:
    """The first rule that a request's body breaks, before its events are checked."""
    if not isinstance(body, dict) or not isinstance(body.get("data"), list) or not body["data"]:
        return Broken("no_data", None, "(#100) param data must be a non-empty array.")
    if len(body["data"]) > MAX_EVENTS:
        return Broken(
            "too_many_events", None, f"(#100) data has more than {MAX_EVENTS} events.", 100
        )
    agent = body.get("partner_agent")
    if agent is not None and not (
        isinstance(agent, str) and len(agent) < 23 and sum(map(str.isalpha, agent)) >= 2
    ):
        return Broken("partner_agent", None, "(#100) partner_agent is invalid.")
    code = body.get("test_event_code")
    if code is not None and not (isinstance(code, str) and code):
        return Broken("test_event_code", None, "(#100) test_event_code must be a string.")
    return None


def event_broken(event: Any, now_s: float) -> Broken | None:
    """The first rule that one event breaks at Unix time `now_s`, or None."""
    if not isinstance(event, dict):
        return Broken("event_is_no_object", None, "Invalid parameter: an event must be an object")
    name = event.get("event_name")
    if not (isinstance(name, str) and name):
        return _missing("event_name")
    source = event.get("action_source")
    if not (isinstance(source, str) and source in ACTION_SOURCES):
        return _missing("action_source")
    event_id = event.get("event_id")
    if event_id is not None and not (isinstance(event_id, str) and 0 < len(event_id) <= 255):
        return Broken("event_id", None, "Invalid parameter: event_id must be a non-empty string")
    user_data = event.get("user_data")
    if not isinstance(user_data, dict):
        return _missing("user_data")
    return (
        _time_broken(event.get("event_time"), source, now_s)
        or identity_broken(user_data, now_s)
        or custom_data_broken(name, event.get("custom_data"))
        or processing_broken(event)
    )


def findings(event: Mapping[str, Any]) -> list[Remark]:
    """Mistakes in an event that breaks no rule."""
    found = []
    user_data = event["user_data"]
    if event.get("event_id") is None:
        found.append(Remark("no_event_id"))
    if event["action_source"] == "website":
        if not event.get("event_source_url"):
            found.append(Remark("website_without_event_source_url"))
        if "client_user_agent" not in user_data:
            found.append(Remark("website_without_client_user_agent"))
    for key in HASHED:
        value = user_data.get(key)
        if value is not None and (
            value == HASH_OF_NOTHING or (isinstance(value, list) and HASH_OF_NOTHING in value)
        ):
            found.append(Remark(f"hash_of_nothing_in_{key}"))
    return found


def _missing(field: str) -> Broken:
    return Broken(f"required_{field}", None, f"Invalid parameter: {field} is required")


def _time_broken(event_time: Any, source: str, now_s: float) -> Broken | None:
    if isinstance(event_time, bool) or not isinstance(event_time, int) or event_time <= 0:
        return _missing("event_time")
    if event_time > now_s + FUTURE_S:
        return Broken(
            "event_time_future", 2804004, "The timestamp for this event is in the future."
        )
    if event_time < now_s - (62 if source == "physical_store" else 7) * DAY_S:
        return Broken(
            "event_time_old", 2804003, "The timestamp for this event is too far in the past."
        )
    return None


@lru_cache(maxsize=4096)
def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return "%" not in value


def identity_broken(user_data: Mapping[str, Any], now_s: float) -> Broken | None:
    """The first rule that `user_data` breaks."""
    for key in HASHED:
        value = user_data.get(key)
        if value is None:
            if key in user_data:
                return Broken(f"hash_{key}", None, f"Invalid parameter: {key} is null")
            continue
        for one in value if isinstance(value, list) else (value,):
            if not (isinstance(one, str) and _sha256(one)):
                return Broken(
                    f"hash_{key}",
                    None,
                    f"Invalid parameter: {key} is not a SHA-256 hash in lower-case hex",
                )
        if value == []:
            return Broken(f"hash_{key}", None, f"Invalid parameter: {key} is empty")
    external = user_data.get("external_id")
    if "external_id" in user_data:
        ids = external if isinstance(external, list) else [external]
        if not ids or not all(isinstance(one, str) and one for one in ids):
            return Broken(
                "external_id", None, "Invalid parameter: external_id must be a non-empty string"
            )
    if "client_ip_address" in user_data:
        address = user_data["client_ip_address"]
        if not (isinstance(address, str) and _is_address(address)):
            return Broken(
                "client_ip_address",
                None,
                "Invalid parameter: client_ip_address is not one IP address",
            )
    if "client_user_agent" in user_data:
        agent = user_data["client_user_agent"]
        if not (isinstance(agent, str) and agent.strip()) or _sha256(agent):
            return Broken(
                "client_user_agent", None, "Invalid parameter: client_user_agent must be plain text"
            )
    if "fbc" in user_data:
        matched = _fbc(user_data["fbc"]) if isinstance(user_data["fbc"], str) else None
        seen_s = int(matched[1]) / 1000 if matched else 0.0
        if not now_s - FBC_DAYS * DAY_S <= seen_s <= now_s + FUTURE_S:
            return Broken(
                "fbc",
                2804001,
                "The click id is not formatted correctly, or not of the last 90 days.",
            )
    if "fbp" in user_data and not (isinstance(user_data["fbp"], str) and _fbp(user_data["fbp"])):
        return Broken("fbp", None, "Invalid parameter: fbp is not formatted correctly")
    given = MATCH_KEYS & user_data.keys()
    if any(given <= few for few in TOO_LITTLE):
        return Broken(
            "too_little_identity",
            2804050,
            "This event has too little customer information to be used.",
        )
    return None


def _amount(value: Any) -> bool:
    """A number of zero or more, or a string of one."""
    if isinstance(value, str):
        return _number(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


@lru_cache(maxsize=512)
def _is_currency(code: str) -> bool:
    return is_currency(code.upper())


def custom_data_broken(event_name: str, custom_data: Any) -> Broken | None:
    """The first rule that `custom_data` breaks."""
    if custom_data is None:
        custom_data = {}
    if not isinstance(custom_data, dict):
        return Broken("custom_data", None, "Invalid parameter: custom_data must be an object")
    value, currency = custom_data.get("value"), custom_data.get("currency")
    if value is None and event_name == "Purchase":
        return Broken("purchase_without_value", 2804009, "A purchase event needs a value.")
    if value is not None and not _amount(value):
        return Broken(
            "value", None, "Invalid parameter: value must be a number that is not negative"
        )
    if value is not None and not currency:
        return Broken("value_without_currency", 2804023, "A value needs a currency.")
    if currency is not None and not (isinstance(currency, str) and _is_currency(currency)):
        return Broken("currency", None, "Invalid parameter: currency is not an ISO 4217 code")
    contents = custom_data.get("contents")
    if contents is not None:
        if not isinstance(contents, list) or not all(isinstance(item, dict) for item in contents):
            return Broken(
                "contents", None, "Invalid parameter: contents must be an array of objects"
            )
        for item in contents:
            if broken := _content_broken(item):
                return broken
    ids = custom_data.get("content_ids")
    if ids is not None and not (
        isinstance(ids, list) and all(isinstance(one, str | int) and one for one in ids)
    ):
        return Broken("content_ids", None, "Invalid parameter: content_ids must be an array of ids")
    if custom_data.get("content_type", "product") not in ("product", "product_group"):
        return Broken(
            "content_type", None, "Invalid parameter: content_type is product or product_group"
        )
    items = custom_data.get("num_items")
    if items is not None and (isinstance(items, bool) or not isinstance(items, int) or items < 0):
        return Broken("num_items", None, "Invalid parameter: num_items must be an integer")
    if "order_id" in custom_data and not isinstance(custom_data["order_id"], str):
        return Broken("order_id", None, "Invalid parameter: order_id must be a string")
    return None


def _content_broken(item: Mapping[str, Any]) -> Broken | None:
    if not (isinstance(item.get("id"), str | int) and item["id"]):
        return Broken("content_without_id", 2804008, "Every item in contents needs an id.")
    quantity = item.get("quantity", 1)
    if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
        return Broken(
            "content_quantity", None, "Invalid parameter: quantity must be a positive integer"
        )
    if "item_price" in item and not _amount(item["item_price"]):
        return Broken("content_item_price", None, "Invalid parameter: item_price must be a number")
    category = item.get("delivery_category", "in_store")
    if not (isinstance(category, str) and category in DELIVERY_CATEGORIES):
        return Broken(
            "content_delivery_category", None, "Invalid parameter: delivery_category is not known"
        )
    return None


def processing_broken(event: Mapping[str, Any]) -> Broken | None:
    """Limited Data Use: `[]` or `["LDU"]`; the latter with country 1 (US) or 0, and a matching
    state."""
    options = event.get("data_processing_options")
    if options is None or options == []:
        return None
    if options != ["LDU"]:
        return Broken(
            "data_processing_options",
            None,
            "Invalid parameter: data_processing_options is [] or ['LDU']",
        )
    country, state = (
        event.get("data_processing_options_country"),
        event.get("data_processing_options_state"),
    )
    if isinstance(country, bool) or isinstance(state, bool) or country is None or state is None:
        return Broken("ldu_without_place", 2804030, "Limited Data Use needs a country and a state.")
    if country not in (0, 1) or not (state == 0 or (country == 1 and state in range(1000, 1014))):
        return Broken(
            "ldu_place", None, "Invalid parameter: no such data processing country and state"
        )
    return None
