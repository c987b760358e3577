"""The public names of runtimes, and what it must not know of the layers above."""

import ast
import inspect
from pathlib import Path

import pytest

import runtimes
from runtimes import errors

SOURCES = sorted(Path(runtimes.__file__).parent.glob("*.py"))


def test_every_error_is_public():
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert len(classes) == 12
    assert set(runtimes.__all__) == classes | {"Runtime", "load"}
    assert all(hasattr(runtimes, name) for name in runtimes.__all__)


def test_no_error_is_about_specs():
    assert not [name for name in vars(errors) if "Spec" in name]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_texts_name_nothing_of_the_layers_above(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, nodes)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in texts if text not in docstrings and ("quant." in text or "edgehrnet." in text)]


def test_closed_errors_share_one_text():
    assert "load the file again" in str(errors.ClosedError())
    assert [path.name for path in SOURCES if "is closed" in path.read_text(encoding="utf-8")] == ["errors.py"]
