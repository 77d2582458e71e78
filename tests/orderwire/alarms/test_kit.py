"""Rules, dashboard and the guide's table are made from the table of alarms, and name only what
exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orderwire.alarms import kit
from orderwire.alarms.alarm import Alarm
from orderwire.alarms.dashboard import dashboard
from orderwire.alarms.table import ALARMS
from stream.metric_names import METRICS, MetricName

ROOT = Path(__file__).parents[3]
LABELS = {series: set(metric.labels) for metric in METRICS for series in metric.series}
OURS = {"role", "instance", "le"}
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def expressions() -> Iterator[str]:
    for alarm in ALARMS:
        yield alarm.expression
    for panel in json.loads(dashboard())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_the_files_are_as_make_kit_writes_them(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / kit.GUIDE, tmp_path / kit.GUIDE)
    kit.main(tmp_path)
    for path in (kit.RULES, kit.DASHBOARD, kit.GUIDE):
        assert (ROOT / path).read_text() == (tmp_path / path).read_text(), f"{path}: run `make kit`"


def test_every_expression_names_metrics_and_labels_that_exist() -> None:
    for expression in expressions():
        named = set(re.findall(r"\borderwire_\w+", expression))
        assert named
        assert named <= LABELS.keys(), expression
        labels = set(re.findall(r"(\w+)(?:=~|!=|=)\"", expression))
        for group in re.findall(r"by \(([^)]*)\)", expression):
            labels |= {label.strip() for label in group.split(",")}
        assert labels - OURS <= set.union(*(LABELS[each] for each in named)), expression


def test_every_alarm_is_one_row_of_the_guide_and_of_the_rules() -> None:
    guide = (ROOT / kit.GUIDE).read_text().partition("## Alarms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \|", guide, re.MULTILINE)[1:]
    rules = yaml.safe_load(kit.rules())["groups"][0]["rules"]
    assert rows == [alarm.name for alarm in ALARMS]
    assert [rule["alert"] for rule in rules] == [f"Orderwire{name}" for name in rows]
    sections = set(re.findall(r"^## (.+)$", (ROOT / kit.GUIDE).read_text(), re.MULTILINE))
    for alarm in ALARMS:
        named = set(re.findall(r"'([A-Z][^']+)'", alarm.do))
        assert named <= sections | {"Meta"}, alarm.name


def series_of(alarm: Alarm, metric: MetricName, values: str) -> dict[str, str]:
    labels = dict.fromkeys(metric.labels, "x")
    labels |= {label: values_[0] for label, values_ in alarm.where.items()}
    written = ",".join(f'{label}="{value}"' for label, value in {**labels, "role": "r"}.items())
    return {"series": f"{metric.series[0]}{{{written}}}", "values": values}


def beyond(alarm: Alarm, *, fires: bool) -> list[dict[str, str]]:
    """Two hours of samples, one a minute, that make the alarm fire, or just do not."""
    if alarm.metric.kind == "counter":
        added = 2 * alarm.above + 2 if fires else 0
        return [series_of(alarm, alarm.metric, f"5x118 {5 + added:g} {5 + added:g}")]
    limit = alarm.above if alarm.below is None else alarm.below
    step = 1 if alarm.below is None else -1
    return [series_of(alarm, alarm.metric, f"{limit + step * fires:g}x120")]


@needs_promtool
def test_prometheus_fires_each_alarm_and_only_when_it_should(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(kit.rules())
    bare = yaml.safe_load(kit.rules())
    for rule in bare["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "bare.yml").write_text(yaml.safe_dump(bare))
    tests: list[dict[str, Any]] = []
    for alarm in ALARMS:
        for fires in (True, False):
            labels = {"severity": alarm.severity} | {
                label: alarm.where.get(label, ("x",))[0] for label in alarm.about
            }
            tests.append(
                {
                    "name": f"{alarm.name} {fires}",
                    "interval": "1m",
                    "input_series": beyond(alarm, fires=fires),
                    "alert_rule_test": [
                        {
                            "eval_time": "2h",
                            "alertname": f"Orderwire{alarm.name}",
                            "exp_alerts": [{"exp_labels": labels}] if fires else [],
                        }
                    ],
                }
            )
    plan = {"rule_files": ["bare.yml"], "evaluation_interval": "20m", "tests": tests}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(plan))
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    found = json.loads(dashboard())
    panels = [panel for panel in found["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    (source,) = found["templating"]["list"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert panels[0]["datasource"]["uid"] == f"${{{source['name']}}}"
