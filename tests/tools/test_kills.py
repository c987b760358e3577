"""The tool finds files that a kill has damaged, lost or mixed."""

import pytest

pytest.importorskip("torch")

from runtimes.writing import HIDDEN
from tools.kills.cases import Case
from tools.kills.reading import final_files, finish, leftovers, problems

CASE = Case("a", "a", "", together=(("m.*",),))
OLD = {"m.json": "[0]", "m.html": "<html></html>", "n.json": "{}"}
NEW = {"m.json": "[1]", "m.html": "<html>1</html>", "n.json": "{}"}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def found(folder, files):
    write(folder, files)
    old, new = ({name: text.encode() for name, text in content.items()} for content in (OLD, NEW))
    return "\n".join(problems(CASE, folder, old, new))


@pytest.mark.parametrize("files", [OLD, NEW])
def test_the_older_and_the_newer_files_are_right(tmp_path, files):
    assert found(tmp_path, {**files, f"{HIDDEN}/x/m.json": "[", "n.json.partial": "{"}) == ""
    assert len(leftovers(tmp_path)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"m.json": "["}, "m.json cannot be read"),
        ({"m.html": "<html>"}, "m.html cannot be read"),
        ({"n.json": "[2]"}, "n.json is neither"),
        ({"m.json": OLD["m.json"]}, "m.json m.html are new and old"),
        ({"half.json": "{}"}, "half.json is no name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, said):
    assert said in found(tmp_path, {**NEW, **change})


def test_a_lost_file_is_named(tmp_path):
    assert "n.json was there before" in found(tmp_path, {name: NEW[name] for name in ("m.json", "m.html")})


def test_what_was_decided_is_finished_first(tmp_path):
    write(tmp_path, {**OLD, f"{HIDDEN}/whole/m.json": NEW["m.json"]})
    assert finish(tmp_path)
    assert final_files(tmp_path)["m.json"] == NEW["m.json"].encode()
    assert not finish(tmp_path)
