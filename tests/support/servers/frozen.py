"""Imported last by the process that is forked: what it has by then each fork has too, and keeps out
of its collections of garbage, which would go through half a million objects and copy their pages
(0.13 s of CPU)."""

import gc

from destinations.meta.event.identity import phone

phone("+12125550123")  # Loads and compiles what tells the numbers of 25 countries apart.
gc.collect()
gc.freeze()
