"""The page for the person on call, and the alerts: what they name exists, and nothing that exists is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pipeline.app.telemetry import METRICS, NAMED, REASONS, Telemetry
from pipeline.core.model import TallyRow
from pipeline.core.tallyrows import row_of
from pipeline.core.window import Window
from pipeline.engine.ending import Exit
from pipeline.settings.security import SecurityTable
from tests.house.tree import modules, text

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ALERTS = (ROOT / "ops" / "alerts.yml").read_text()
EXPRESSIONS = [line.split("#")[0] for line in re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)]
OF_THE_PROCESS = {"process_start_time_seconds"}
CODE = "\n".join(text(path) or "" for path in modules())


def test_every_metric_has_a_row_and_every_row_is_a_metric() -> None:
    rows = re.findall(r"^\| `(callverdict_\w+)` \| ([a-z, ]*)\|", PAGE, re.MULTILINE)
    assert {name: labels.split(", ") if (labels := words.strip()) else [] for name, words in rows} == {
        metric.name: metric.label_names for metric in METRICS
    }


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metrics_name_says_its_kind_and_unit(metric: object) -> None:
    assert isinstance(metric, type(METRICS[0]))
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert re.fullmatch(r"callverdict_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert metric.doc.endswith((".", "0."))


def test_alerts_ask_for_metrics_that_exist() -> None:
    assert len(EXPRESSIONS) >= 8
    for expression in EXPRESSIONS:
        names = set(re.findall(r"\b(?:callverdict|process)_\w+", expression))
        assert names, expression
        assert names <= NAMED.keys() | OF_THE_PROCESS, expression
        for label in re.findall(r"\bby \((\w+)\)", expression):
            assert all(label in NAMED[name].label_names for name in names), expression


def test_alerts_name_labels_that_their_metric_has() -> None:
    for rule in ALERTS.split("- alert: ")[1:]:
        names = re.findall(r"callverdict_\w+", re.findall(r"expr: (.+)", rule)[0])
        known = {label for name in names for label in NAMED[name].label_names} | {"instance"}
        assert set(re.findall(r"\$labels\.(\w+)", rule)) <= known, rule


def test_every_alert_has_its_advice() -> None:
    advised = set(re.findall(r"Callverdict\w+", " ".join(re.findall(r"^\*\*(.+?)\.\*\*", PAGE, re.MULTILINE))))
    assert advised == set(re.findall(r"- alert: (\w+)", ALERTS))


def test_process_metrics_come_too() -> None:
    assert all(f"\n{name} " in Telemetry().exposition().decode() for name in OF_THE_PROCESS)


def test_every_exit_code_is_told() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)] == sorted(Exit)


def test_every_event_of_the_log_that_is_told_of_exists() -> None:
    told = set(re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE.split("## The log")[1].split("## ")[0]))
    assert len(told) > 15
    assert {event for event in told if f'"{event}"' not in CODE} == set()


def test_the_example_of_security_can_be_read() -> None:
    (example,) = re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)
    assert tomllib.loads(example)["security"].keys() <= SecurityTable.model_fields.keys()


def test_the_reasons_of_dead_letters_are_a_closed_set() -> None:
    """Every word that the code gives as a reason has its counter from the start."""
    words = set(re.findall(r"BadRecord\(\s*\"(\w+)\"", CODE)) | {"unknown_field", "missing_field", "wrong_type", "wrong_value"}
    assert words == set(REASONS)


def row(**counts: int) -> TallyRow:
    found = row_of("", "queue", "q", "cohort", Window(0, 60_000), 60_000, "UTC", counts, state="open", revision=2, reason=None)
    assert isinstance(found, TallyRow)
    return found


@pytest.mark.parametrize(
    ("counts", "errors"),
    [
        ({}, 0),
        ({"legs_offered": 6, "legs_answered": 1, "legs_lose_race": 2, "legs_busy": 1, "legs_timeout": 1, "legs_pending": 1}, 0),
        ({"calls_offered": 3, "calls_abandoned": 1, "calls_failed": 2, "calls_wait_ms": 999}, 0),
        ({"legs_offered": 2, "legs_answered": 1}, 1),
        ({"calls_offered": 1, "calls_answered": 1, "calls_pending": 1}, 1),
        ({"legs_offered": 1, "legs_answered": 2, "calls_offered": 2, "calls_answered": 1}, 1),
    ],
)
def test_a_tally_that_does_not_balance_is_counted(counts: dict[str, int], errors: int) -> None:
    telemetry = Telemetry()
    telemetry.tallies([row(**counts)])
    told = telemetry.exposition().decode()
    assert f"\ncallverdict_conservation_errors_total {errors}.0\n" in told
    assert '\ncallverdict_revisions_total{row="tally"} 1.0\n' in told
