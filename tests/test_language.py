"""Docstrings read as plain English: no lists strung on semicolons, no sentence that opens with a question word."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("runtimes", "edgehrnet", "quant", "samples", "benchmarks", "tools")
OPENINGS = ("What", "Which", "Of", "Those", "Who", "How", "Whether")
MOST_SEMICOLONS = 0.08  # of all docstrings


def docstrings(package):
    """Every docstring of a package as (place, text)."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_open_with_what_the_thing_does(package):
    found = [f"{place} {text.splitlines()[0]}" for place, text in docstrings(package) if text.split()[0] in OPENINGS]
    assert not found


def test_few_docstrings_have_a_semicolon():
    texts = [(place, text) for package in PACKAGES for place, text in docstrings(package)]
    with_one = [place for place, text in texts if ";" in text]
    assert len(with_one) <= MOST_SEMICOLONS * len(texts), "\n".join(with_one)
