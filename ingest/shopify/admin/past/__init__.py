"""Reads what a shop has sold before: backfill, reconcile, and what both go by."""
