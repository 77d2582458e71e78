"""What a webhook or Slack is sent about an alarm. No personal data is in it: labels are what was
configured, causes are what the log shows."""

import json
import re
from typing import Any, Literal

from orderwire.alarms.alarm import plain
from orderwire.alarms.rows import AlertRow
from orderwire.alarms.table import ALARMS
from stream.times import instant

BY_NAME = {alarm.name: alarm for alarm in ALARMS}
SIGNS = {"critical": ":red_circle:", "warning": ":large_yellow_circle:"}
GUIDE = "docs/operation.md"


def body(row: AlertRow, kind: Literal["webhook", "slack"], installation: str) -> bytes:
    """JSON of one notice."""
    found = notice(row, installation)
    if kind == "webhook":
        return json.dumps(found).encode()
    return json.dumps({"text": _slack_text(found)}).encode()


def notice(row: AlertRow, installation: str) -> dict[str, Any]:
    """The fields of a notice (docs/operation.md, "Notices")."""
    alarm = BY_NAME[row.subject.alarm]
    return {
        "status": "resolved" if row.ended_ms else "firing",
        "alarm": alarm.name,
        "severity": alarm.severity,
        "installation": installation,
        "shop": row.subject.shop or None,
        "about": {name: value for name, value in row.subject.about if name != "shop"},
        "meaning": plain(alarm.meaning),
        "cause": row.detail or None,
        "do": f"{GUIDE}: {plain(alarm.do)}",
        "since": instant(row.since_ms),
        "resolved_at": instant(row.ended_ms) if row.ended_ms else None,
    }


def _slack_text(found: dict[str, Any]) -> str:
    """One message in Slack's mrkdwn; what is quoted is escaped (docs.slack.dev, "Formatting message
    text")."""
    resolved = found["status"] == "resolved"
    sign = ":large_green_circle:" if resolved else SIGNS[found["severity"]]
    about = " ".join(filter(None, [found["shop"], *found["about"].values()]))
    head = f"{sign} *{found['alarm']}*{' resolved' if resolved else ''}"
    parts = [
        f"{head}{f' ({_escaped(about)})' if about else ''} on {_escaped(found['installation'])}"
    ]
    if not resolved:
        parts.append(_escaped(found["meaning"]))
        if found["cause"]:
            parts.append(f"> {_escaped(found['cause'])}")
        parts.append(_escaped(found["do"]))
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return re.sub(r"[&<>]", lambda each: {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[each[0]], text)
