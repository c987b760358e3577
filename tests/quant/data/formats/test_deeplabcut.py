"""Labels of DeepLabCut and Lightning Pose, written by pandas as these tools write them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError, MissingExtraError
from quant.data.annotations import Annotations
from quant.data.formats.deeplabcut import read_deeplabcut
from quant.data.labeled import Labeled
from quant.data.opening import open_data

pandas = pytest.importorskip("pandas")

SHARED = Path(__file__).parents[5] / "shared" / "data"
PARTS = ("snout", "l_ear", "r_ear", "base")  # not in alphabetical order
WIDTH, HEIGHT = 120, 90
NAN = float("nan")


def opened(path: Path, **options) -> Annotations:
    data = open_data(str(path), **options)
    assert isinstance(data, Labeled)
    return data.annotations


def points(seed: int, count: int, individuals: int = 1) -> np.ndarray:
    """Random points ``(N, I, K, 2)`` with one that is not labeled."""
    values = np.random.default_rng(seed).uniform(5, 85, (count, individuals, len(PARTS), 2))
    values[0, 0, 1] = NAN
    return values


def columns(parts: Sequence[str] = PARTS, coords: Sequence[str] = ("x", "y")):
    return pandas.MultiIndex.from_product([["Ann"], parts, coords], names=["scorer", "bodyparts", "coords"])


def frame(values, index, columns=None):
    columns = globals()["columns"]() if columns is None else columns
    return pandas.DataFrame(np.reshape(values, (len(index), -1)), index=index, columns=columns)


def three_levels(names: Sequence[str]):
    return pandas.MultiIndex.from_tuples([tuple(name.split("/")) for name in names])


def pictures(root: Path, video: str, count: int = 3) -> list[str]:
    """Save pictures of a video, and return their paths in the project."""
    folder = root / "labeled-data" / video
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"img{7 * number:03}.png" for number in range(count)]
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    return [f"labeled-data/{video}/{name}" for name in names]


def save(table, path: Path) -> Path:
    """Save a table as DeepLabCut does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".h5":
        table.to_hdf(path, key="df_with_missing", mode="w")
    else:
        table.to_csv(path)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the config of a project."""
    root = tmp_path / "reach-Ann-2026-01-05"
    root.mkdir()
    (root / "config.yaml").write_text(
        "Task: reach\nscorer: Ann\nvideo_sets: {}\nskeleton:\n- - snout\n  - base\n- - r_ear\n  - gone\nbodyparts: []\n"
    )
    return root


def check(found: Annotations, expected, names: Sequence[str] = PARTS) -> None:
    """Compare the keypoints and the order of all instances."""
    expected = np.reshape(expected, (-1, len(names), 2))
    expected = expected[np.isfinite(expected).any(axis=(1, 2))]
    assert found.keypoints == tuple(names)
    assert len(found.instances) == len(expected)
    for instance, values in zip(found.instances, expected, strict=True):
        labeled = np.isfinite(values).all(axis=1)
        assert instance.visibility.tolist() == (2 * labeled).tolist()
        assert np.abs(instance.points[labeled] - values[labeled]).max() < 0.01


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
@pytest.mark.parametrize("index", ["one column", "backslashes", "three columns"])
def test_a_project_and_its_parts_are_read(project: Path, suffix: str, index: str) -> None:
    values = {video: points(seed, 3) for seed, video in enumerate(("vid2", "vid10"))}
    for video, xy in values.items():
        names = pictures(project, video)
        rows = {"backslashes": [name.replace("/", "\\") for name in names], "three columns": three_levels(names)}
        save(frame(xy, rows.get(index, names)), project / "labeled-data" / video / f"CollectedData_Ann{suffix}")
    everything = np.concatenate([values["vid10"], values["vid2"]])
    for path in (project, project / "labeled-data", project / "config.yaml"):
        found = opened(path)
        check(found, everything)
        assert found.name == "reach-Ann-2026-01-05"
        assert found.skeleton == ((0, 3),)
        assert found.flip_pairs == ((1, 2),)
    assert [p.path.relative_to(project).as_posix() for p in opened(project).pictures[:4]] == [
        *(f"labeled-data/vid10/img{n:03}.png" for n in (0, 7, 14)), "labeled-data/vid2/img000.png",
    ]  # fmt: skip
    folder = project / "labeled-data" / "vid2"
    for path in (folder, folder / f"CollectedData_Ann{suffix}"):
        found = opened(path)
        check(found, values["vid2"])
        assert (found.name, found.skeleton) == ("vid2", ((0, 3),))


def test_where_both_kinds_of_table_lie_the_csv_is_read(project: Path) -> None:
    names, xy = pictures(project, "vid"), points(0, 3)
    table = frame(xy, names)
    save(table, project / "labeled-data" / "vid" / "CollectedData_Ann.csv")
    other = save(table + 1, project / "labeled-data" / "vid" / "CollectedData_Ann.h5")
    check(opened(project), xy)
    check(opened(other), xy + 1)


def test_the_merged_table_of_a_training_set_finds_the_pictures_of_its_project(project: Path) -> None:
    names = [*pictures(project, "a"), *pictures(project, "b")]
    folder = project / "training-datasets" / "iteration-0" / "UnaugmentedDataSet_reachJan5"
    folder.mkdir(parents=True)
    xy = points(0, 6)
    check(opened(save(frame(xy, three_levels(names)), folder / "CollectedData_Ann.h5")), xy)


@pytest.mark.parametrize("prefix", ["C:\\Users\\ann\\reach-Ann-2026-01-05\\", "/home/ann/reach-Ann-2026-01-05/"])
def test_pictures_of_another_machine_are_found_in_the_project(project: Path, prefix: str) -> None:
    # The same file names in two videos: their folders must be told apart.
    names = [*pictures(project, "a"), *pictures(project, "b")]
    separator = "\\" if "\\" in prefix else "/"
    table = frame(points(0, 6), [prefix + name.replace("/", separator) for name in names])
    found = opened(save(table, project / "CollectedData.csv"))
    assert [picture.path.relative_to(project).as_posix() for picture in found.pictures] == names


def test_a_copied_video_folder_and_another_folder_of_pictures_are_read(project: Path, tmp_path: Path) -> None:
    names, xy = pictures(project, "vid"), points(0, 3)
    folder = (project / "labeled-data" / "vid").rename(tmp_path / "copied")
    table = save(frame(xy, three_levels(names)), folder / "CollectedData_Ann.csv")
    check(opened(folder), xy)
    check(opened(table.rename(project / table.name), images=str(folder)), xy)


def test_an_own_folder_wins_over_the_place_that_a_table_names(tmp_path: Path) -> None:
    xy, copy = points(0, 3), tmp_path / "copy"
    names = [str(tmp_path / "original" / name) for name in pictures(tmp_path / "original", "vid")]
    pictures(copy, "vid")
    path = save(frame(xy, names), tmp_path / "tables" / "CollectedData.csv")
    check(opened(path, images=str(copy)), xy)
    assert all(picture.path.is_relative_to(copy) for picture in opened(path, images=str(copy)).pictures)


def test_a_picture_outside_the_folders_is_refused(tmp_path: Path) -> None:
    names = [str(tmp_path / "original" / name) for name in pictures(tmp_path / "original", "vid")]
    path = save(frame(points(0, 3), names), tmp_path / "far" / "away" / "CollectedData.csv")
    with pytest.raises(InputError, match=r"away/CollectedData\.csv, line 4: .*img000\.png"):
        open_data(str(path))


def test_tables_of_several_views_are_read_together_and_one_alone(tmp_path: Path) -> None:
    views = {}
    for seed, view in enumerate(("top", "bot")):
        xy = points(seed, 3)
        order = [3, 1, 0, 2] if view == "top" else [0, 1, 2, 3]
        table = frame(xy[:, :, order], pictures(tmp_path, f"session0_{view}"), columns([PARTS[k] for k in order]))
        save(table, tmp_path / f"CollectedData_{view}.csv")
        views[view] = xy
    # The first table in order of names sets the order of the keypoints.
    check(opened(tmp_path), np.concatenate([views["bot"], views["top"]]))
    top = opened(tmp_path / "CollectedData_top.csv")
    check(top, views["top"][:, :, [3, 1, 0, 2]], ["base", "l_ear", "snout", "r_ear"])


def test_the_table_for_tests_is_left_out_and_read_alone(tmp_path: Path) -> None:
    xy = points(0, 3)
    save(frame(xy, pictures(tmp_path, "a")), tmp_path / "CollectedData.csv")
    new = save(frame(xy + 1, pictures(tmp_path, "b")), tmp_path / "CollectedData_new.csv")
    found = opened(tmp_path)
    check(found, xy)
    assert any(str(new) in remark.text() for remark in found.remarks.of("dropped"))
    check(opened(new), xy + 1)


def test_the_table_of_the_projects_scorer_is_chosen(project: Path) -> None:
    names, xy = pictures(project, "vid"), points(0, 3)
    save(frame(xy, names), project / "labeled-data" / "vid" / "CollectedData_Ann.csv")
    bob = save(frame(xy + 1, names), project / "labeled-data" / "vid" / "CollectedData_Bob.csv")
    found = opened(project)
    check(found, xy)
    assert any(str(bob) in remark.text() for remark in found.remarks.of("dropped"))
    check(opened(bob), xy + 1)
    (project / "config.yaml").unlink()
    with pytest.raises(
        InputError, match=r"img000\.png in vid/CollectedData_Ann\.csv, line 4 and vid/CollectedData_Bob"
    ):
        open_data(str(project))


def test_a_scorer_called_new_has_no_table_for_tests(project: Path) -> None:
    (project / "config.yaml").write_text("scorer: 'new'\n")
    names, xy = pictures(project, "vid"), points(0, 3)
    save(frame(xy, names), project / "labeled-data" / "vid" / "CollectedData_new.csv")
    save(frame(xy + 1, names), project / "labeled-data" / "vid" / "CollectedData.csv")
    check(opened(project), xy)


def test_other_keypoints_in_a_further_table_are_refused_with_both_lists(project: Path) -> None:
    for video, parts in (("a", PARTS), ("b", ("snout", "ear", "r_ear", "base"))):
        table = frame(points(0, 3), pictures(project, video), columns(parts))
        save(table, project / "labeled-data" / video / "CollectedData_Ann.csv")
    with pytest.raises(InputError, match=r"snout, ear, r_ear, base.* snout, l_ear, r_ear, base"):
        open_data(str(project))


def individuals_frame(values, index, unique: Sequence[str] = ()):
    """A table of two animals, and of further keypoints of DeepLabCut's individual ``single``."""
    heads = [("Ann", animal, part, coord) for animal in ("m1", "m2") for part in PARTS for coord in "xy"]
    heads += [("Ann", "single", part, coord) for part in unique for coord in "xy"]
    names = ["scorer", "individuals", "bodyparts", "coords"]
    values = np.reshape(values, (len(index), -1))
    corners = np.full((len(index), 2 * len(unique)), 3.0)
    return frame(np.c_[values, corners], index, pandas.MultiIndex.from_tuples(heads, names=names))


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
@pytest.mark.parametrize("unique", [(), ("corner2", "corner1")])
def test_each_individual_is_an_instance(project: Path, suffix: str, unique: Sequence[str]) -> None:
    names, xy = pictures(project, "vid"), points(0, 3, individuals=2)
    xy[1, 0] = xy[2] = NAN  # one animal, and none
    table = individuals_frame(xy, three_levels(names), unique)
    save(table, project / "labeled-data" / "vid" / f"CollectedData_Ann{suffix}")
    found = opened(project)
    check(found, xy)
    assert [instance.picture.path.name for instance in found.instances] == ["img000.png", "img000.png", "img007.png"]
    assert [instance.source.split(", ")[-1] for instance in found.instances] == ["m1", "m2", "m2"]
    assert len(found.pictures) == 3
    dropped = [remark.text() for remark in found.remarks.of("dropped") if "single" in remark.text()]
    assert len(dropped) == bool(unique)
    assert all("corner2, corner1" in text for text in dropped)
    assert open_data(str(project)).spec.crop == "hrnet"


