"""The Dockerfile, as the script that builds it without a container daemon reads it."""

from tools import image

TEXT = image.ROOT.joinpath("Dockerfile").read_text()


def test_every_instruction_is_known():
    known = {"FROM", "RUN", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {keyword for keyword, _ in image.instructions(TEXT)} <= known


def test_continued_lines_are_one_step():
    assert image.instructions("# a\nFROM debian AS b\nRUN x && \\\n    y") == [
        ("FROM", "debian AS b"),
        ("RUN", "x && y"),
    ]


def test_what_is_copied_from_the_project_is_not_ignored():
    kept = {line[1:] for line in image.ROOT.joinpath(".dockerignore").read_text().split() if line.startswith("!")}
    copied = [rest.split()[:-1] for keyword, rest in image.instructions(TEXT) if keyword == "COPY"]
    sources = {source for sources in copied if not sources[0].startswith("--from") for source in sources}
    assert sources == kept


def test_the_image_has_no_rights_and_no_shell_around_the_server():
    steps = dict(image.instructions(TEXT))
    assert int(steps["USER"]) >= 10000
    assert steps["ENTRYPOINT"].startswith('["edgehrnet", "serve"')
