"""Folders, videos, files of results and interruptions of ``edgehrnet predict``."""

import csv
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet.cli import main
from edgehrnet.cli.progress import Progress
from edgehrnet.errors import WriteError
from edgehrnet.results.pictures import Overlays, Places


@pytest.fixture
def model(null_model):
    return str(null_model.path)


@pytest.fixture
def folder(tmp_path, null_model):
    picture = Image.fromarray(null_model.picture)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "sub/a.jpg"):
        picture.save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.md").touch()
    return tmp_path / "in"


def predict(*arguments):
    return main(["predict", *map(str, arguments)])


def blind_model(null_model, path):
    """A model that finds nothing."""
    outputs = {name: np.full_like(array, -9.0) for name, array in null_model.outputs.items()}
    spec = null_model.spec.replace(golden=None, name="document-test")
    runtimes.null.build(path, spec.to_json(), (64, 96), outputs)
    return path


class TestPrinting:
    def test_a_line_for_each_picture_and_totals(self, capsys, model, folder):
        assert predict(model, folder, "--recursive") == 0
        *lines, totals = capsys.readouterr().out.splitlines()
        assert lines == [f"{folder / name}  score 0.861: keypoints" for name in ("a.jpg", "b.png", "sub/a.jpg")]
        assert totals.startswith("3 pictures, 3 with keypoints; 1 file left out: 1 .md; ")

    def test_nothing_found(self, capsys, null_model, folder, tmp_path):
        assert predict(blind_model(null_model, tmp_path / "m.null"), folder) == 0
        assert capsys.readouterr().out.splitlines()[0].endswith("a.jpg  score 0.000: no document")

    def test_min_score_decides(self, capsys, model, folder):
        predict(model, folder, "--min-score", "0.9")
        assert "score 0.861: no keypoints" in capsys.readouterr().out

    def test_quiet_prints_errors_alone(self, capsys, model, folder):
        (folder / "aa.png").touch()
        assert predict(model, folder, "--quiet") == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "aa.png" in printed.err

    def test_a_missing_folder_does_not_stop_the_others(self, capsys, model, folder, tmp_path):
        assert predict(model, tmp_path / "none*.jpg", folder) == 2
        printed = capsys.readouterr()
        assert "none*.jpg" in printed.err
        assert printed.out.count("score") == 2
        assert "1 error" in printed.out

    def test_a_list_file(self, capsys, model, folder):
        (folder / "list.txt").write_text("b.png\nsub/a.jpg\n")
        assert predict(model, folder / "list.txt") == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:2]] == [
            str(folder / "b.png"),
            str(folder / "sub" / "a.jpg"),
        ]


