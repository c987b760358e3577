import threading
from collections.abc import Generator
from contextlib import ExitStack

from edgehrnet.reading import reading_ahead
from edgehrnet.sources.latest import Latest


def test_reading_ends_in_one_of_its_own_threads():
    context, errors = ExitStack(), []
    opened, ended = threading.Event(), threading.Event()

    def read(number):
        if number == 1:  # as garbage collection does there
            assert opened.wait(60)
            try:
                context.close()
            except RuntimeError as error:
                errors.append(error)
            ended.set()
        return number

    outcomes = context.enter_context(reading_ahead(range(3), read, waits=False))
    assert next(outcomes)() == 0
    opened.set()
    assert ended.wait(60)
    assert errors == []


def test_a_live_source_ends_in_the_thread_that_takes_its_frames():
    errors: list[RuntimeError] = []
    opened, ended = threading.Event(), threading.Event()

    def items():
        yield 0
        assert opened.wait(60)
        try:
            close()
        except RuntimeError as error:
            errors.append(error)
        ended.set()

    frames = iter(Latest(items()))
    assert isinstance(frames, Generator)
    close = frames.close
    assert next(frames).picture == 0
    opened.set()
    assert ended.wait(60)
    assert errors == []
