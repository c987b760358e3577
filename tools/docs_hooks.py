"""Fill the documentation site with pages that live elsewhere in the repository and with the commands' help texts.

MkDocs calls the ``on_...`` functions; see ``hooks`` in ``mkdocs.yml``.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# Page of the site -> file of the repository.
PAGES = {
    "model-card.md": "checkpoints/README.md",
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
# Links in those files -> links between pages of the site.
LINKS = {"docs/": "", **{source: page for page, source in PAGES.items()}}
MARKER = re.compile(r"^<!-- help: (.+) -->$", re.M)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that live outside the docs folder."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=_relinked((ROOT / source).read_text(encoding="utf-8"))))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each help marker by the help text of its command."""
    return MARKER.sub(lambda match: f"```text\n{help_text(match[1])}```", markdown)


def help_text(command: str) -> str:
    """Return what a command prints for ``--help``.

    >>> help_text("edgehrnet demo").splitlines()[0][:27]
    'usage: edgehrnet demo [-h] '
    """
    name, *arguments = command.removeprefix("python -m ").split()
    module = importlib.import_module("edgehrnet.cli" if name == "edgehrnet" else name)
    text = io.StringIO()
    # A fixed width and no colors: the page is the same on every machine.
    environment = mock.patch.dict(os.environ, {"COLUMNS": "86", "NO_COLOR": "1"})
    with environment, contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        module.main([*arguments, "--help"])
    return text.getvalue()


def _relinked(text: str) -> str:
    """Point the Markdown links of a file in the repository at the pages of the site."""

    def target(match: re.Match[str]) -> str:
        address = match[1].removeprefix("../")
        for start, replacement in LINKS.items():
            if address.startswith(start):
                address = replacement + address.removeprefix(start)
        return f"]({address})"

    return re.sub(r"\]\(([^)]+)\)", target, text)