def test_an_only_individual_called_single_is_the_animal(tmp_path: Path) -> None:
    names = ["scorer", "individuals", "bodyparts", "coords"]
    xy = points(0, 3)
    heads = pandas.MultiIndex.from_product([["Ann"], ["single"], PARTS, ["x", "y"]], names=names)
    check(opened(save(frame(xy, pictures(tmp_path, "vid"), heads), tmp_path / "CollectedData_Ann.csv")), xy)


def test_likelihoods_are_not_used(tmp_path: Path) -> None:
    xy = points(0, 3)
    values = np.concatenate([xy, np.full((*xy.shape[:-1], 1), 0.01)], axis=-1)
    heads = columns(coords=("x", "y", "likelihood"))
    found = opened(save(frame(values, pictures(tmp_path, "vid"), heads), tmp_path / "predictions.csv"))
    check(found, xy)
    assert any("likelihood" in remark.text() for remark in found.remarks.of("warning"))


def test_names_of_the_index_columns_are_not_a_picture(tmp_path: Path) -> None:
    names, xy = pictures(tmp_path, "vid"), points(1, 3)
    table = frame(xy, pandas.Index(names, name="image"))
    path = save(table, tmp_path / "CollectedData.csv")
    assert "\nimage," in path.read_text()
    check(opened(path), xy)


