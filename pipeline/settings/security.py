"""How brokers are reached where they want more than an address: TLS, and a name with a password (SASL).

`security(table)` says it in the words of Kafka's client, as `policy` says the rules in the core's.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, Strict, model_validator

from pipeline.settings.values import Table, advice, give

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def checked_file(name: str) -> str:
    """A file that can be read, or none. Raises ValueError with advice."""
    if name:
        try:
            Path(name).read_bytes()
        except OSError as error:
            raise advice(f"{error.strerror}: give the path of a file that this user may read") from error
    return name


File = Annotated[str, Strict(), AfterValidator(checked_file)]


class SecurityTable(Table):
    """How a broker that asks for it is told who we are, and how we know that it is ours."""

    security_protocol: Annotated[
        Protocol,
        Field(description="what the brokers' listener speaks"),
        give("give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Mechanism, Field(description="how name and password are shown"), give("give PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    ] = "PLAIN"
    sasl_username: Annotated[str, Strict(), Field(description="our name at the brokers")] = ""
    sasl_password: Annotated[SecretStr, Field(description="our password there")] = SecretStr("")
    sasl_password_file: Annotated[File, Field(description="a file that holds it instead, as secrets are mounted")] = ""
    ssl_ca_file: Annotated[File, Field(description="PEM: who signs the brokers' certificates; without it the system's list")] = ""
    ssl_cert_file: Annotated[File, Field(description="PEM: our own certificate, where brokers ask for one")] = ""
    ssl_key_file: Annotated[File, Field(description="PEM: its key, if it is not in the same file")] = ""
    ssl_key_password: Annotated[SecretStr, Field(description="opens that key")] = SecretStr("")

    @property
    def has_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    @property
    def has_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for sentence in (_sasl_problem(self), _tls_problem(self)):
            if sentence is not None:
                raise advice(sentence)
        return self


def _sasl_problem(table: SecurityTable) -> str | None:
    given = [name for name in ("sasl_username", "sasl_password_file") if getattr(table, name)]
    given += ["sasl_password"] if table.sasl_password.get_secret_value() else []
    if not table.has_sasl:
        return f"{given[0]} needs security_protocol = SASL_SSL (or SASL_PLAINTEXT)" if given else None
    if "sasl_username" not in given or len(given) == 1:
        return f"{table.security_protocol} needs sasl_username, and sasl_password or sasl_password_file (or their CALLVERDICT_ variables)"
    if len(given) > 2:
        return "sasl_password and sasl_password_file are both given: leave one out"
    return None if password(table) else f"{table.sasl_password_file} is empty: put the password into it"


def _tls_problem(table: SecurityTable) -> str | None:
    given = [name for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file") if getattr(table, name)]
    if not table.has_tls:
        return f"{given[0]} needs security_protocol = SSL or SASL_SSL" if given else None
    if table.ssl_key_file and not table.ssl_cert_file:
        return "ssl_key_file needs ssl_cert_file: give the certificate that the key belongs to"
    try:
        context(table)
    except ssl.SSLError as error:
        return f"{' or '.join(given)} cannot be used ({error.reason or error}): give PEM files, the key that belongs to its certificate"
    return None


def password(table: SecurityTable) -> str:
    """From the file, without the end of its line, or as given."""
    if table.sasl_password_file:
        return Path(table.sasl_password_file).read_text(encoding="utf-8").rstrip("\r\n")
    return table.sasl_password.get_secret_value()


def context(table: SecurityTable) -> ssl.SSLContext:
    """TLS that checks the broker's name and certificate. Raises ssl.SSLError."""
    made = ssl.create_default_context(cafile=table.ssl_ca_file or None)
    if table.ssl_cert_file:
        made.load_cert_chain(table.ssl_cert_file, table.ssl_key_file or None, table.ssl_key_password.get_secret_value)
    return made


def security(table: SecurityTable) -> dict[str, Any]:
    """What every Kafka client is told besides the address; nothing for plain text."""
    words: dict[str, Any] = {"security_protocol": table.security_protocol} if table.has_tls or table.has_sasl else {}
    if table.has_tls:
        words["ssl_context"] = context(table)
    if table.has_sasl:
        words |= {
            "sasl_mechanism": table.sasl_mechanism,
            "sasl_plain_username": table.sasl_username,
            "sasl_plain_password": password(table),
        }
    return words
