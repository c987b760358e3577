"""Files appear whole or not at all, several together, whatever happens to the process or the disk."""

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import runtimes
import runtimes.null
from runtimes.errors import WriteError
from runtimes.writing import HIDDEN, append_line, finish_writing, new_files, write_file

NAMES = ("m.xml", "m.bin", "m.certificate.json")
# Kills up to 200 processes that write files which belong together, at random moments, and checks what a reader finds.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from runtimes.writing import HIDDEN, finish_writing, new_files

folder, names, chance = Path(sys.argv[1]), sys.argv[2:], random.Random(0)

def write(number):
    with new_files(folder / names[0]) as own:
        for name in names:
            (own / name).write_bytes(b"%08d" % number * 4000)

started = time.perf_counter()
for number in range(5):
    write(number)
usual = (time.perf_counter() - started) / 5
newest = unfinished = half = 0
for _ in range(200):
    if time.perf_counter() > started + 8:
        break  # a slow disk
    child = os.fork()
    if not child:
        for number in range(newest + 1, newest + 10**6):
            write(number)
    time.sleep(chance.uniform(0, 2 * usual))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    unfinished += (folder / HIDDEN).is_dir()
    half += (folder / HIDDEN / "whole").is_dir()
    finish_writing(folder)
    found = {(folder / name).read_bytes() for name in names}
    assert len(found) == 1, "files of several writings"
    content = found.pop()
    number = int(content[:8])
    assert content == b"%08d" % number * 4000 and number >= newest, (number, newest)
    newest = number
