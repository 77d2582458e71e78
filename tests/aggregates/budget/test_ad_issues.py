"""Meta's notices about ad objects, from the topic `ads` to a campaign's issues."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.budget.answer.ad_issues import by_campaign
from aggregates.budget.fold.ad_issues import (
    KEPT_MS,
    AdIssue,
    AdIssuesProcessor,
    newer,
    notices,
    open_issues,
    settle,
)
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore

SHOP = "example.myshopify.com"
NOW_S = 1_795_348_800
PROBLEM = {
    "id": "555",
    "level": "AD",
    "error_code": 1815869,
    "error_summary": "Ad rejected",
    "error_message": "It does not comply",
}


def notice(value: Any, field: str = "with_issues_ad_objects", time_s: int = NOW_S) -> Entry:
    body = {
        "object": "ad_account",
        "entry": [{"id": "77", "time": time_s, "changes": [{"field": field, "value": value}]}],
    }
    record = Record("ads", "k", "i", NOW_S * 1000, {"shop": SHOP}, json.dumps(body).encode())
    return Entry(record, 0, 0)


def fold(store: SqlStore, *entries: Entry) -> dict[str, list[str]]:
    processor = AdIssuesProcessor()
    for entry in entries:
        found = processor.decode(entry)
        if found is not None:
            with store.begin() as transaction:
                processor.apply(transaction, [found], NOW_S * 1000)
    with store.snapshot() as snapshot:
        return by_campaign(open_issues(snapshot, SHOP, NOW_S * 1000 - KEPT_MS))


def test_a_problem_of_a_campaign_is_reported_with_its_code_and_reason(store: SqlStore) -> None:
    assert fold(store, notice({**PROBLEM, "id": 12, "level": "CAMPAIGN"})) == {
        "12": ["Meta reports a problem of the campaign (code 1815869): Ad rejected"]
    }


def test_a_problem_of_an_ad_is_its_campaigns_once_that_is_known(store: SqlStore) -> None:
    found = ["Meta reports a problem of ad 555 (code 1815869): Ad rejected"]
    assert fold(store, notice(PROBLEM)) == {"": found}
    with store.begin() as transaction:
        (issue,) = open_issues(transaction, SHOP, 0)
        settle(transaction, [issue._replace(campaign_id="12")])
    assert fold(store, notice(PROBLEM, time_s=NOW_S + 5)) == {"12": found}


def test_an_object_that_left_processing_well_has_no_issue_any_more_in_any_order(
    store: SqlStore,
) -> None:
    well = notice(
        {"id": "555", "level": "AD", "status_name": "Active"}, "in_process_ad_objects", NOW_S + 9
    )
    assert fold(store, notice(PROBLEM), well) == {}
    assert fold(store, notice(PROBLEM)) == {}
    refused = notice(
        {"id": "555", "level": "AD", "status_name": "Disapproved"},
        "in_process_ad_objects",
        NOW_S + 10,
    )
    assert fold(store, refused) == {"": ["Meta has reviewed ad 555: Disapproved"]}


def test_any_other_field_about_an_object_is_reported_by_its_name(store: SqlStore) -> None:
    other = notice({"id": "9", "level": "AD"}, "product_set_issue")
    assert fold(store, other) == {"": ["Meta reports product set issue of ad 9"]}


def fatigue(level: str, time_s: int = NOW_S) -> Entry:
    """As Meta documents it (Marketing API: Ads webhooks, Creative fatigue)."""
    value = {
        "ad_account_id": "77",
        "adgroup_id": "9",
        "creative_fatigue_level": level,
        "creative_fatigue_message": "Your ad fatigue changed.",
    }
    return notice(value, "creative_fatigue", time_s)


def test_a_fatigued_ad_is_named_until_it_is_fatigued_no_more(store: SqlStore) -> None:
    assert fold(store, fatigue("HIGH")) == {
        "": ["Meta reports creative fatigue of ad 9: Your ad fatigue changed."]
    }
    assert fold(store, fatigue("LOW", NOW_S + 5)) == {}


def test_a_recommendation_is_named_at_each_of_its_objects(store: SqlStore) -> None:
    """As Meta documents it (Marketing API: Ads webhooks, Ad recommendations)."""
    value = {
        "ad_account_id": "77",
        "ad_object_ids": ["12", "13"],
        "recommendation_type": "AUTOFLOW_OPT_IN",
        "recommendation_message": "Your ad recommendation is ready.",
    }
    assert fold(store, notice(value, "ad_recommendations")) == {
        "": [
            f"Meta reports ad recommendations of object {number}: Your ad recommendation is ready."
            for number in (12, 13)
        ]
    }


def test_a_new_status_without_its_value_is_no_issue_and_hides_none(store: SqlStore) -> None:
    value = {"object_id": "555", "object_type": "ad", "changed_fields": ["effective_status"]}
    changed = notice(value, "field_changed", NOW_S + 5)
    assert fold(store, notice(PROBLEM), changed) == fold(store)
    assert fold(store) != {}


@pytest.mark.parametrize(
    "value", [None, [], {"level": "AD"}, {"id": "act_5"}, {"id": True}, "text"]
)
def test_what_is_about_no_object_is_left_unchanged(value: Any) -> None:
    assert notices(notice(value)) == []


def test_a_body_that_is_no_json_is_parked() -> None:
    with pytest.raises(Rejected):
        notices(Entry(Record("ads", "k", "i", 0, {"shop": SHOP}, b"{"), 0, 0))


def test_an_issue_is_forgotten_after_28_days(store: SqlStore) -> None:
    fold(store, notice(PROBLEM))
    with store.begin() as transaction:
        AdIssuesProcessor().tick(transaction, NOW_S * 1000 + KEPT_MS + 1)
        assert list(open_issues(transaction, SHOP, 0)) == []


rows = st.builds(
    AdIssue,
    shop=st.just(SHOP),
    object_id=st.just("5"),
    level=st.just("AD"),
    campaign_id=st.sampled_from(("", "12")),
    field=st.sampled_from(("a", "b")),
    code=st.just(""),
    summary=st.sampled_from(("", "x")),
    open=st.integers(0, 1),
    reported_ms=st.integers(0, 3),
)


@given(found=st.lists(rows, min_size=1, max_size=4))
def test_notices_end_in_the_same_row_in_any_order(found: list[AdIssue]) -> None:
    ends = set()
    for order in itertools.permutations(found):
        row: AdIssue | None = None
        for each in order:
            row = newer(row, each)
        ends.add(row)
    assert len(ends) == 1
