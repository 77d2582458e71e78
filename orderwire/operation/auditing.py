"""Runs one audit in this process, for `orderwire audit`."""

import time
import uuid

from orderwire.operation.existing import open_existing_store
from orderwire.operation.refused import Refused
from orderwire.serve.audits.job import carry_out
from orderwire.serve.schedule.job import Turn
from orderwire.settings.program import Settings
from processors.audits import ledger
from processors.audits.run import STEPS
from query.endpoints.audits import Audit, session_of


def run_audit(kind: str, named: str, days: int) -> Audit:
    """The run when it has ended. Raises Refused where the type or the shop is not known, or the
    same audit is running."""
    settings = Settings.load()
    if kind not in STEPS:
        raise Refused(f"there is no audit {kind!r}: write {', '.join(STEPS)}")
    shop = _shop(settings, named)
    store = open_existing_store(settings)
    try:
        run_id, now_ms = uuid.uuid4().hex, time.time_ns() // 1_000_000
        with store.begin() as transaction:
            if not ledger.begin(transaction, shop, kind, run_id, days, now_ms):
                raise Refused(f"{kind} is running already: see GET /api/audits/session")
            run = next(each for each in ledger.runs(transaction, shop) if each.run_id == run_id)
        carry_out(settings, store, run, Turn(shop, now_ms))
        with store.snapshot() as snapshot:
            runs, steps = ledger.runs(snapshot, shop), ledger.steps(snapshot, shop)
        return session_of(shop, runs, steps, now_ms).audits[kind]
    finally:
        store.close()


def _shop(settings: Settings, named: str) -> str:
    shops = sorted(settings.shops)
    if not named and len(shops) == 1:
        return shops[0]
    if named.strip().lower() in shops:
        return named.strip().lower()
    if not shops:
        raise Refused("no shop is configured: set SHOPIFY_SHOP and SHOPIFY_WEBHOOK_SECRET")
    raise Refused(f"say which shop: --shop {', --shop '.join(shops)}")
