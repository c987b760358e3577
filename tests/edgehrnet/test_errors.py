"""One tree of errors: every class that the documentation names, with the built-in it doubles as."""

import inspect

import pytest

import edgehrnet.errors as errors
from edgehrnet.errors import EdgeHRNetError, UnknownKeywordError, check_keywords, nearest

BUILT_IN = {
    "MissingFileError": FileNotFoundError,
    "MissingImageError": FileNotFoundError,
    "UnknownSuffixError": ValueError,
    "DeviceError": ValueError,
    "MissingExtraError": ImportError,
    "WriteError": OSError,
    "RemoteError": ConnectionError,
    "RemoteTimeoutError": TimeoutError,
    "ClosedError": RuntimeError,
    "InputError": ValueError,
    "ImageError": ValueError,
    "SpecError": ValueError,
    "UnknownKeywordError": TypeError,
}


def test_every_error_belongs_to_the_tree():
    classes = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(classes) >= 15
    warnings = {value for value in classes if issubclass(value, UserWarning)}
    assert all(issubclass(value, EdgeHRNetError) for value in classes if value not in warnings)
    assert {value.__name__ for value in warnings} == {"ConfidenceWarning", "NoBoxesWarning", "SkippedPictureWarning"}
    assert {value.__name__ for value in classes} <= set(errors.__all__)


@pytest.mark.parametrize("name", BUILT_IN)
def test_errors_can_be_caught_as_built_in_errors(name):
    assert issubclass(getattr(errors, name), BUILT_IN[name])


def test_error_of_a_misspelled_keyword_names_the_call_and_the_nearest_keyword():
    @check_keywords
    def run(image, *, color="rgb", device=None):
        return image, color, device

    assert run(1, color="bgr", device="cpu") == (1, "bgr", "cpu")
    assert run(image=2) == (2, "rgb", None)
    with pytest.raises(UnknownKeywordError, match=r"run\(\).*'devise'.*'device'"):
        run(1, devise="cpu")  # type: ignore[call-arg] # misspelled on purpose
    with pytest.raises(TypeError):
        run()  # type: ignore[call-arg] # without a picture, on purpose


def test_without_a_near_name_the_accepted_ones_are_listed():
    assert nearest("qqq", {"b", "a"}) == "accepted: a, b"