def test_a_table_that_pandas_has_read_and_written_again_is_read(tmp_path: Path) -> None:
    names, xy, path = pictures(tmp_path, "vid"), points(1, 3), tmp_path / "CollectedData.csv"
    save(frame(xy, three_levels(names)), path)
    save(pandas.read_csv(path, header=[0, 1, 2], index_col=0), path)
    assert "Unnamed: 2_level_2" in path.read_text()
    check(opened(path), xy)


def test_hdf5_in_the_format_of_older_versions_is_read(tmp_path: Path) -> None:
    names, xy, path = pictures(tmp_path, "vid"), points(1, 3), tmp_path / "CollectedData_Ann.h5"
    frame(xy, names).to_hdf(path, key="df_with_missing", format="table", mode="w")
    check(opened(path), xy)


def test_columns_are_taken_by_their_names(tmp_path: Path) -> None:
    (name, *_), path = pictures(tmp_path, "vid"), tmp_path / "CollectedData.csv"
    path.write_text(f"scorer,m,m,m,m\nbodyparts,p,q,p,q\ncoords,y,x,x,y\n{name},1,2,3,4\n")
    check(opened(path), [[3, 1], [2, 4]], ["p", "q"])


HEAD = "scorer,m,m,m,m\nbodyparts,p,p,q,q\ncoords,x,y,x,y\n"