class TestFiles:
    def test_every_file_in_one_run(self, capsys, model, folder, tmp_path):
        out = tmp_path / "new"
        files = {"--json": "a.json", "--jsonl": "a.jsonl", "--csv": "a.csv", "--coco": "c.json"}
        options = [word for option, name in files.items() for word in (option, out / name)]
        assert predict(model, folder, "--recursive", *options) == 0
        sources = [str(folder / name) for name in ("a.jpg", "b.png", "sub/a.jpg")]
        assert [row["source"] for row in json.loads((out / "a.json").read_text())] == sources
        assert [image["file_name"] for image in json.loads((out / "c.json").read_text())["images"]] == sources
        assert len(list(csv.DictReader((out / "a.csv").read_text().splitlines()))) == 12
        assert f"csv: {out / 'a.csv'}" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (["--csv", "x.csv", "--coco", "x.csv"], "x.csv"),
            (["--resume"], "--csv"),
            (["--json", "photo.jpg"], "photo.jpg"),
            (["rtsp://127.0.0.1/live", "--csv", "x.csv", "--resume"], "--resume"),
            (["--boxes", "none.json"], "none.json"),
        ],
    )
    def test_options_that_do_not_fit(self, capsys, model, folder, options, text, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert predict(model, folder, *options) == 2
        assert text in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == [folder]

    @pytest.mark.slow
    def test_a_killed_run_is_continued_without_repeating(self, capsys, model, null_model, tmp_path):
        for number in range(30):
            Image.fromarray(null_model.picture).save(tmp_path / f"{number:02}.png")
        options = [str(tmp_path), "--csv", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out"), "--heatmaps"]
        command = [sys.executable, "-u", "-m", "edgehrnet", "predict", model, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(5):
                process.stdout.readline()
            process.kill()
        done = len((tmp_path / "a.csv.partial").read_bytes().splitlines()) - 1
        assert 5 <= done <= 30
        assert predict(model, *options, "--resume") == 0
        printed = capsys.readouterr().out
        assert printed.count("score") == 30 - done
        assert f"{done} done before" in printed
        rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
        assert [row["image"] for row in rows][::4] == [str(tmp_path / f"{number:02}.png") for number in range(30)]
        assert len(list((tmp_path / "out").glob("*.png"))) == 30

    def test_overlays_alone_can_be_continued(self, capsys, model, folder, tmp_path):
        predict(model, folder, "--out", tmp_path / "out")
        (tmp_path / "out" / "b.keypoints.png").unlink()
        assert predict(model, folder, "--out", tmp_path / "out", "--resume") == 0
        assert capsys.readouterr().out.count("b.png  score") == 2

    @pytest.mark.parametrize(("option", "ending"), [("--out", "keypoints.png"), ("--rectify", "page.png")])
    def test_pictures_that_could_not_be_written_are_done_again(
        self, capsys, monkeypatch, model, folder, tmp_path, option, ending
    ):
        def full(picture, path):
            raise WriteError("disk full")

        command = (model, folder / "b.png", folder / "a.jpg", "--csv", tmp_path / "a.csv", option, tmp_path / "out")
        with monkeypatch.context() as patch:
            patch.setattr("edgehrnet.results.pictures.save_picture", full)
            assert predict(*command) == 2
        rows = (tmp_path / "a.csv").read_text()
        assert not list((tmp_path / "out").glob(f"*.{ending}"))
        for predicted in (2, 0):
            capsys.readouterr()
            assert predict(*command, "--resume") == 0
            assert capsys.readouterr().out.count("  score") == predicted
            assert [path.name for path in (tmp_path / "out").glob("b.*")] == [f"b.{ending}"]
        assert (tmp_path / "a.csv").read_text() == rows
        assert rows.count("b.png") == 4  # keypoints


class TestPictures:
    def test_overlays_and_pages_lie_as_the_pictures_do(self, model, folder, tmp_path):
        out = tmp_path / "out"
        assert predict(model, folder, "--recursive", "--out", out, "--rectify", out / "pages") == 0
        names = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
        assert names == [
            "a.keypoints.jpg",
            "b.keypoints.png",
            *("pages/a.page.jpg", "pages/b.page.png", "pages/sub/a.page.jpg"),
            "sub/a.keypoints.jpg",
        ]
        with Image.open(out / "pages" / "b.page.png") as page:
            assert page.width == pytest.approx(110, abs=5)

    def test_no_name_leads_out_of_the_folder(self, model, folder, tmp_path):
        (folder / "list.txt").write_text("../outside.png\n")
        (folder / "b.png").rename(tmp_path / "outside.png")
        assert predict(model, folder, folder / "list.txt", "--out", tmp_path / "x" / "out") == 0
        assert {path.parent for path in (tmp_path / "x").rglob("*.keypoints.*")} == {tmp_path / "x" / "out"}

    def test_no_page_where_nothing_is_found(self, null_model, folder, tmp_path):
        assert predict(blind_model(null_model, tmp_path / "m.null"), folder, "--rectify", tmp_path / "pages") == 0
        assert list((tmp_path / "pages").iterdir()) == []

    def test_pages_need_four_corners(self, capsys, null_model, folder, tmp_path):
        spec = null_model.spec.replace(cyclic=False, golden=None)
        runtimes.null.build(tmp_path / "m.null", spec.to_json(), (64, 96), null_model.outputs)
        assert predict(tmp_path / "m.null", folder, "--rectify", tmp_path / "pages") == 2
        assert "--rectify" in capsys.readouterr().err

    def test_pages_of_a_file_have_numbers(self, model, null_model, tmp_path):
        picture = Image.fromarray(null_model.picture)
        picture.save(tmp_path / "a.tif", save_all=True, append_images=[picture])
        assert predict(model, tmp_path / "a.tif", "--out", tmp_path / "out") == 0
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["a.000000.keypoints.png", "a.000001.keypoints.png"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://10.0.0.5:554/live?x=../..", "rtsp-10-0-0-5-554-live-x-.keypoints.mp4"),
        ("camera 0", "camera-0.keypoints.mp4"),
    ],
)
def test_live_sources_have_a_name_for_their_video(tmp_path, source, name):
    assert Overlays(Places(tmp_path, [], "keypoints")).path_of(source, 5) == tmp_path / name


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_a_terminal_shows_the_rate_and_the_time_that_remains(self, monkeypatch):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        progress = Progress(lambda: 1000)
        progress.show(10)
        progress.show(11)  # too soon
        progress.clear()
        shown = terminal.getvalue()
        assert re.fullmatch(r"\r\x1b\[K10 of 1000 pictures  [0-9.]+/s  [0-9:]+ left\r\x1b\[K", shown)

    @pytest.mark.parametrize(("kind", "count"), [(io.StringIO, 1000), (Terminal, 3)])
    def test_files_and_few_pictures_show_nothing(self, monkeypatch, kind, count):
        terminal = kind()
        monkeypatch.setattr(sys, "stderr", terminal)
        progress = Progress(lambda: count)
        progress.show(1)
        progress.clear()
        assert terminal.getvalue() == ""
