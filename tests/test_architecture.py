"""What must stay true of the repository as a whole: layout, imports, generated files, what the README promises."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.crds import files

ROOT = Path(__file__).resolve().parents[1]
MACHINE_PATHS = re.compile(r"(?<![\w}.~])/(?:work|root|home)/|\.\./shared\b")


def tracked():
    """Return every text file that is, or is about to be, part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [path for name in listed.stdout.decode().splitlines() if (path := ROOT / name).is_file()]


@pytest.mark.parametrize("folder", ["operator", "runtime"])
def test_folders_that_play_the_part_of_src_hold_packages_and_no_modules(folder):
    assert list((ROOT / folder).glob("*.py")) == []


def test_no_test_folder_shadows_the_standard_library():
    assert not [path for path in (ROOT / "tests").rglob("operator") if path.is_dir()]


def test_test_folders_are_no_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_generated_crds_are_fresh():
    stale = [path.name for path, text in files().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run `make crds`"


def test_no_file_knows_the_machine_that_it_was_written_on():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {line}" for line in text.splitlines() if MACHINE_PATHS.search(line)]

    assert [line for line in found if not line.startswith("tests/test_architecture.py")] == []


def test_the_first_screen_of_the_readme_has_both_commands():
    first_screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25])

    assert "make demo" in first_screen
    assert "make test" in first_screen


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "charts/bitshift/README.md"])
def test_what_documents_link_to_exists(name):
    path = ROOT / name
    links = re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_verb_that_the_documents_name_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documents = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    verbs = set(re.findall(r"(?:`|^)make ([a-z0-9-]+)", documents, flags=re.MULTILINE))

    assert verbs
    benches = {f"bench-{path.stem}" for folder in ("e2e", "tests") for path in (ROOT / folder / "bench").glob("*.py")}
    assert {verb for verb in verbs - benches if not re.search(rf"^{verb}:", makefile, flags=re.MULTILINE)} == set()


def test_every_command_that_the_readme_shows_is_one_of_the_command_line():
    from bitshift_operator.cli import main

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = {word for line in re.findall(r"kubectl bitshift ([a-z |]+)", text) for word in line.split() if word != "|"}

    assert shown - {"chat"} <= set(main.commands)


def test_ci_runs_what_people_run():
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").rstrip().endswith("exec make test")