@pytest.mark.parametrize("cell", ["nan", "NaN", "", " ", "inf", "-inf", "1e8"])
def test_cells_without_a_coordinate_are_not_labeled(tmp_path: Path, cell: str) -> None:
    (name, *_), path = pictures(tmp_path, "vid"), tmp_path / "CollectedData.csv"
    path.write_text(HEAD + f"{name},{cell},{cell},7,8\n")
    found = opened(path)
    check(found, [[NAN, NAN], [7, 8]], ["p", "q"])
    remarks = [remark.text() for remark in found.remarks.of("dropped")]
    assert len(remarks) == (cell in ("inf", "-inf", "1e8"))
    assert all("CollectedData.csv, line 4" in text for text in remarks)


@pytest.mark.parametrize("cell", ["1.5px", "1_0", "\u0663", "1,5", "-"])
def test_a_cell_that_is_not_a_number_is_named(tmp_path: Path, cell: str) -> None:
    (name, *_), path = pictures(tmp_path, "vid"), tmp_path / "CollectedData.csv"
    path.write_text(HEAD + f'{name},1,2,3,4\n\n{name},1,"{cell}",3,4\n', encoding="utf-8")
    with pytest.raises(InputError, match=rf"CollectedData\.csv, line 6, column 3 is '{cell}'"):
        open_data(str(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("scorer|m|m\nbodyparts|p|p\ncoords|x|y\na.png|1|2\n", r"scorer\|m\|m"),
        ("scorer,m,m\nbodyparts,p,p\ncoords,x,z\na.png,1,2\n", "'p'.*x, z"),
        ("scorer,m,m\nbodyparts,p,p\ncoords,x,x\na.png,1,2\n", "'x' of 'p'"),
        ("scorer,m,m\nbodyparts,p,\ncoords,x,y\na.png,1,2\n", "bodyparts"),
        ("scorer,m,m\nbodyparts,p,p\ncoords,x,y\n0,1,2\n", "line 4.*'0'"),
        ("scorer,m,m\nbodyparts,p,p\ncoords,x,y\n,1,2\n", "line 4.*''"),
        ("scorer,m,m\nbodyparts,p,p\ncoords,x,y\na\0.png,1,2\n", r"CollectedData_x.*(a\\x00\.png|NUL)"),
        ("scorer,,,\nbodyparts,,,\ncoords,,,\na,b,c.png\n", "CollectedData"),
    ],
)
def test_a_table_of_another_layout_is_refused(tmp_path: Path, text: str, value: str) -> None:
    (tmp_path / "CollectedData_x.csv").write_text(text)
    with pytest.raises(InputError, match=value):
        open_data(str(tmp_path))


