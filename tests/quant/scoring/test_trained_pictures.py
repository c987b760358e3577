"""Training settings tell which pictures of a data set were trained on, as far as they name it."""

import pytest
from PIL import Image

from quant.data.opening import open_data
from quant.scoring.trained_pictures import training_part, training_settings


@pytest.fixture
def data(tmp_path):
    """Three labeled pictures, without a fold."""
    folder = tmp_path / "points"
    folder.mkdir()
    rows = "".join(f"{number}.png,10,20\n" for number in range(3))
    (folder / "CollectedData.csv").write_text("scorer,me,me\nbodyparts,a,a\ncoords,x,y\n" + rows)
    for number in range(3):
        Image.new("RGB", (40, 30)).save(folder / f"{number}.png")
    return open_data(str(folder))


def numbers(paths):
    return None if paths is None else sorted(int(path.stem) for path in paths)


@pytest.mark.parametrize(
    ("settings", "trained"),
    [
        ({"data": "points"}, [0, 1, 2]),
        ({"data": "points/CollectedData.csv"}, [0, 1, 2]),
        ({"data": "points", "fold": [0, 3]}, [1, 2]),
        ({"data": "points", "fold": [3, 4]}, None),  # this part has no picture: the labels have changed
        ({"data": "points", "validation": "others.json"}, [0, 1, 2]),
        ({"data": "others.json", "validation": "points"}, []),
        ({"data": "others.json"}, None),
        ({"data": "synthetic:document-corners"}, None),
    ],
)
def test_settings_name_the_pictures(data, tmp_path, settings, trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert numbers(training_part(settings, data)) == trained


def test_only_checkpoints_have_settings(tmp_path):
    assert training_settings(tmp_path / "model.xml") == {}
