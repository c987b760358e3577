import pytest

from edgehrnet.errors import MissingImageError
from edgehrnet.sources import Source
from edgehrnet.sources.files import SHOWN, Files


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(source, **options):
    return [path.name for path in Files(source, **options)]


def test_subfolders_are_read_on_request_without_hidden_ones_and_links(tmp_path):
    touch(tmp_path, "z.jpg", "a/b.png", "a/c/d.gif", ".hidden/e.png", "b/f.webp")
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    assert names(tmp_path) == ["z.jpg"]
    assert names(tmp_path, recursive=True) == ["z.jpg", "b.png", "d.gif", "f.webp"]


def test_what_is_no_picture_is_counted_by_suffix(tmp_path):
    touch(tmp_path, "a.jpg", "b.mp4", "c.MP4", "README", ".DS_Store", "sub/d.json", "a.csv.partial")
    files = Files(tmp_path, recursive=True)
    assert len(list(files)) == 1
    assert files.left_out == {".mp4": 2, "no suffix": 1, ".json": 1}


def test_any_number_of_suffixes_takes_little_memory(tmp_path):
    touch(tmp_path, "a.jpg", *(f"b.{number}" for number in range(50)))
    source = Source(tmp_path)
    assert len(list(source)) == 1
    assert len(source.left_out) <= SHOWN + 1
    assert source.left_out.total() == 50


def test_a_folder_with_pictures_in_subfolders_alone_says_how_to_read_them(tmp_path):
    touch(tmp_path, "a/b.png")
    with pytest.raises(MissingImageError, match="recursive"):
        list(Files(tmp_path))


def test_a_list_names_files_relative_to_its_folder(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeffa.jpg\r\n\nsub/\u00e4 b.png\n#c.jpg\n".encode() + b"\xff.jpg")
    assert list(Files(tmp_path / "list.txt")) == [
        tmp_path / name for name in ("a.jpg", "sub/\u00e4 b.png", "#c.jpg", "\udcff.jpg")
    ]


def test_a_list_is_read_line_by_line(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\n" * 100_000)
    files = iter(Files(tmp_path / "list.txt"))
    assert next(files).name == "a.jpg"
    (tmp_path / "list.txt").write_text("")
    assert sum(1 for _ in files) < 100_000  # the rest was not in memory


def test_an_empty_list_raises(tmp_path):
    (tmp_path / "list.txt").write_text("\n \n")
    with pytest.raises(MissingImageError, match=r"list\.txt"):
        list(Files(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b-0.jpg", "z.jpg"]),
        ("*", ["b-0.jpg", "z.jpg"]),
        ("*/[bf].[pw]*", ["a/b.png", "b/f.webp"]),
        ("a/../*/f.webp", ["b/f.webp"]),
        ("**", ["a/b.png", "a/c/a/b.png", "a/c/d.gif", "b/f.webp", "b-0.jpg", "z.jpg"]),
        ("**/a/**/b.png", ["a/b.png", "a/c/a/b.png"]),
        ("**/**/b.png", ["a/b.png", "a/c/a/b.png"]),
        ("b/again/z.jpg", ["b/again/z.jpg"]),
        ("b/*/z.jpg", ["b/again/z.jpg"]),
        (".*/*", [".hidden/e.png"]),
        ("?/**/*.txt", ["a/c/notes.txt"]),
    ],
)
def test_patterns(tmp_path, pattern, expected):
    touch(tmp_path, "z.jpg", "b-0.jpg", "a/b.png", "a/c/d.gif", "a/c/a/b.png", ".hidden/e.png", "b/f.webp")
    touch(tmp_path, "a/c/notes.txt")
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    found = list(Files(str(tmp_path / pattern)))
    assert [str(path.relative_to(tmp_path)).removeprefix("a/../") for path in found] == expected


def test_a_pattern_without_a_match_or_for_a_missing_folder(tmp_path):
    for pattern in ("*.jpg", "missing/**/*.jpg"):
        with pytest.raises(MissingImageError, match=r"\*\.jpg"):
            list(Files(str(tmp_path / pattern)))


def test_a_pattern_is_matched_folder_by_folder(tmp_path):
    touch(tmp_path, "a/0.jpg", "b/0.jpg")
    files = iter(Files(str(tmp_path / "*" / "*.jpg")))
    assert next(files) == tmp_path / "a" / "0.jpg"
    (tmp_path / "b" / "0.jpg").unlink()
    assert list(files) == []  # the names of later folders were not in memory
