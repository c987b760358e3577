"""The browser package keeps the rules of the project: short files, exact versions, no addresses of registries."""

import json
from pathlib import Path

import pytest

WEB = Path(__file__).parent.parent / "web"
SOURCES = sorted(path for folder in ("src", "page", "tests", "benchmark") for path in (WEB / folder).rglob("*.*s"))
LONGEST = 300  # lines


def test_sources_were_found():
    assert {path.suffix for path in SOURCES} >= {".ts", ".mjs"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) < LONGEST


def test_versions_are_exact():
    versions = json.loads((WEB / "package.json").read_text())["devDependencies"]
    assert [name for name, version in versions.items() if not version.replace(".", "").isdigit()] == []


def test_lock_file_has_no_addresses():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/onnxruntime-web"]["integrity"]
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


def test_every_file_is_served_with_the_same_headers():
    lines = (WEB / "public" / "_headers").read_text().splitlines()
    headers = dict(line.strip().split(": ", 1) for line in lines[1:])
    assert lines[0] == "/*"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"  # with the next one, for threads
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "*" not in policy
