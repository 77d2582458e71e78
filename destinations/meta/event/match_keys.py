"""The keys of `user_data` that identify a buyer, in the order in which answers list them."""

MATCH_KEYS = (
    *("em", "ph", "fn", "ln", "ct", "st", "zp", "country"),
    *("external_id", "client_ip_address", "client_user_agent", "fbc", "fbp"),
)
