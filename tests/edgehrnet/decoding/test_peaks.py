import numpy as np

from edgehrnet.decoding.peaks import find_peaks, peak_cells
from edgehrnet.spec import ModelSpec
from quant.data.codecs import gaussian_heatmaps, offset_maps

SHAPE = (40, 48)
GRID = ModelSpec("test", ("a",)).grid


def test_finds_several_instances_in_one_channel():
    cells = np.array([(5.3, 6.2), (30.8, 10.1), (20.0, 33.4)])
    points, present = GRID.to_pixels(cells), np.ones(3, bool)
    heat = gaussian_heatmaps(points, present, GRID, SHAPE)[None]
    offsets = offset_maps(points, present, GRID, SHAPE)[0].reshape(1, 6, *SHAPE)
    merged = heat[0].max(axis=0)
    nearest = heat[0].argmax(axis=0)
    pair = offsets[0].reshape(3, 2, *SHAPE)
    field = np.take_along_axis(pair, nearest[None, None], axis=0)[0]
    peaks = find_peaks(merged, field)
    found = peaks[np.lexsort((peaks[:, 1], peaks[:, 0]))][:, :2]
    np.testing.assert_allclose(found, cells[[0, 2, 1]], atol=1e-5)
    assert (np.diff(peaks[:, 2]) <= 0).all()
    assert len(find_peaks(merged, field, limit=2)) == 2
    assert len(find_peaks(merged, field, threshold=1.1)) == 0


def test_equal_neighbors_are_one_peak():
    heat = np.zeros((9, 9), np.float32)
    heat[4, 4:6] = 0.8
    assert len(find_peaks(heat)) == 1


def test_the_mask_hides_peaks():
    heat = np.zeros((9, 9), np.float32)
    heat[1, 1], heat[6, 6] = 0.9, 0.4
    mask = np.ones((9, 9), bool)
    assert peak_cells(heat[None], limit=5, threshold=0.1, mask=mask) == [[(1, 1), (6, 6)]]
    mask[:4] = False
    assert peak_cells(heat[None], limit=5, threshold=0.1, mask=mask) == [[(6, 6)]]


def test_peaks_equal_a_search_around_every_cell():
    rng = np.random.default_rng(0)
    for radius in (1, 2, 3):
        heat = rng.integers(0, 12, (20, 24)).astype(np.float32) / np.float32(12)  # with many equal cells
        around = np.lib.stride_tricks.sliding_window_view(np.pad(heat, radius), (2 * radius + 1,) * 2).max(axis=(2, 3))
        wanted = {(x, y) for y, x in zip(*np.nonzero((heat >= around) & (heat >= 0.5)), strict=True)}
        (found,) = peak_cells(heat[None], limit=1000, threshold=0.5, radius=radius)
        assert set(found) <= wanted
        # A local maximum is only left out next to an equal one that came before it.
        for x, y in wanted - set(found):
            assert any(max(abs(x - a), abs(y - b)) <= radius and heat[y, x] == heat[b, a] for a, b in found)


def test_peaks_of_several_maps_are_those_of_each_map(monkeypatch):
    heat = np.random.default_rng(0).uniform(0, 1, (3, 20, 24)).astype(np.float32)
    heat[1] = 0
    monkeypatch.setattr("edgehrnet.decoding.peaks.CELLS", 100)
    found = peak_cells(heat, limit=7, threshold=0.3)
    assert [len(cells) for cells in found] == [7, 0, 7]
    assert found == [peak_cells(one[None], limit=7, threshold=0.3)[0] for one in heat]
