"""What an operator can write, what comes of it, and what is said of what cannot be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.core.model import Policy, WeekHours
from pipeline.errors import SettingsError
from pipeline.settings import VENDOR_NAMES, Reading, load, policy, read
from pipeline.settings.reading import LEAVES, VARIABLES
from pipeline.vendors import VENDORS

NOBODY = Path("/nonexistent")


def problems(environ: dict[str, str], directory: Path = NOBODY) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, directory=directory)
    return list(caught.value.problems)


def written(directory: Path, text: str) -> Path:
    (directory / "callverdict.toml").write_text(text, encoding="utf-8")
    return directory


def origins(reading: Reading) -> dict[str, tuple[str, str]]:
    return {row.key: (row.origin, row.name) for row in reading.in_force if row.origin != "default"}


def test_without_any_configuration_the_three_sources_stand() -> None:
    settings = load({}, directory=NOBODY)
    assert [(source.name, source.topic) for source in settings.sources] == [
        ("freeswitch-esl", "calls.raw.freeswitch-esl"),
        ("freeswitch-json-cdr", "calls.raw.freeswitch-json-cdr"),
        ("canonical", "calls.raw.canonical"),
    ]


def test_the_defaults_here_are_the_defaults_of_the_core() -> None:
    assert policy(load({}, directory=NOBODY)) == Policy()


def test_no_two_tables_share_an_environment_variable() -> None:
    assert len(VARIABLES) == len(LEAVES)


def test_every_setting_says_what_it_is() -> None:
    assert [leaf.key for leaf in LEAVES if not leaf.field.description] == []


def test_environment_over_file_over_default_and_command_line_over_all(tmp_path: Path) -> None:
    written(tmp_path, 'bootstrap = "file:1"\n[policy]\ngrace_s = 40\nsettle_s = 7\n[engine]\nlinger_s = 0\n')
    environ = {"CALLVERDICT_GRACE_S": "50", "CALLVERDICT_BOOTSTRAP": "environment:2"}
    reading = read(environ, directory=tmp_path, given={"bootstrap": "option:3"})
    settings = reading.settings
    assert (settings.bootstrap, settings.policy.grace_s, settings.policy.settle_s, settings.engine.linger_s) == ("option:3", 50, 7, 0)
    assert origins(reading) == {
        "bootstrap": ("command line", "--bootstrap"),
        "policy.grace_s": ("environment", "CALLVERDICT_GRACE_S"),
        "policy.settle_s": ("file", "callverdict.toml"),
        "engine.linger_s": ("file", "callverdict.toml"),
    }


def test_seconds_become_milliseconds() -> None:
    environ = {"CALLVERDICT_SETTLE_S": "2", "CALLVERDICT_WINDOW_SIZES_S": "3600,60,60", "CALLVERDICT_SAME_MOMENT_MS": "80"}
    chosen = policy(load(environ, directory=NOBODY))
    assert (chosen.settle_ms, chosen.window_sizes_ms, chosen.same_moment_ms) == (2_000, (60_000, 3_600_000), 80)


QUEUES = """
[queues."support"]
numbers = ["20220", "20221"]
tz = "Europe/Berlin"
holidays = ["2026-12-25", 2026-12-26]
[queues."support".hours]
mon = ["13:00-17:30", "09:00-12:00"]
fri = ["22:00-06:00"]
sat = ["05:00-08:00"]
sun = ["20:00-24:00", "23:00-01:00"]
[queues."night"]
numbers = ["30000"]
[queues."feasts"]
tz = "UTC"
holidays = ["2027-01-01"]
"""


def test_queues_have_numbers_and_hours_and_hours_run_past_midnight(tmp_path: Path) -> None:
    chosen = policy(load({}, directory=written(tmp_path, QUEUES)))
    assert chosen.queue_of_number == {"20220": "support", "20221": "support", "30000": "night"}
    assert chosen.hours == {
        "support": WeekHours(
            tz="Europe/Berlin",
            week=(((0, 60), (540, 720), (780, 1050)), (), (), (), ((1320, 1440),), ((0, 480),), ((1200, 1440),)),
            holidays=frozenset({"2026-12-25", "2026-12-26"}),
        ),
        "feasts": WeekHours(tz="UTC", week=(((0, 1440),),) * 7, holidays=frozenset({"2027-01-01"})),
    }


def test_sources_get_names_topics_and_the_prefix(tmp_path: Path) -> None:
    written(tmp_path, '[topics]\ntopic_prefix = "eu."\n[[sources]]\nvendor = "canonical"\nname = "dialer"\n'
                      '[[sources]]\nvendor = "canonical"\ntopic = "given_elsewhere"\ntenant = "acme"\nclock_error_s = 5\n')  # fmt: skip
    sources = load({}, directory=tmp_path).sources
    assert [(s.name, s.topic, s.tenant, s.clock_error_s) for s in sources] == [
        ("dialer", "eu.calls.raw.dialer", "", 300),
        ("canonical", "given_elsewhere", "acme", 5),
    ]


def test_sources_can_come_from_the_environment_as_json() -> None:
    settings = load({"CALLVERDICT_SOURCES": '[{"vendor": "freeswitch-esl", "topic": "fs"}]'}, directory=NOBODY)
    assert [(source.vendor, source.topic) for source in settings.sources] == [("freeswitch-esl", "fs")]


ADVICE = [
    ("grace_s", "CALLVERDICT_GRACE_S", "5m", "give a whole number of seconds, at least 0"),
    ("settle_s", "CALLVERDICT_SETTLE_S", "-3", "give a whole number of seconds, at least 0"),
    (
        "window_sizes_s",
        "CALLVERDICT_WINDOW_SIZES_S",
        "60,a",
        "give 1 to 8 whole numbers of seconds, each from 1 to 86400, such as 60,3600",
    ),
    ("linger_s", "CALLVERDICT_LINGER_S", "NaN", "give a number of seconds from 0 to 1"),
    ("session_timeout_s", "CALLVERDICT_SESSION_TIMEOUT_S", "5", "give a whole number of seconds from 6 (the broker's lowest) to 1800"),
    ("timeout_only", "CALLVERDICT_TIMEOUT_ONLY_IN_AUTODIALER", "perhaps", "give true or false"),
    ("app_id", "CALLVERDICT_APP_ID", "a b", "give letters, digits, dots and hyphens, at most 100"),
    ("bootstrap", "CALLVERDICT_BOOTSTRAP", "localhost", "give host:port, several with commas"),
    ("max_legs", "CALLVERDICT_MAX_LEGS", "true", "give a whole number, at least 1"),
    ("web_port", "CALLVERDICT_WEB_PORT", "99999", "give a port from 1 to 65535"),
    ("numbers", "CALLVERDICT_PHONE_NUMBERS", "mask", "give keep, drop or hash"),
]


@pytest.mark.parametrize(("variable", "value", "advice"), [row[1:] for row in ADVICE], ids=[row[0] for row in ADVICE])
def test_a_variable_that_cannot_be_used_gets_its_line(variable: str, value: str, advice: str) -> None:
    assert problems({variable: value}) == [f"{variable}={value!r}: {advice}"]


WRONG_FILE = """
app_id = "a b"
grace_s = 4
[policy]
grace_s = "5m"
setle_s = 4
[engine]
processes = true
[[sources]]
vendor = "avaya"
[[sources]]
topik = "x"
[queues.support]
numbers = [20220]
tz = "Europe/Berlinn"
holidays = ["2026-13-01"]
[queues.support.hours]
tue = ["09:00-25:00"]
monday = ["09:00-15:00"]
[queues.sales]
hours = {mon = ["22:00-06:00"]}
[queues."a|b"]
[privacy]
phone_numbers = "hash"
phone_numbers_key = "hushhush"
"""

WRONG_FILE_LINES = """\
CALLVERDICT_WEB_PROT='1': no such setting: did you mean CALLVERDICT_WEB_PORT?
callverdict.toml, app_id = 'a b': give letters, digits, dots and hyphens, at most 100
callverdict.toml, engine.processes = True: give a whole number from 1 to 64
CALLVERDICT_TICK_S='soon': give a whole number of seconds from 1 to 3600
callverdict.toml, policy.grace_s = '5m': give a whole number of seconds, at least 0
callverdict.toml, policy.setle_s: no such key: did you mean settle_s?
callverdict.toml, privacy: phone_numbers = hash needs phone_numbers_key (CALLVERDICT_PHONE_NUMBERS_KEY) of at least 16 characters
callverdict.toml, sources[0].vendor = 'avaya': give one of freeswitch-esl, freeswitch-json-cdr, canonical
callverdict.toml, sources[1].vendor: add vendor, one of freeswitch-esl, freeswitch-json-cdr, canonical
callverdict.toml, sources[1].topik: no such key: did you mean topic?
callverdict.toml, queues.support.numbers[0] = 20220: give a dialed number as text, such as "20220"
callverdict.toml, queues.support.tz = 'Europe/Berlinn': give a name of the time zone database, such as Europe/Berlin or UTC
callverdict.toml, queues.support.hours.tue[0] = '09:00-25:00': give hours as "09:00-17:30", from 00:00 to 24:00; a later start than end \
runs past midnight
callverdict.toml, queues.support.hours.monday: no such key: did you mean mon?
callverdict.toml, queues.support.holidays[0] = '2026-13-01': give a date as "2026-12-25"
callverdict.toml, queues.sales: hours and holidays need a time zone: add tz = "Europe/Berlin" (or the queue's own)
callverdict.toml, queues.a|b = 'a|b': give a text of at most 256 characters without `|` (it separates the parts of a key)
callverdict.toml, grace_s: no such key here: move it to [policy]
""".splitlines()


def test_every_problem_of_file_and_environment_is_reported_at_once(tmp_path: Path) -> None:
    environ = {"CALLVERDICT_TICK_S": "soon", "CALLVERDICT_WEB_PROT": "1"}
    assert sorted(problems(environ, written(tmp_path, WRONG_FILE))) == sorted(WRONG_FILE_LINES)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    assert not any("hushhush" in line for line in problems({}, written(tmp_path, WRONG_FILE)))
    environ = {"CALLVERDICT_PHONE_NUMBERS": "hash", "CALLVERDICT_PHONE_NUMBERS_KEY": "0123456789abcdef"}
    shown = {row.key: row.value for row in read(environ, directory=NOBODY).in_force}
    assert shown["privacy.phone_numbers_key"] == '"**********"'
    assert "0123456789abcdef" not in repr(load(environ, directory=NOBODY))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[policy\n", r"callverdict\.toml: not TOML \(.*line 1.*\): mend this place"),
        ("policy = 5\n", r"callverdict\.toml, policy = 5: give a table"),
        ("sources = 5\n", r"callverdict\.toml, sources = 5: give a list"),
        ("sources = []\n", r"callverdict\.toml, sources = \[\]: give at least one"),
        ("app_id = 7\n", r"callverdict\.toml, app_id = 7: give letters.*"),
        ("nonsense = 7\n", r"callverdict\.toml, nonsense: no such key: the known ones are bootstrap, .*"),
        (
            '[[sources]]\nvendor="canonical"\n[[sources]]\nvendor="canonical"\n',
            r".*, sources: two sources are called canonical: give each .*",
        ),
        (
            '[[sources]]\nvendor="canonical"\ntopic="a"\n[[sources]]\nvendor="canonical"\ntopic="a"\nname="b"\n',
            r".*, sources: two sources read a: give each a topic of its own",
        ),
        ('[queues.a]\nnumbers=["1"]\n[queues.b]\nnumbers=["1"]\n', r".*, queues: the number 1 stands in two queues: leave it in one"),
    ],
)
def test_a_file_that_cannot_be_used_gets_its_line(tmp_path: Path, text: str, line: str) -> None:
    (only,) = problems({}, written(tmp_path, text))
    assert re.fullmatch(line, only)


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    (line,) = problems({"CALLVERDICT_CONFIG": "gone.toml"}, tmp_path)
    assert line == "CALLVERDICT_CONFIG='gone.toml': no such file: give the path of a callverdict.toml, or unset it"
    (tmp_path / "there.toml").write_text("app_id = 'x'", encoding="utf-8")
    assert load({"CALLVERDICT_CONFIG": "there.toml"}, directory=tmp_path).app_id == "x"


def test_what_kubernetes_puts_beside_our_variables_is_no_problem() -> None:
    beside = {
        "CALLVERDICT_SERVICE_HOST": "10.0.0.1",
        "CALLVERDICT_PORT": "tcp://10.0.0.1:6066",
        "CALLVERDICT_PORT_6066_TCP_ADDR": "10.0.0.1",
        "CALLVERDICT_TEST_BOOTSTRAP": "x",
    }
    assert load(beside, directory=NOBODY) == load({}, directory=NOBODY)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load({"CALLVERDICT_PARTITIONS": "", "CALLVERDICT_QUEUES": ""}, directory=NOBODY) == load({}, directory=NOBODY)


def test_settings_know_the_vendors() -> None:
    assert tuple(VENDORS) == VENDOR_NAMES
