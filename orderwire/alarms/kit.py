"""Writes what is made from the table of alarms: Prometheus rules, and the table of
docs/operation.md. `make kit` runs it: `python -m orderwire.alarms.kit`."""

import re
from pathlib import Path

from orderwire.alarms.alarm import Alarm, plain
from orderwire.alarms.dashboard import dashboard
from orderwire.alarms.table import ALARMS

RULES = Path("deploy/prometheus/orderwire.rules.yml")
DASHBOARD = Path("deploy/grafana/orderwire.json")
GUIDE = Path("docs/operation.md")
GUIDE_HEAD = "| alarm | of | when | meaning | do |\n|---|---|---|---|---|\n"


def rules(alarms: tuple[Alarm, ...] = ALARMS) -> str:
    """The file of alerting rules (prometheus.io/docs: "Alerting rules")."""
    lines = [
        "# Made by `make kit` from orderwire/alarms/table.py.",
        "groups:",
        "  - name: orderwire",
        "    rules:",
    ]
    for each in alarms:
        subject = "".join(f" {{{{ $labels.{label} }}}}" for label in each.about)
        lines += [
            f"      - alert: Orderwire{each.name}",
            f"        expr: {_quoted(each.expression)}",
            f"        for: {each.for_s}s",
            "        labels:",
            f"          severity: {each.severity}",
            "        annotations:",
            f"          summary: {_quoted(f'orderwire: {plain(each.meaning)}')}",
            f"          description: {_quoted(f'docs/operation.md: {plain(each.do)}{subject}')}",
        ]
    return "\n".join(lines) + "\n"


def guide_table(alarms: tuple[Alarm, ...] = ALARMS) -> str:
    """The rows of docs/operation.md, "Alarms"."""
    rows = [
        f"| {each.name} | {each.of} | {each.condition.replace('|', chr(92) + '|')} |"
        f" {each.meaning} | {each.do} |"
        for each in alarms
    ]
    return GUIDE_HEAD + "\n".join(rows) + "\n"


def with_guide_table(guide: str) -> str:
    """docs/operation.md with its table of alarms as it is now."""
    head = re.escape(GUIDE_HEAD)
    return re.sub(rf"{head}(\|.*\n)*", lambda _: guide_table(), guide)


def _quoted(text: str) -> str:
    """A YAML string in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def main(root: Path = Path()) -> None:
    """Write all files below `root`."""
    for path, text in ((RULES, rules()), (DASHBOARD, dashboard())):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / GUIDE).write_text(with_guide_table((root / GUIDE).read_text()))


if __name__ == "__main__":
    main()
