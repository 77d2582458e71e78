"""A stand-in for Shopify's Admin API: checks what it is asked as the real one would.

It holds a simulated shop (`books.py`) and answers documents by its schema (`schema.graphql`), with
costs, throttling, cursors, bulk operations, scopes and tokens that expire.
"""
