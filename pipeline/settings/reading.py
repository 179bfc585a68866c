"""Where the settings come from: command line over environment over callverdict.toml over defaults, and who set what."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from pipeline.errors import SettingsError
from pipeline.settings.problems import Origin, Place, problems_of, unknown_variable
from pipeline.settings.shape import Settings

PREFIX = "CALLVERDICT_"
CONFIG = "CALLVERDICT_CONFIG"
FILE_NAME = "callverdict.toml"

_NOT_OURS = re.compile(r"CALLVERDICT_(TEST_\w+|CONFIG|CACHE|CORE|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?|(\w+_)?PORT_\d+_(TCP|UDP)(_\w+)?)")
_ADDRESS = re.compile(r"(tcp|udp)://.*")
"""TEST_ belongs to the tests, CACHE to the local Kafka, CORE to pipeline.compiled; the others Kubernetes sets in every pod beside a service called callverdict."""


class Leaf(NamedTuple):
    """One thing that can be set: its path in the tables and its field."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def key(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + self.path[-1].upper()


class InForce(NamedTuple):
    """A setting as it is now: `name` says which variable, file or option gave it."""

    key: str
    value: str
    origin: Origin
    name: str
    description: str


class Reading(NamedTuple):
    settings: Settings
    in_force: tuple[InForce, ...]


def leaves(table: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    for name, field in table.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, (*path, name))
        else:
            yield Leaf((*path, name), field)


LEAVES = tuple(leaves())
VARIABLES: Mapping[str, Leaf] = {leaf.variable: leaf for leaf in LEAVES}


class Environment(PydanticBaseSettingsSource):
    """The variables CALLVERDICT_<KEY>. An empty one counts as not set, as compose files pass it."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.environ = environ

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return decoded(self.environ[PREFIX + field_name.upper()], field), field_name, False

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for variable, leaf in VARIABLES.items():
            if self.environ.get(variable):
                plant(tree, leaf.path, self.get_field_value(leaf.field, leaf.path[-1])[0])
        return tree


def decoded(text: str, field: FieldInfo) -> Any:  # noqa: ANN401 - whatever JSON says
    """Text stays text where text is wanted; else JSON, and of a list also its parts with commas; else text, for the advice to quote."""
    if field.annotation in {str, SecretStr} or get_origin(field.annotation) is Literal:
        return text
    is_list = get_origin(field.annotation) is tuple and not text.lstrip().startswith("[")
    try:
        return json.loads(f"[{text}]" if is_list else text)
    except ValueError:
        return text


def plant(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def found(tree: Any, path: tuple[str, ...]) -> bool:  # noqa: ANN401 - what a file holds
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True


def config_path(environ: Mapping[str, str], directory: Path) -> Path | None:
    """The file to read, if any. Raises SettingsError if the one that was asked for is not there."""
    wanted = environ.get(CONFIG)
    path = directory / (wanted or FILE_NAME)
    if path.is_file():
        return path
    if wanted:
        raise SettingsError([f"{CONFIG}={wanted!r}: no such file: give the path of a callverdict.toml, or unset it"])
    return None


def file_tree(path: Path | None) -> dict[str, Any]:
    """The file's tables. Raises SettingsError if it is no TOML."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # some editors begin a file with a mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path.name}: not TOML ({error}): mend this place"]) from error
    except OSError as error:
        raise SettingsError([f"{path.name}: cannot be read ({error.strerror}): give this user the right to read it"]) from error


def read(environ: Mapping[str, str] | None = None, *, directory: Path | None = None, given: Mapping[str, object] | None = None) -> Reading:
    """The settings in force and where each came from. `given` are top-level keys of the command line; None means not given.

    Raises SettingsError with every problem of file and environment.
    """
    variables = os.environ if environ is None else environ
    options: dict[str, Any] = {key: value for key, value in (given or {}).items() if value is not None}
    path = config_path(variables, directory or Path.cwd())
    from_file = file_tree(path)
    problems = [unknown_variable(name, value, tuple(VARIABLES)) for name, value in sorted(variables.items()) if is_unknown(name, value)]

    class Sourced(Settings):
        @classmethod
        def outside(cls) -> tuple[PydanticBaseSettingsSource, ...]:
            return Environment(cls, variables), InitSettingsSource(cls, from_file)

    def origin(leaf_path: tuple[str, ...]) -> Place:
        if leaf_path[0] in options:
            return Place("command line", f"--{leaf_path[0]}", str(options[leaf_path[0]]))
        variable = PREFIX + leaf_path[-1].upper()
        if variable in VARIABLES and VARIABLES[variable].path == leaf_path and variables.get(variable):
            return Place("environment", variable, variables[variable])
        if path is not None and found(from_file, leaf_path):
            return Place("file", path.name)
        return Place("default", "")

    try:
        sourced = Sourced(**options)
    except ValidationError as error:
        problems += problems_of(error, origin)
        raise SettingsError(problems) from error
    if problems:
        raise SettingsError(problems)
    settings = Settings.model_construct(**dict(sourced))  # so that what `read` gives is of one class, and equal if it says the same
    return Reading(settings, tuple(in_force(leaf, settings, origin(leaf.path)) for leaf in LEAVES))


def load(environ: Mapping[str, str] | None = None, *, directory: Path | None = None, given: Mapping[str, object] | None = None) -> Settings:
    """`read` without the origins."""
    return read(environ, directory=directory, given=given).settings


def is_unknown(variable: str, value: str) -> bool:
    ours = variable.startswith(PREFIX) and not _NOT_OURS.fullmatch(variable) and not _ADDRESS.fullmatch(value)
    return ours and variable not in VARIABLES


def in_force(leaf: Leaf, settings: Settings, place: Place) -> InForce:
    value: Any = settings
    for part in leaf.path:
        value = getattr(value, part)
    return InForce(leaf.key, shown(value), place.origin, place.name, leaf.field.description or "")


def shown(value: Any) -> str:  # noqa: ANN401 - any setting's value
    """As JSON, secrets as stars."""
    return json.dumps(value, default=plain, ensure_ascii=False)


def plain(value: Any) -> Any:  # noqa: ANN401 - json.dumps' own signature
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    return dict(value) if isinstance(value, Mapping) else str(value)
