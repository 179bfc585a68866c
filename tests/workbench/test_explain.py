"""Explain: one call on paper, in 60 columns and more, saying of every leg what replay says, which row decided and what else was considered."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from pipeline.core.causes import CAUSES, SIP
from pipeline.core.classify import CALL_RULES, NO_VERDICT, RULES
from pipeline.core.model import LegEvent, Policy
from pipeline.settings import Settings, policy
from pipeline.workbench import rulebook
from pipeline.workbench.casefile import FEW_IDS, ToldCall, ToldLeg, UnknownCall, near, told
from pipeline.workbench.drawing import axis, bar, scale_of
from pipeline.workbench.explain import draw, story
from pipeline.workbench.kept import Kept
from pipeline.workbench.kin import Kin
from pipeline.workbench.reading import Reader, Told, source_named
from pipeline.workbench.replay import replay_files
from tests.support.scenario import load

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings" / "freeswitch"
S10 = next(RECORDINGS.glob("s10*.events.lite.jsonl.gz"))
S06 = next(RECORDINGS.glob("s06*.events.lite.jsonl.gz"))
SCENARIOS = {scenario.id: scenario for scenario in load()}
SETTINGS = Settings()
POLICY = policy(SETTINGS)


def events_of(path: Path) -> list[LegEvent]:
    reader = Reader(source_named("freeswitch-esl", SETTINGS), SETTINGS, POLICY)
    return [event for value in gzip.decompress(path.read_bytes()).splitlines() for event in reader.events(Told("", 0, value))]


def page(drawing: RenderableType, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(drawing)
    return out.getvalue().splitlines()


def scenario(name: str, leg_id: str = "ann") -> ToldCall:
    one = SCENARIOS[name]
    return told(one.events, one.policy, leg_id=leg_id)


def leg(call: ToldCall, leg_id: str) -> ToldLeg:
    return next(one for one in call.legs if one.leg.leg_id == leg_id)


def paragraph(lines: Iterable[str]) -> str:
    return " ".join(" ".join(lines).split())


def test_a_ring_all_call_reads_like_this() -> None:
    lines = page(story(events_of(S06), POLICY, "082954be-4b8c-43df-9151-67a00d32fbcf"))
    assert lines[6:15] == [
        "                   0 s                         '2.6 s  3.8 s",
        "  1 caller         ===========================#############| Answered",
        "  2 1101@default           ..-----------------|              Lose-race  +280 ms",
        "* 3 1102@default           .---------------===#############| Answered",
        "  4 1103@default           ..-----------------|              Lose-race  +280 ms",
        "  5 1104@default           .---------------================| Lose-race +1503 ms",
        "  6 1105@default           ..-----------------|              Lose-race  +280 ms",
        "    . offered  - ringing  = answered  # bridged  | ended  * winner; the axis",
        "    bends at 2.6 s",
    ]
    words = paragraph(lines)
    assert "Answered, connected: rule K1, leg 1 speaks for the call; answered by 1102@default; waited 2.340 s" in words
    assert (
        "5 1104@default ab002924-8e5b-4b40-9d3d-7fb6f51d4bec offered 0.820; rang 0.920; answered 2.340; ended 3.843 NORMAL_CLEARING,"
        " hung up by the far end Lose-race answered_too_late, rule L4; lost by 1503 ms, measured against leg 3, which won at 2.340"
    ) in words
    assert "L4 Lose-race answered_too_late, leg 5 if answered, a rival, and ended after (or at) the rival's win." in words
    assert "Else: N2 Cancel not_connected; X2 Cancel hung_up_before_answer." in words
    assert "L1 Lose-race lost_race, legs 2, 4, 6" in words
    assert "K1 the call's result if there is a caller's leg: that of the root caller, else of the earliest caller." in words


@pytest.mark.parametrize("width", [60, 80, 132])
def test_every_call_of_a_recording_fits(width: int) -> None:
    events = events_of(S10)
    calls = {row.call_id for row in replayed().results.values() if not row.is_deleted}
    assert len(calls) > 15
    for call_id in calls:
        lines = page(story(events, POLICY, call_id), width)
        assert max(map(len, lines)) <= width
        assert lines == [line.rstrip() for line in lines]


def replayed() -> Kept:
    reader = Reader(source_named("freeswitch-esl", SETTINGS), SETTINGS, POLICY)
    return replay_files([S10], reader, POLICY, end="settle").kept


def test_it_says_of_every_leg_what_replay_says() -> None:
    events = events_of(S10)
    kept = replayed()
    rows = [row for row in kept.legs.values() if not row.is_deleted]
    assert len(rows) > 50
    for row in rows:
        call = told(events, POLICY, call_id=row.call_id)
        found = leg(call, row.leg_id)
        assert found.verdict is not None
        assert (found.verdict.result, found.verdict.reason, found.verdict.rule) == (row.result, row.reason, row.rule)
        assert found.rule is not None
        assert row.rule in {found.rule.rule, "C5"}  # A2 hands an agent's own leg to C5
        assert found.row is not None
        assert found.row.lost_by_ms == row.lost_by_ms
        if row.lost_by_ms is not None:
            assert found.against is not None
            assert row.ended_ms == found.against.at_ms + row.lost_by_ms
    for result in kept.results.values():
        if not result.is_deleted:
            call = told(events, POLICY, call_id=result.call_id)
            assert call.row is not None
            assert (call.row.result, call.row.reason, call.row.rule) == (result.result, result.reason, result.rule)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_can_be_drawn_and_names_its_rules(name: str) -> None:
    one = SCENARIOS[name]
    decided = {expected.leg_id: expected.words for expected in one.expected}
    for leg_id, words in decided.items():
        if one.until_ms is None and words:
            call = told([*one.events, far(one.events)], one.policy, leg_id=leg_id)
            found = leg(call, leg_id)
            assert found.verdict is not None
            assert (found.verdict.result, found.verdict.reason, found.verdict.rule) == words
            assert f"{words[0]} {words[1]}, rule {words[2]}" in paragraph(page(draw(call)))


def far(events: Iterable[LegEvent]) -> LegEvent:
    """Another call, so much later that every time to live is over."""
    at_ms = max(event.at_ms for event in events) + Policy().ttl_ms + Policy().root_wait_ms
    return LegEvent(leg_id="much later", kind="offered", at_ms=at_ms)


def test_the_order_of_events_and_other_calls_change_nothing() -> None:
    events = events_of(S10)
    call_id = min(row.call_id for row in replayed().results.values() if row.legs_offered > 2)
    first = page(story(events, POLICY, call_id))
    random.Random(7).shuffle(events)
    assert page(story(events, POLICY, call_id)) == first
    kin = Kin()
    for event in events:
        kin.add(event)
    own = [event for event in events if kin.are(event.leg_id, call_id)]
    assert len(own) < len(events) / 4
    assert page(story(own, POLICY, call_id)) == first


def test_what_has_not_ended_is_not_judged() -> None:
    events = [event for event in SCENARIOS["S01"].events if event.kind != "ended"]
    lines = page(story(events, Policy(), "ann"))
    assert "Not final: a leg has not ended, or the call has not settled." in lines
    assert "No result yet: the leg that speaks for the call has none." in lines
    assert paragraph(lines).count("no verdict yet: it has not ended (P2)") == len({event.leg_id for event in events})


def test_a_machine_has_no_verdict() -> None:
    words = paragraph(page(draw(scenario("S55", "abe"))))
    assert "no verdict: no person behind it (P1)" in words


def test_unknown_ids_are_answered_with_the_nearest() -> None:
    events = SCENARIOS["S01"].events
    with pytest.raises(UnknownCall, match=r"^no call bob: it is a leg of call ann; give --leg bob, or --call ann$"):
        told(events, Policy(), call_id="bob")
    with pytest.raises(UnknownCall, match=r"^no call an: the nearest are ann$"):
        told(events, Policy(), call_id="an")
    with pytest.raises(UnknownCall, match=r"^no leg bbb: the nearest are bob$"):
        told(events, Policy(), leg_id="bbb")
    with pytest.raises(UnknownCall, match=r"^no call zzzzzzz: there are 1, none like it$"):
        told(events, Policy(), call_id="zzzzzzz")


def test_near_ids_are_found_among_many() -> None:
    known = [f"{number:06d}" for number in range(3 * FEW_IDS)]
    assert near("03000", known) == ["030000", "030001", "030002"]
    assert "030000" in near("030000x", known)
    assert near("no such", known) == []


def test_the_axis_bends_only_where_the_talk_is_long() -> None:
    short, long = scenario("S04"), told(SCENARIOS["S01"].events, Policy(), call_id="ann")
    assert "'" not in axis(scale_of(short, 40))
    line = axis(scale_of(long, 40))
    assert line.startswith("0 s")
    assert line.endswith(f"{(long.end_ms - long.begin_ms) / 1000:.1f} s")
    assert [len(axis(scale_of(call, columns))) for call in (short, long) for columns in (20, 33, 90)] == [20, 33, 90] * 2
    for one in long.legs:
        drawn = bar(one, long.race.bridged.get(one.leg.leg_id), long.begin_ms, scale_of(long, 40))
        assert len(drawn) == 40
        assert drawn.count("|") == 1


def test_colours_are_there_and_can_be_left_out() -> None:
    out = io.StringIO()
    Console(file=out, width=80, force_terminal=True, color_system="standard", highlight=False).print(draw(scenario("S01")))
    plain = io.StringIO()
    Console(file=plain, width=80, force_terminal=True, color_system="standard", no_color=True, highlight=False).print(draw(scenario("S01")))
    assert "\x1b[1;32mAnswered" in out.getvalue()
    assert "32m" not in plain.getvalue()


def test_the_page_of_rules_is_what_the_code_does() -> None:
    markdown = rulebook.markdown()
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == markdown
    tables = [line.split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    ruled = [row[0].strip("| *") for row in tables if len(row) == 5 and row[0].startswith("| **")]
    assert ruled == [*(row[0] for row in NO_VERDICT), *(row.rule for row in RULES)]
    assert [row[0].strip("| *") for row in tables if len(row) == 3 and row[0].startswith("| **")] == [row.rule for row in CALL_RULES]
    words = set(markdown.replace(",", " ").split())
    assert {cause.name for cause in CAUSES} <= words
    assert {str(status) for status in SIP} <= words