print(newest, unfinished, half)
"""


def content_of(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("content", ["a\n", b"a\n", lambda path: path.write_text("a\n")], ids=["text", "bytes", "call"])
def test_writes_one_file(tmp_path, content):
    (tmp_path / "a.txt").write_text("before")
    write_file(tmp_path / "a.txt", content)
    assert content_of(tmp_path) == {"a.txt": "a\n"}


def fail_with(error):
    def write(path):
        path.write_text("half")
        raise error

    return write


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_leaves_the_file_as_it_was_and_names_it(tmp_path, error):
    path = tmp_path / "a.txt"
    for before in ({}, {"a.txt": "before"}):
        with pytest.raises(WriteError, match=rf"a\.txt.*{error.args[-1]}") as caught:
            write_file(path, fail_with(error))
        assert HIDDEN not in str(caught.value)
        assert content_of(tmp_path) == before
        path.write_text("before")


def test_a_disk_that_is_full_at_the_second_file_keeps_both(tmp_path):
    def write():
        with new_files(tmp_path / "m.xml") as folder:
            (folder / "m.xml").write_text("new")
            write_file(folder / "m.bin", fail_with(OSError(errno.ENOSPC, "No space left on device")))

    for name in NAMES:
        (tmp_path / name).write_text("before")
    with pytest.raises(WriteError, match=r"m\.xml"):
        write()
    assert content_of(tmp_path) == dict.fromkeys(NAMES, "before")


def test_an_error_that_is_not_of_the_disk_is_passed_on(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_file(tmp_path / "a.txt", fail_with(ZeroDivisionError()))
    assert content_of(tmp_path) == {}


def test_a_place_that_is_a_folder_or_has_none_is_named(tmp_path):
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "taken", tmp_path / "none" / "a.txt"):
        with pytest.raises(WriteError, match=path.name):
            write_file(path, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    inside.mkdir()
    outside.write_text("before")
    (inside / "a.txt").symlink_to(outside)
    (inside / "b.txt").hardlink_to(outside)
    for name in ("a.txt", "b.txt"):
        write_file(inside / name, "new")
        assert (inside / name).read_text() == "new"
    assert outside.read_text() == "before"
    (inside / HIDDEN).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(WriteError, match=r"c\.txt"):
        write_file(inside / "c.txt", "new")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_link_to_a_pipe_is_replaced(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "a.txt"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(link, "new")
        assert os.read(reader, 10) == b""
    finally:
        os.close(reader)
    assert not link.is_symlink()
    assert link.read_text() == "new"


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_file(pipe, "through")
    reader.join()
    assert read == ["through"]


def test_a_line_is_added_or_the_file_is_named(tmp_path):
    for line in ("one", "two"):
        append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    with pytest.raises(WriteError, match="log"):
        append_line(tmp_path / "none" / "log", "three")


def test_abandoned_files_are_removed_and_those_of_other_processes_stay(tmp_path):
    """A file that grows keeps its folder, although no name in the folder changes."""
    old, young = tmp_path / HIDDEN / "old", tmp_path / HIDDEN / "young"
    for folder in (old, young):
        (folder / "images").mkdir(parents=True)
        (folder / "images" / "half").touch()
    for path in (*old.rglob("*"), old, young / "images", young):
        os.utime(path, (0, time.time() - 7200))
    write_file(tmp_path / "a.txt", "a")
    assert list((tmp_path / HIDDEN).iterdir()) == [young]


def test_files_in_folders_appear_beside_those_that_are_there(tmp_path):
    for content in ("old", "new"):
        with new_files(tmp_path / "server") as own:
            for name in ("m/1/m.xml", f"m/1/{content}", "m/config"):
                (own / name).parent.mkdir(parents=True, exist_ok=True)
                (own / name).write_text(content)
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"m/1/m.xml": "new", "m/1/old": "old", "m/1/new": "new", "m/config": "new"}
    with pytest.raises(WriteError, match="config"), new_files(tmp_path / "server") as own:
        (own / "m" / "config").mkdir(parents=True)


def test_no_file_goes_into_a_linked_subfolder(tmp_path):
    private, folder = tmp_path / "private", tmp_path / "folder"
    private.mkdir()
    (folder / HIDDEN / "whole" / "sub").mkdir(parents=True)
    (folder / HIDDEN / "whole" / "sub" / "letter").touch()
    (folder / "sub").symlink_to(private)
    finish_writing(folder)
    with pytest.raises(WriteError, match="sub"), new_files(folder / "sub") as own:
        (own / "sub").mkdir()
    assert list(private.iterdir()) == []


def test_a_loader_finishes_what_a_killed_process_has_begun(tmp_path):
    runtimes.null.build(tmp_path / "m.null", "new", (64, 64), {"a": np.zeros((1, 2), np.float32)})
    whole = tmp_path / HIDDEN / "whole"
    whole.mkdir(parents=True)
    (tmp_path / "m.null").rename(whole / "m.null")
    assert runtimes.load(tmp_path / "m.null").describe().metadata == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["m.null"]


@pytest.mark.parametrize("inner", [False, True])
def test_files_are_never_moved_out_of_a_linked_folder(tmp_path, inner):
    private, folder = tmp_path / "private", tmp_path / "folder"
    (private / "whole").mkdir(parents=True)
    (private / "whole" / "letter").touch()
    folder.mkdir()
    if inner:
        (folder / HIDDEN).mkdir()
        (folder / HIDDEN / "whole").symlink_to(private / "whole")
    else:
        (folder / HIDDEN).symlink_to(private)
    finish_writing(folder)
    assert (private / "whole" / "letter").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes")
def test_kills_at_random_moments_leave_one_whole_set(tmp_path):
    root = Path(runtimes.__file__).parents[1]
    command = [sys.executable, "-c", KILLS, str(tmp_path), *NAMES]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    newest, unfinished, half = map(int, found.stdout.split())
    # The kills hit every phase: between writings, within one, and between the moves of complete files.
    assert newest > 5
    assert unfinished > 5
    assert half > 0


def test_writers_of_one_folder_take_turns(tmp_path):
    def write(who):
        for _ in range(30):
            with new_files(tmp_path / "m.xml") as folder:
                for name in NAMES:
                    (folder / name).write_text(who)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    finish_writing(tmp_path)
    found = content_of(tmp_path)
    assert set(found) == set(NAMES)
    assert len(set(found.values())) == 1
