"""Folds Meta's notices about ad objects into one row per object: the campaigns, ad sets and ads
that have a problem now (docs/facts/meta.md, "Webhooks of ad accounts")."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from processors.shopify.landing import LABEL_CHARACTERS, NAME_CHARACTERS, clean
from processors.shopify.tolerance import Rejected, identifier, mapping, sequence, text
from stream.record import Entry
from stream.store.contract import Entities, Reading, Transaction

KEPT_MS: Final = 28 * 86_400_000
"""An issue without further notice is forgotten after so long: Meta sends none when it is mended."""
WITH_ISSUES: Final = "with_issues_ad_objects"
IN_PROCESS: Final = "in_process_ad_objects"
FATIGUE: Final = "creative_fatigue"
OF_STATUS: Final = frozenset({WITH_ISSUES, IN_PROCESS})
"""Fields whose issue is over once the object's `effective_status` is well."""
CHANGED: Final = "field_changed"
"""How a new `effective_status` is notified, without its value: what is wrong comes by the fields
above."""
WELL: Final = frozenset({"ACTIVE", "PAUSED", "SCHEDULED", "COMPLETED"})
CAMPAIGN: Final = "CAMPAIGN"
_SECONDS: Final = 100_000_000_000
"""Times below it are seconds, above it milliseconds."""


class AdIssue(NamedTuple):
    """Columns of `ad_issue`."""

    shop: str
    object_id: str
    level: str
    """`CAMPAIGN`, `AD_SET`, `AD`, `CREATIVE`, as Meta says; "" where it does not."""
    campaign_id: str
    """"" until it is known, for what is below a campaign."""
    field: str
    """The notice's field."""
    code: str
    summary: str
    open: int
    reported_ms: int

    @property
    def key(self) -> tuple[str, str]:
        """Shop and object id."""
        return self.shop, self.object_id


ISSUES: Final = Entities("ad_issue", AdIssue, 2)
COLUMNS: Final = ", ".join(AdIssue._fields)


def newer(row: AdIssue | None, notice: AdIssue) -> AdIssue:
    """The row after a notice; an older notice changes nothing. A known campaign stays known."""
    if row is None:
        return notice
    stands = max(row, notice, key=lambda each: (each.reported_ms, each._replace(campaign_id="")))
    return stands._replace(campaign_id=max(row.campaign_id, notice.campaign_id))


def notices(entry: Entry) -> list[AdIssue]:
    """The ad objects in a record of the topic `ads`; none for other records.

    Raises Rejected.
    """
    record = entry.record
    try:
        body = msgspec.json.decode(record.body)
    except msgspec.DecodeError:
        raise Rejected("malformed_json", "the body is not JSON") from None
    if mapping(body).get("object") != "ad_account":
        return []
    return [
        notice
        for entry_of_notice in map(mapping, sequence(mapping(body).get("entry")))
        for change in map(mapping, sequence(entry_of_notice.get("changes")))
        for notice in _notices(record.headers["shop"], entry_of_notice, change, record.time_ms)
    ]


def _notices(
    shop: str, entry_of_notice: Mapping[str, Any], change: Mapping[str, Any], received_ms: int
) -> list[AdIssue]:
    """One for each object that the change is about."""
    value = mapping(change.get("value"))
    field = clean(text(change.get("field")) or "", NAME_CHARACTERS)
    if not field or field == CHANGED:
        return []
    # `adgroup_id` is the ad's, by Meta's older name for ads.
    named = [value.get("id"), value.get("adgroup_id"), *sequence(value.get("ad_object_ids"))]
    reported_ms = _time_ms(entry_of_notice.get("time"), received_ms)
    found = dict.fromkeys(filter(None, map(identifier, named)))
    return [_issue(shop, object_id, field, value, reported_ms) for object_id in found]


def _issue(
    shop: str, object_id: str, field: str, value: Mapping[str, Any], reported_ms: int
) -> AdIssue:
    said_level = text(value.get("level")) or ("AD" if value.get("adgroup_id") else "")
    level = clean(said_level, NAME_CHARACTERS).upper().replace(" ", "_")
    status = clean(text(value.get("status_name")) or "", NAME_CHARACTERS)
    well = field == IN_PROCESS and status.upper().replace(" ", "_") in WELL
    if field == FATIGUE:
        well = (text(value.get("creative_fatigue_level")) or "").upper() == "LOW"
    code = clean(text(value.get("error_code")) or "", NAME_CHARACTERS)
    said = next((found for name in SAYS if (found := text(value.get(name)))), status)
    campaign = object_id if level == CAMPAIGN else identifier(value.get("campaign_id"))
    return AdIssue(
        shop=shop,
        object_id=object_id,
        level=level,
        campaign_id=campaign or "",
        field=field,
        code=code,
        summary=clean(said or "", LABEL_CHARACTERS),
        open=int(not well),
        reported_ms=reported_ms,
    )


SAYS: Final = (
    *("error_summary", "error_message"),
    *("creative_fatigue_message", "recommendation_message", "recommendation_type"),
)
"""Fields of a notice that say what is the matter, best first."""


def _time_ms(value: Any, received_ms: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return received_ms
    return value * 1000 if value < _SECONDS else value


class AdIssuesProcessor:
    """A `processors.engine.processor.Processor` of Meta's notices."""

    name = "ad_issues"
    topic = "ads"

    def decode(self, entry: Entry) -> list[AdIssue] | None:
        """Notices about ad objects; None where the record holds none. Raises Rejected."""
        return notices(entry) or None

    def apply(self, transaction: Transaction, events: Sequence[list[AdIssue]], now_ms: int) -> None:
        """Fold notices into rows."""
        entry_of_notice = [notice for each in events for notice in each]
        rows = transaction.load(ISSUES, {notice.key for notice in entry_of_notice})
        for notice in entry_of_notice:
            rows[notice.key] = newer(rows.get(notice.key), notice)
        transaction.save(ISSUES, rows.values())

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Forget what is old."""
        where = "" if shop is None else " AND shop = :shop"
        transaction.execute(
            f"DELETE FROM ad_issue WHERE reported_ms < :old{where}",
            old=now_ms - KEPT_MS,
            **({} if shop is None else {"shop": shop}),
        )


def open_issues(reading: Reading, shop: str, since_ms: int) -> Iterator[AdIssue]:
    """Those of a shop that are not closed, reported since then."""
    rows = reading.query(
        f"SELECT {COLUMNS} FROM ad_issue WHERE shop = :shop AND open = 1"
        " AND reported_ms >= :old ORDER BY campaign_id, object_id",
        shop=shop,
        old=since_ms,
    )
    return (AdIssue(*row) for row in rows)


def settle(transaction: Transaction, rows: Collection[AdIssue]) -> None:
    """Store results of lookups: an object's campaign, or that it has no problem any more."""
    known = transaction.load(ISSUES, {row.key for row in rows})
    transaction.save(
        ISSUES,
        [
            known[row.key]._replace(campaign_id=row.campaign_id, open=row.open)
            for row in rows
            if row.key in known and known[row.key].reported_ms == row.reported_ms
        ],
    )
