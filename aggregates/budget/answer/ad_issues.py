"""Writes what Meta reported about campaigns' ad objects as sentences for `issues`."""

from collections import defaultdict
from collections.abc import Iterable

from aggregates.budget.fold.ad_issues import IN_PROCESS, WITH_ISSUES, AdIssue

MOST_EACH = 5
_LEVELS = {
    "CAMPAIGN": "the campaign",
    "AD_SET": "ad set",
    "ADSET": "ad set",
    "AD": "ad",
    "CREATIVE": "creative",
}


def by_campaign(issues: Iterable[AdIssue]) -> dict[str, list[str]]:
    """Sentences by campaign id; those of no known campaign under ""."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for each in issues:
        found[each.campaign_id].append(sentence(each))
    return {campaign: _few(sentences) for campaign, sentences in found.items()}


def sentence(issue: AdIssue) -> str:
    """One issue in words."""
    level = _LEVELS.get(issue.level, "object")
    what = level if issue.level == "CAMPAIGN" else f"{level} {issue.object_id}"
    code = f" (code {issue.code})" if issue.code else ""
    if issue.field == WITH_ISSUES:
        return f"Meta reports a problem of {what}{code}: {issue.summary or 'no reason given'}"
    if issue.field == IN_PROCESS:
        return f"Meta has reviewed {what}: {issue.summary or 'no status given'}"
    said = f": {issue.summary}" if issue.summary else ""
    return f"Meta reports {issue.field.replace('_', ' ')} of {what}{code}{said}"


def _few(sentences: list[str]) -> list[str]:
    if len(sentences) <= MOST_EACH:
        return sentences
    return [*sentences[:MOST_EACH], f"and {len(sentences) - MOST_EACH} more; see Ads Manager"]
