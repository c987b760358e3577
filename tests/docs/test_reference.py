"""The reference pages name everything that is public, and the numbers that are in the code."""

import re
from pathlib import Path

import pytest

import edgehrnet
from edgehrnet import certificate, spec
from edgehrnet.models import checkpoints
from tools import docs_hooks

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
EDGE = ("demo", "predict", "label", "benchmark", "info", "selfcheck", "models", "serve")
NOT_COMMANDS = ("__init__", "commandline")
COMMANDS = [f"edgehrnet {name}" for name in EDGE] + [
    f"python -m quant.{path.stem}" for path in sorted((ROOT / "quant").glob("*.py")) if path.stem not in NOT_COMMANDS
]


def test_every_public_name_is_on_the_python_page():
    documented = re.findall(r"^::: edgehrnet\.(\w+)$", (REFERENCE / "python.md").read_text(), re.M)
    assert sorted(documented) == sorted(set(edgehrnet.__all__) - {"__version__"})


def test_every_command_is_on_the_command_line_page():
    documented = docs_hooks.MARKER.findall((REFERENCE / "command-line.md").read_text())
    assert sorted(documented) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_text_is_that_of_the_command(command):
    assert docs_hooks.help_text(command).startswith(f"usage: {command} ")


def test_the_public_page_names_every_command():
    text = (REFERENCE / "public.md").read_text()
    assert set(re.findall(r"edgehrnet \{(.+?)\}", text)[0].split(",")) == set(EDGE)
    names = {command.rpartition(".")[2] for command in COMMANDS if "quant" in command}
    assert set(re.findall(r"quant\.\{(.+?)\}", text)[0].split(",")) == names


def test_format_numbers_are_those_of_the_code():
    text = (REFERENCE / "files.md").read_text()
    assert set(re.findall(r"\| spec (\d+) \|", text)) == {str(spec.FORMAT)}
    assert re.findall(r"\| checkpoint (\d+) \|", text) == [str(checkpoints.VERSION)]
    assert re.findall(r"\| certificate (\d+) \|", text) == [str(certificate.FORMAT)]


def test_links_of_included_files_lead_to_pages_of_the_site():
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*") if path.is_file()}
    for source in docs_hooks.PAGES.values():
        text = docs_hooks._relinked((ROOT / source).read_text())
        links = re.findall(r"\]\(([^)#:]+)\)", text)
        assert [link for link in links if link not in pages | set(docs_hooks.PAGES)] == []
