"""Shopify's Admin API: tokens, a client that keeps to its limits, and what reads orders with it."""
