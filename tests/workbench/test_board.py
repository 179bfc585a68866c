"""The parts of the demo: the board and its frame, latencies, the race that is drawn, the settings of the show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from pipeline.core.model import LegRow, Result, TallyRow, WindowState
from pipeline.core.tallyrows import row_of
from pipeline.core.window import Window
from pipeline.workbench import programme, showcase
from pipeline.workbench.board import CELLS, FIELDS, Board, drawn, folded, total_of
from pipeline.workbench.lookout import Latencies
from pipeline.workbench.programme import ProgrammeError
from pipeline.workbench.stage import Moment, Stage

RECORDINGS = Path(__file__).parents[1] / "recordings" / "freeswitch"


def row(queue: str, start_s: int = 0, state: WindowState = "open", **counts: int) -> bytes:
    window = Window(start_s * 1000, start_s * 1000 + 60_000)
    return msgspec.json.encode(row_of("", "queue", queue, "cohort", window, 60_000, "UTC", counts, state=state, revision=1, reason=None))


def test_the_board_adds_windows_up_and_believes_the_last_row() -> None:
    board = Board()
    final = [board.is_final]
    board.take(b"sales|0", row("sales", legs_offered=3, legs_pending=3))
    board.take(b"sales|60", row("sales", 60, "final", legs_offered=2, legs_busy=2))
    board.take(b"(none)|0", row("(none)", state="final", calls_offered=1, calls_abandoned=1))
    board.take(b"vip|0", row("vip", state="final"))
    board.take(b"sales|0", row("sales", legs_offered=3, legs_answered=1, legs_lose_race=2))
    assert list(board.queues()) == ["sales", "vip", "(none)"]
    final.append(board.is_final)
    board.take(b"sales|0", row("sales", state="final", legs_offered=3, legs_answered=1, legs_lose_race=2))
    assert [*final, board.is_final] == [False, False, True]
    sales = {field: count for field, count in board.queues()["sales"].items() if count}
    assert sales == {"legs_offered": 5, "legs_answered": 1, "legs_lose_race": 2, "legs_busy": 2}


def test_only_the_smallest_windows_by_the_time_of_the_offers_are_counted() -> None:
    board = Board()
    day = msgspec.structs.replace(msgspec.json.decode(row("sales", legs_offered=9), type=TallyRow), window_size_s=86_400)
    later = msgspec.structs.replace(msgspec.json.decode(row("sales", legs_offered=5), type=TallyRow), attribution="activity")
    board.take(b"sales|day", msgspec.json.encode(day))
    board.take(b"sales|0", row("sales", legs_offered=3))
    board.take(b"sales|later", msgspec.json.encode(later))
    board.take(b"sales|day", msgspec.json.encode(day))
    assert board.queues()["sales"]["legs_offered"] == 3


def test_a_number_is_fresh_for_a_moment_after_it_changed() -> None:
    board = Board()
    board.take(b"sales|0", row("sales", legs_pending=3))
    assert board.fresh(board.queues(), 10.0) == {("sales", "legs_pending")}
    assert board.fresh(board.queues(), 10.6) == {("sales", "legs_pending")}
    assert board.fresh(board.queues(), 10.8) == frozenset()
    board.take(b"sales|0", row("sales", legs_busy=3))
    assert board.fresh(board.queues(), 12.0) == {("sales", "legs_pending"), ("sales", "legs_busy")}


def filled(count: int) -> Board:
    board = Board()
    for number in range(count):
        board.take(b"%d" % number, row(f"queue{number:02}@default", 0, "open", **dict.fromkeys(("legs_offered", *FIELDS), number)))
    return board


@pytest.mark.parametrize("width", [80, 100, 200])
def test_every_line_of_the_board_fits_and_no_heading_is_cut(width: int) -> None:
    lines = drawn(filled(12).queues(), width=width, most_queues=20).plain.splitlines()
    assert max(map(len, lines)) <= width
    assert Counter(" ".join(lines[1:3]).split()) == Counter({"queue": 1} | Counter(column.heading for column in CELLS))
    assert [line.split()[0] for line in lines[3:-2]] == [f"queue{number:02}" for number in range(12)]


def test_on_a_low_terminal_small_queues_share_a_line() -> None:
    queues = filled(6).queues()
    few = folded(queues, 3)
    assert list(few) == ["queue04@default", "queue05@default", "4 others"]
    assert total_of(few.values()) == total_of(queues.values())
    assert folded(queues, 6) == queues


@pytest.mark.parametrize(("encoding", "height"), [("utf-8", 24), ("ascii", 24), ("utf-8", 8)])
def test_a_frame_fits_the_terminal(encoding: str, height: int, tmp_path: Path) -> None:
    path = tmp_path / "screen"
    with path.open("w", encoding=encoding) as file:
        console = Console(file=file, width=80, height=height, force_terminal=True, color_system=None)
        moment = Moment("playing", 17.0, 35.0, 27_554, 1_284, 1_301, 1_387, 10_017, filled(30).queues())
        console.print(Stage(console, is_live=True).frame(moment))
    lines = path.read_text(encoding=encoding).splitlines()
    assert len(lines) <= max(height, 9)
    assert not any(line.endswith("…") for line in lines)


def test_a_latency_counts_from_the_first_hangup_to_the_first_verdict_in_any_order() -> None:
    seen = Latencies()
    assert seen.percentile(50) is None
    seen.hung_up("a", 100)
    seen.hung_up("a", 140)
    seen.judged("a", 130)
    seen.judged("a", 170)
    seen.judged("b", 250)
    seen.hung_up("b", 200)
    seen.judged("c", 10)
    seen.hung_up("c", 20)  # it had ended otherwise before
    assert seen.samples_ms == [30, 50]
    assert (seen.percentile(50), seen.percentile(99)) == (30, 50)


def legs(call: str, *losses_ms: int, queue: str = "sales", winner: bool = True) -> list[LegRow]:
    blank = dict.fromkeys(field for field in LegRow.__struct_fields__ if field not in {"is_winner", "is_deleted"})
    common = blank | {"tenant": "", "call_id": call, "queue": queue, "source": "", "revision": 1, "final": True, "needs_review": False}
    common |= {"is_winner": False, "is_deleted": False}
    caller = common | {"leg_id": f"{call}-caller", "role": "caller", "result": Result.ANSWERED}
    won = common | {"leg_id": f"{call}-won", "role": "agent", "result": Result.ANSWERED, "is_winner": winner}
    lost = [
        common | {"leg_id": f"{call}-{index}", "role": "agent", "result": Result.LOSE_RACE, "lost_by_ms": ms}
        for index, ms in enumerate(losses_ms)
    ]
    return [LegRow(**made) for made in (caller, won, *lost)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calls", "chosen"),
    [
        ([("a", 20, 20, 20), ("b", 0, 20, 40), ("c", 0, 0, 0, 0, 0, 0, 0, 90)], "b"),
        ([("b", 0, 40, 0), ("a", 0, 40, 0)], "a"),
        ([("a", 5, 10)], "a"),
        ([("a", 5)], None),
    ],
)
def test_the_race_that_is_drawn_has_a_few_losers_and_different_margins(calls: list[tuple[str, int]], chosen: str | None) -> None:
    rows = [row for call, *losses_ms in calls for row in legs(call, *losses_ms)]
    rows += legs("other", 0, 50, 100, queue="support") + legs("unwon", 0, 50, 100, winner=False)
    found = showcase.race(rows, "sales")
    assert {row.call_id for row in found} == ({chosen} if chosen else set())


def test_the_settings_of_the_show_can_be_used(tmp_path: Path) -> None:
    text = programme.settings_text("127.0.0.1:1234", {"sales": ("20220", "*7")}, apart="demo-1.")
    settings = programme.written_settings(tmp_path, text)
    assert (settings.bootstrap, settings.app_id, settings.queues["sales"].numbers) == (
        "127.0.0.1:1234",
        "demo-1.callverdict",
        ("20220", "*7"),
    )
    assert [source.topic for source in settings.sources] == [
        "demo-1.calls.raw.callcenter",
        "demo-1.calls.raw.dialer",
        "demo-1.calls.raw.pbx",
    ]


def test_a_number_leads_to_one_queue() -> None:
    numbers = Counter(number for dialed in programme.queues(RECORDINGS).values() for number in dialed)
    assert len(numbers) > 100
    assert set(numbers.values()) == {1}


def test_without_recordings_it_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProgrammeError, match=r"lacks s06_callcenter.*: give the folder tests/recordings/freeswitch of a clone"):
        programme.recordings(tmp_path)
    monkeypatch.setattr(programme, "IN_THE_REPOSITORY", tmp_path)
    with pytest.raises(ProgrammeError, match=r"not part of the installed package: run in a clone .*--recordings"):
        programme.recordings(None)
