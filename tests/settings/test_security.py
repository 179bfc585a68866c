"""TLS and SASL settings: what the client is told, and what is said of what does not fit together."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import load, read, security

TLS = Path(__file__).parents[1] / "support" / "tls"
NOWHERE = Path("/nonexistent")
NAMED = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "anna", "sasl_password": "hushhush"}
OURS = {"security_protocol": "SSL", "ssl_ca_file": str(TLS / "authority.pem")}


def words(**chosen: str) -> dict[str, Any]:
    return security(load(environ(chosen), directory=NOWHERE).security)


def environ(chosen: dict[str, str]) -> dict[str, str]:
    return {f"CALLVERDICT_{name.upper()}": value for name, value in chosen.items()}


def problem(**chosen: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ(chosen), directory=NOWHERE)
    (line,) = caught.value.problems
    return str(line)


def test_plain_text_needs_no_words() -> None:
    assert words() == {}


def test_a_name_with_a_password() -> None:
    assert words(**NAMED, sasl_mechanism="SCRAM-SHA-256") == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "anna",
        "sasl_plain_password": "hushhush",
    }


def test_a_password_from_a_file_loses_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame \n", encoding="utf-8")
    told = words(security_protocol="SASL_PLAINTEXT", sasl_username="anna", sasl_password_file=str(tmp_path / "secret"))
    assert told["sasl_plain_password"] == "open sesame "


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ssl_cert_file": str(TLS / "client.pem"), "ssl_key_file": str(TLS / "client-key.pem")},
        {
            "ssl_cert_file": str(TLS / "client.pem"),
            "ssl_key_file": str(TLS / "client-locked-key.pem"),
            "ssl_key_password": "opensesame",
        },
    ],
    ids=["authority", "own certificate", "locked key"],
)
def test_tls_checks_the_brokers_name_and_certificate(more: dict[str, str]) -> None:
    told = words(**OURS, **more)
    assert told["security_protocol"] == "SSL"
    assert (told["ssl_context"].verify_mode, told["ssl_context"].check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [authority["subject"][0][0][1] for authority in told["ssl_context"].get_ca_certs()] == ["callverdict tests authority"]


@pytest.mark.parametrize(
    ("chosen", "line"),
    [
        ({"security_protocol": "TLS"}, r"CALLVERDICT_SECURITY_PROTOCOL='TLS': give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        ({**NAMED, "sasl_mechanism": "GSSAPI"}, r"CALLVERDICT_SASL_MECHANISM='GSSAPI': give PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
        ({"sasl_username": "anna"}, r".*security: sasl_username needs security_protocol = SASL_SSL \(or SASL_PLAINTEXT\)"),
        ({"security_protocol": "SASL_SSL"}, r".*: SASL_SSL needs sasl_username, and sasl_password or sasl_password_file .*"),
        ({**NAMED, "sasl_password": ""}, r".*: SASL_PLAINTEXT needs sasl_username, and sasl_password or .*"),
        (
            {**NAMED, "sasl_password_file": str(TLS / "README.md")},
            r".*: sasl_password and sasl_password_file are both given: leave one out",
        ),
        ({**OURS, "ssl_ca_file": "gone.pem"}, r"CALLVERDICT_SSL_CA_FILE='gone.pem': No such file or directory: give the path of a file .*"),
        ({**OURS, "security_protocol": "PLAINTEXT"}, r".*: ssl_ca_file needs security_protocol = SSL or SASL_SSL"),
        ({**OURS, "ssl_ca_file": str(TLS / "README.md")}, r".*: ssl_ca_file cannot be used \(.*\): give PEM files, .*"),
        ({**OURS, "ssl_key_file": str(TLS / "client-key.pem")}, r".*: ssl_key_file needs ssl_cert_file: .*"),
        (
            {**OURS, "ssl_cert_file": str(TLS / "client.pem"), "ssl_key_file": str(TLS / "broker-key.pem")},
            r".*: ssl_ca_file or ssl_cert_file or ssl_key_file cannot be used \(KEY_VALUES_MISMATCH\): give PEM files, .*",
        ),
        (
            {**OURS, "ssl_cert_file": str(TLS / "client.pem"), "ssl_key_file": str(TLS / "client-locked-key.pem")},
            r".*: ssl_ca_file or ssl_cert_file or ssl_key_file cannot be used \(.*\): give PEM files, .*",
        ),
        ({"instance_id": "w{host}"}, r"CALLVERDICT_INSTANCE_ID='w\{host\}': give letters, digits, dots, hyphens and \{number\}, .*"),
        ({"instance_id": "w", "processes": "2"}, r".*engine: instance_id is w for each of 2 processes: put \{number\} into it"),
    ],
)
def test_what_does_not_fit_together_gets_its_line(chosen: dict[str, str], line: str) -> None:
    assert re.fullmatch(line, problem(**chosen))


def test_passwords_are_never_shown() -> None:
    given = environ({**NAMED, "sasl_password_file": str(TLS / "README.md"), "ssl_key_password": "opensesame"})
    with pytest.raises(SettingsError) as caught:
        load(given, directory=NOWHERE)
    assert not re.search("hushhush|opensesame", str(caught.value))
    reading = read(environ(NAMED), directory=NOWHERE)
    assert {row.key: row.value for row in reading.in_force}["security.sasl_password"] == '"**********"'
    assert "hushhush" not in repr(reading.settings)


def test_a_member_id_may_hold_its_workers_number() -> None:
    assert load(environ({"instance_id": "eu-{number}", "processes": "2"}), directory=NOWHERE).engine.instance_id == "eu-{number}"
