"""`python -m quant.check`: what it prints, its exit status, and the sheet that it draws."""

import pytest
from PIL import Image

from quant import check


def run(capsys, *arguments):
    """Exit status, standard output and standard error."""
    status: int | str | None
    try:
        status = check.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def remark(level, place):
    """Spoil labels so that there is a remark of a level, which names a place."""
    changes = {
        "error": {"image_id": 999},
        "warning": {"bbox": [80, 50, 20, 20]},
        "dropped": {"keypoints": [9000, 10, 2] * 5},
        "derived": {"bbox": None},
    }
    return lambda people: people.annotations[place].update(changes[level])


def test_clean_labels_are_described(people, capsys):
    status, out, err = run(capsys, people.write())
    assert (status, err) == (0, "")
    assert "9 to learn or to find" in out
    assert "6, of which 6 have labeled keypoints" in out
    row = next(line for line in out.splitlines() if line.startswith("left_eye"))
    assert row.split() == ["left_eye", "9", "0", "0", "right_eye"]
    assert "no errors, warnings: 0" in out


@pytest.mark.parametrize("level", ["error", "warning", "dropped", "derived"])
def test_remarks_of_each_level_name_the_annotation(people, capsys, level):
    remark(level, 3)(people)
    status, out, err = run(capsys, people.write())
    assert status == (2 if level == "error" else 0)
    start = next(number for number, line in enumerate(out.splitlines()) if line.startswith(f"{level}: 1 x "))
    assert "annotation 4" in out.splitlines()[start + 1]
    assert ("errors: 1" in err) == (level == "error")


@pytest.mark.parametrize(("level", "status"), [("error", 2), ("warning", 2), ("dropped", 2), ("derived", 0)])
def test_strict_takes_warnings_for_errors(people, capsys, level, status):
    if level == "dropped":  # the points outside are a warning as well
        assert run(capsys, people.write(), "--strict")[0] == 0
    remark(level, 0)(people)
    assert run(capsys, people.write(), "--strict")[0] == status


def test_three_places_are_shown_and_the_others_counted(people, capsys):
    people.each(lambda entry: entry.update(bbox=None))
    _, out, _ = run(capsys, people.write())
    assert "derived: 9 x box" in out
    assert "and 6 more" in out
    assert out.count("annotation ") == 3


def test_all_errors_are_listed_at_once(people, capsys):
    people.annotations[0]["keypoints"] = [1, 2]
    people.annotations[1]["image_id"] = 999
    people.images[2]["file_name"] = "q3.png"
    status, out, err = run(capsys, people.write())
    assert status == 2
    assert out.count("error: 1 x ") == 3
    assert "errors: 3" in err


@pytest.mark.parametrize("spoil", [None, remark("error", 0)])
def test_a_sheet_is_drawn_with_errors_too(people, capsys, spoil):
    if spoil:
        spoil(people)
    status, out, _ = run(capsys, people.write(), "--out", people.folder / "sheet.png")
    assert status == (2 if spoil else 0)
    assert "sheet.png" in out
    with Image.open(people.folder / "sheet.png") as sheet:
        assert sheet.width > 1000
        assert sheet.convert("L").getextrema()[0] < 100


def test_no_sheet_is_drawn_without_an_instance(people, capsys):
    people.annotations.clear()
    assert run(capsys, people.write(), "--out", people.folder / "sheet.png")[0] == 2
    assert not (people.folder / "sheet.png").exists()


def test_the_folder_of_the_pictures_can_be_given(people, capsys):
    path = people.write("far/away/labels.json", pictures="pictures")
    assert run(capsys, path)[0] == 2
    assert run(capsys, path, "--images", people.folder / "pictures")[0] == 0
    empty = people.folder / "empty"
    empty.mkdir()
    status, out, _ = run(capsys, path, "--images", empty)
    assert status == 2
    assert str(empty / "p1.png") in out


def test_pairs_of_keypoints_can_be_given(people, capsys):
    people.category["keypoints"] = ["nose", "a", "b", "c", "d"]
    _, out, _ = run(capsys, people.write(), "--flip-pairs", "a=b", "d=c")
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines() if len(line.split()) == 5}
    assert (rows["a"], rows["b"], rows["c"], rows["d"]) == ("b", "a", "d", "c")
    assert run(capsys, people.write(), "--flip-pairs", "a=z")[0] == 2


def reordered(people, order):
    people.category["keypoints"] = [people.category["keypoints"][k] for k in order]
    people.category["skeleton"] = []
    people.each(lambda e: e.update(keypoints=[e["keypoints"][3 * k + part] for k in order for part in range(3)]))


def test_validation_labels_are_described_too_and_their_pictures_compared(people, capsys):
    path = people.write()
    for number, image in enumerate(people.images, start=1):
        image["file_name"] = f"other{number}.png"
    people.draw(people.folder / "val")
    for number in range(1, 7):
        (people.folder / "val" / f"p{number}.png").rename(people.folder / "val" / f"other{number}.png")
    reordered(people, [4, 2, 0, 1, 3])
    remark("derived", 8)(people)
    validation = people.folder / "val" / "val.json"
    people.write("val/val.json", pictures="unused")
    status, out, _ = run(capsys, path, "--val", validation)
    assert status == 0
    assert out.count("9 to learn or to find") == 2
    assert "val.json, annotation 9" in out
    assert "warning: 6 x pictures in both" in out
    assert run(capsys, path, "--val", validation, "--strict")[0] == 2


def test_validation_labels_with_other_keypoints_are_refused(people, capsys):
    path = people.write()
    people.category["keypoints"][0] = "tail"
    status, _, err = run(capsys, path, "--val", people.write("val.json"))
    assert status == 2
    assert "tail" in err
    assert "nose" in err


@pytest.mark.parametrize("name", ["nowhere.json", "", "p1.png"])
def test_paths_without_labels_are_refused(people, capsys, name):
    people.draw(people.folder)
    status, _, err = run(capsys, people.folder / name)
    assert status == 2
    assert str(people.folder / name) in err
