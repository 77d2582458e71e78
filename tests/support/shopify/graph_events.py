"""A Purchase event that Meta takes, to be spoilt by tests."""

from typing import Any

NOW_S = 1_795_348_800
DAY_S = 86_400
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
Event = dict[str, Any]


def purchase(order_id: str = "1001", **changes: Any) -> Event:
    """A Purchase that Meta takes; `custom_data` and `user_data` among the changes are merged, None
    takes a key away."""
    event: Event = {
        "event_name": "Purchase",
        "event_time": NOW_S - 60,
        "event_id": order_id,
        "action_source": "website",
        "event_source_url": "https://shop.example/",
        "user_data": {
            "em": [HASH],
            "client_ip_address": "2001:db8::1",
            "client_user_agent": "Mozilla/5.0",
            "fbc": f"fb.1.{(NOW_S - 100) * 1000}.IwAR2_x-Y",
            "fbp": f"fb.1.{(NOW_S - 100) * 1000}.1234567890",
            "external_id": [HASH],
        },
        "custom_data": {
            "value": 35.11,
            "currency": "USD",
            "order_id": order_id,
            "num_items": 2,
            "content_type": "product",
            "contents": [
                {
                    "id": "44",
                    "quantity": 2,
                    "item_price": 17.5,
                    "delivery_category": "home_delivery",
                }
            ],
        },
        "data_processing_options": [],
    }
    for key, value in changes.items():
        if key in ("user_data", "custom_data") and isinstance(value, dict):
            event[key] = {
                name: one for name, one in (event[key] | value).items() if one is not None
            }
        elif value is None:
            del event[key]
        else:
            event[key] = value
    return event
