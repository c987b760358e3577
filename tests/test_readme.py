"""Every block of the README runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)


def test_it_is_one_screen():
    assert len(README.splitlines()) <= 70


def test_python_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = [content for language, content in BLOCKS if language == "python"]
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "overlay.png").is_file()
    assert (tmp_path / "page.png").is_file()


def test_make_targets_exist():
    # Running them here would run these tests within themselves. CI calls them.
    commands = [line for language, text in BLOCKS if language == "console" for line in text.splitlines()]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert commands == ["make demo", "make test"]
    assert {command.split()[1] for command in commands} <= targets


def test_text_blocks_are_installs():
    # tests/test_edge_install.py builds the wheel and installs it.
    text = [line for language, content in BLOCKS if language == "text" for line in content.splitlines()]
    assert [line for line in text if not line.startswith("pip ")] == []


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "checkpoints/README.md"]
)
def test_relative_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
