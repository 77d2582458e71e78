"""Puts the campaign days of a spend file onto the topic `spend`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingest.spend.campaign_day import Rates, row
from ingest.spend.file import BadLine, NotASpendFile, Options, Report, read
from ingest.spend.record import SpendReport, spend_record
from orderwire.operation.refused import Refused
from orderwire.serve.start.connections import open_log
from orderwire.settings.numbers import parse_rates
from orderwire.settings.program import Settings, ShopSettings
from stream.record import Record

BATCH = 500


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What a file holds, and what the log would get of it."""

    report: Report
    rows: list[SpendReport]

    @property
    def bad(self) -> Sequence[BadLine]:
        return self.report.bad


def rates(shop: ShopSettings, texts: Sequence[str], into: str | None) -> Rates:
    """Those of AD_RATES, and over them the ones given. Raises Refused."""
    try:
        given = parse_rates(",".join(texts))
    except ValueError as error:
        raise Refused(f"--rate {error}") from None
    into = into or shop.currency
    if given and into is None:
        raise Refused(
            "--rate converts into the shop's currency, which is not set: set"
            " SHOPIFY_SHOP_CURRENCY, or say --into EUR"
        )
    return Rates({**shop.ads.conversion, **given}, into)


def look(path: Path, options: Options, converted: Rates) -> ImportResult:
    """Read a file without taking anything of it. Raises Refused."""
    try:
        report = read(path.read_bytes(), options)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or type(error).__name__}") from None
    except NotASpendFile as error:
        raise Refused(f"{path}: {error}") from None
    reported_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return ImportResult(report, [row(each, converted, reported_at) for each in report.days])


async def append(settings: Settings, shop: ShopSettings, rows: Sequence[SpendReport]) -> None:
    """Make the rows durable on the topic `spend`. Raises LogError."""
    log = await open_log(settings)
    try:
        now_ms = time.time_ns() // 1_000_000
        records: list[Record] = [spend_record(shop.domain, each, now_ms) for each in rows]
        for first in range(0, len(records), BATCH):
            await log.append(records[first : first + BATCH])
    finally:
        await log.close()
