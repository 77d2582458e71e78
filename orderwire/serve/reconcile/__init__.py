"""Compares what Shopify has with what was counted: what webhooks missed, and a day's statement."""
