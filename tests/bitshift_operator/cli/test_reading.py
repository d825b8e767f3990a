"""The reader is a process of its own: its progress is told, and neither its death nor its silence is ours."""

import asyncio
import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from bitshift_core.artifact.errors import ArtifactError
from bitshift_operator.cli import reading
from bitshift_operator.cli.reading import patience, read_facts, uri_of
from tests.bitshift_operator.cli.artifacts import tiny_gguf

pytestmark = pytest.mark.long


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Put a shell script in the place of Python."""

    def put(script: str) -> None:
        path = tmp_path / "reader"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(reading.sys, "executable", str(path))

    return put


async def refusal_of(uri="https://m.example/x") -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        await read_facts(uri, None, lambda _: None)
    return caught.value


async def test_facts_come_from_the_reader_that_jobs_run_and_progress_is_told(tmp_path):
    told = []
    facts = await read_facts(uri_of(str(tiny_gguf(tmp_path / "m.gguf"))), None, told.append)

    assert (facts.architecture, facts.weights_digest) == ("llama", "")
    assert told == ["1 of 1 files", "1 of 1 headers"]


async def test_nothing_of_the_folder_that_one_stands_in_is_imported(tmp_path, monkeypatch):
    (tmp_path / "bitshift_runtime").mkdir()
    (tmp_path / "bitshift_runtime" / "__init__.py").write_text("raise SystemExit('hostile')")
    monkeypatch.chdir(tmp_path)

    assert (await read_facts(uri_of(str(tiny_gguf(tmp_path / "m.gguf"))), None, lambda _: None)).format == "gguf"


async def test_a_reader_that_dies_is_told_with_its_last_words(reader):
    reader("echo 'MemoryError' >&2; exit 3")
    refusal = await refusal_of()

    assert (refusal.reason, str(refusal)) == ("ReaderFailed", "The reader ended with status 3: MemoryError")


async def test_a_reader_that_says_nothing_for_too_long_is_ended(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_SECONDS", 0.3)
    reader(f"echo $$ > {tmp_path}/pid; exec sleep 100")
    refusal = await refusal_of()

    assert refusal.reason == "ArtifactUnreachable"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_person_who_gives_up_leaves_no_reader_behind(reader, tmp_path):
    reader(f"echo $$ > {tmp_path}/pid.part; mv {tmp_path}/pid.part {tmp_path}/pid; exec sleep 100")
    asking = asyncio.create_task(read_facts("https://m.example/x", None, lambda _: None))
    while not (tmp_path / "pid").exists():
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def shown(monkeypatch, quiet_seconds: float, *, terminal: bool) -> str:
    monkeypatch.setattr(reading, "QUIET_SECONDS", quiet_seconds)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    async with patience(console, "Reading [x]") as told:
        told("3 of 9 headers")
        for _ in range(50):
            await asyncio.sleep(0.01)
            if console.file.getvalue():
                break
    return console.file.getvalue()


async def test_who_waits_is_told_what_for_and_who_does_not_is_left_in_peace(monkeypatch):
    assert await shown(monkeypatch, 0, terminal=False) == "Reading [x]: 3 of 9 headers\n"
    assert "Reading [x]: 3 of 9 headers" in await shown(monkeypatch, 0, terminal=True)
    assert await shown(monkeypatch, 100, terminal=False) == ""


def test_a_path_becomes_a_uri_and_a_uri_stays_one():
    assert uri_of("m.gguf") == f"file://{Path.cwd()}/m.gguf"
    assert uri_of("hf://org/m") == "hf://org/m"