def test_a_repeated_row_is_read_once_and_a_contradicting_one_refused(tmp_path: Path) -> None:
    (name, *_), path = pictures(tmp_path, "vid"), tmp_path / "CollectedData.csv"
    path.write_text(HEAD + f"{name},,,,\n{name},1,2,3,4\n{name},1,2,3,4\n{name},,,,\n")
    found = opened(path)
    check(found, [[1, 2], [3, 4]], ["p", "q"])
    assert len(found.pictures) == 1
    path.write_text(HEAD + f"{name},1,2,3,4\n./{name},1,2,3,5\n")
    with pytest.raises(InputError, match=r"img000\.png.*line 4.*line 5"):
        open_data(str(path))


def test_hdf5_without_its_packages_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(frame(points(0, 3), pictures(tmp_path, "vid")), tmp_path / "CollectedData_Ann.h5")
    for package in ("tables", "pandas"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtraError, match=r"edgehrnet\[formats\]"):
                open_data(str(path))


def test_csv_and_project_need_no_further_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xy = points(0, 3)
    save(frame(xy, pictures(project, "vid")), project / "labeled-data" / "vid" / "CollectedData_Ann.csv")
    for package in ("pandas", "tables", "yaml"):
        monkeypatch.setitem(sys.modules, package, None)
    found = opened(project)
    check(found, xy)
    assert found.skeleton == ()
    assert any("config.yaml" in remark.text() for remark in found.remarks.of("dropped"))


@pytest.mark.parametrize(
    "text", ["skeleton: [", "skeleton: 3\n", "skeleton:\n- 3\n- [[], {}]\n", "skeleton:\n", "- a\n"]
)
def test_a_damaged_config_only_costs_the_skeleton(project: Path, text: str) -> None:
    (project / "config.yaml").write_text(text)
    xy = points(0, 3)
    save(frame(xy, pictures(project, "vid")), project / "labeled-data" / "vid" / "CollectedData_Ann.csv")
    found = opened(project)
    check(found, xy)
    assert found.skeleton == ()


def test_a_damaged_hdf5_and_one_without_a_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "CollectedData_Ann.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"CollectedData_Ann\.h5"):
        open_data(str(path))
    pandas.DataFrame({"x": [1.0]}).to_hdf(path, key="other", mode="w")
    with pytest.raises(InputError, match=r"CollectedData_Ann\.h5"):
        open_data(str(path))


def test_a_csv_and_an_hdf5_of_another_kind_are_no_labels(tmp_path: Path) -> None:
    for name in ("other.csv", "other.h5"):
        (tmp_path / name).write_text("a,b\n1,2\n")
        with pytest.raises(InputError, match=name):
            open_data(str(tmp_path / name))


@pytest.mark.skipif(not (SHARED / "mirror-mouse").is_dir(), reason="not here: ../shared/data/mirror-mouse")
def test_the_mirror_mouse_table_is_read_as_pandas_reads_it() -> None:
    path = SHARED / "mirror-mouse" / "CollectedData.csv"
    table = pandas.read_csv(path, header=[0, 1, 2], index_col=0)
    names = list(dict.fromkeys(table.columns.get_level_values(1)))
    for found in (opened(path), opened(path.parent), read_deeplabcut(path)):
        check(found, table.to_numpy(), names)
        assert found.name == "mirror-mouse"
        assert [picture.path.relative_to(path.parent).as_posix() for picture in found.pictures] == list(table.index)
