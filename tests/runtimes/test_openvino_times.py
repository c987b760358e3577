"""The layers of a compiled file are timed, and the smallest times are kept."""

from runtimes.openvino_times import LayerTimes


def test_the_times_of_layers_only_fall(openvino_model):
    times = LayerTimes(openvino_model.path)
    times.run()
    first = dict(times.layers())
    total = times.total
    for _ in range(5):
        times.run()
    later = dict(times.layers())
    assert later.keys() == first.keys()
    assert all(later[sources] <= first[sources] for sources in later)
    assert 0 < times.total <= total
    assert any("conv2d" in name for sources in later for name in sources)
