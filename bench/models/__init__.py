"""The value, cart and budget models against known truths."""
