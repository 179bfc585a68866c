"""Why a broker does not take us in: its client says only that it could not connect, whatever the reason."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

ANSWER_MS = 5_000


class BrokerRefusesError(Exception):
    """A broker answers and does not take us in. Waiting does not mend that; the message says what does."""


class Refusal(NamedTuple):
    """What to mend. `is_sure`: a broker that only starts or stops does not look like this."""

    sentence: str
    is_sure: bool


async def explained(error: Exception, clients: Mapping[str, Any]) -> Exception:
    """A better error for a client that could not connect, if asking the brokers once more tells why; else the same."""
    for host, port, _ in collect_hosts(clients["bootstrap_servers"]):
        if (found := await refusal(host, port, clients)) is not None:
            return BrokerRefusesError(found.sentence) if found.is_sure else KafkaConnectionError(found.sentence)
    return error


async def refusal(host: str, port: int, clients: Mapping[str, Any]) -> Refusal | None:
    """Knock at one broker. None if it does not answer, or takes us in."""
    security = {name: value for name, value in clients.items() if name.startswith(("security", "ssl", "sasl"))}
    try:
        with closing(await create_conn(host, port, request_timeout_ms=ANSWER_MS, **security)) as connection:
            await connection.send(MetadataRequest([]))
    except (OSError, KafkaError, TimeoutError) as error:
        return told_by(error, f"{host}:{port}")
    return None


def told_by(error: Exception, place: str) -> Refusal | None:
    """What an error of the connection says; None for a broker that is not there."""
    match error:
        case AuthenticationFailedError() | SaslAuthenticationFailed():
            return Refusal(f"{place} refuses our name or password ({error}): check sasl_username and sasl_password", is_sure=True)
        case IllegalSaslStateError() | UnsupportedSaslMechanismError():
            return Refusal(f"{place} refuses how we show our name ({error}): check sasl_mechanism and security_protocol", is_sure=True)
        case ssl.SSLCertVerificationError():
            return Refusal(
                f"{place} shows a certificate that is not to be trusted ({error.verify_message}): give who signed it as ssl_ca_file, "
                "and ask for the broker by the name in it",
                is_sure=True,
            )
        case ssl.SSLError():
            return Refusal(f"{place} does not speak TLS with us ({error.reason}): check security_protocol and ssl_cert_file", is_sure=True)
        case KafkaError() | ConnectionResetError() | ConnectionAbortedError():
            return Refusal(
                f"{place} ends the connection: set security_protocol to what its listener speaks (TLS, a certificate, a password, or none)",
                is_sure=False,
            )
    return None
