"""Predict the pictures of a command line, and write and print the results."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from edgehrnet.cli.predict_options import FILES, STDOUT
from edgehrnet.cli.printable import printable, printable_name
from edgehrnet.cli.progress import Progress
from edgehrnet.cli.tables import result_tables
from edgehrnet.cli.verdicts import Totals, found, thing, verdict
from edgehrnet.cli.video_options import followed, trails_of
from edgehrnet.errors import UnsupportedError, WriteError
from edgehrnet.predictor import Predictor
from edgehrnet.result import Result
from edgehrnet.results.files import ResultFiles
from edgehrnet.results.pictures import Overlays, Pages, Places, is_video
from edgehrnet.sources.frame import Frame
from edgehrnet.sources.several import Several

NAMES = {"out": "overlays", "rectify": "pages"}


class Run:
    """One run of the command.

    Args:
        args: The options, see ``predict_options``.
        predictor: The model.
        files: Files of results.
        sources: What is predicted.
    """

    def __init__(self, args: argparse.Namespace, predictor: Predictor, files: ResultFiles, sources: Several) -> None:
        self._args, self._predictor, self._files, self._sources = args, predictor, files, sources
        self.totals = Totals(what=thing(predictor.spec))
        places = {name: _places(getattr(args, name), name, sources) for name in ("out", "rectify")}
        trails = trails_of(args)
        self._overlays = (
            None if places["out"] is None else Overlays(places["out"], heatmaps=args.heatmaps, trails=trails)
        )
        self._pages = None if places["rectify"] is None else Pages(places["rectify"], args.min_score)
        if self._pages is not None and not (predictor.spec.cyclic and len(predictor.spec.keypoints) == 4):
            raise UnsupportedError(f"--rectify needs the four corners of a page, {predictor.spec.name!r} has none")
        self._is_single = args.source[1:] == [] and Path(args.source[0]).is_file() and sources.count() == 1
        self._progress = Progress(sources.count, shown=not (self._is_single or args.quiet))
        self._earlier = 0

    def predict(self, frames: Iterable[Frame]) -> None:
        """Predict the frames. Ctrl-C is the usual end of a live source, and an error of others."""
        start = time.monotonic()
        try:
            stream = self._predictor.stream(self._wanted(frames), on_error=self._report)
            for result in followed(stream, self._args):
                self._add(result)
                self._progress.show(self.totals.predicted + self.totals.errors, self._earlier)
        except KeyboardInterrupt:
            if not self._sources.is_live:
                raise
        self._progress.clear()
        if not (self._args.quiet or self._args.json == STDOUT):
            self._print_totals(time.monotonic() - start)

    def _print_totals(self, seconds: float) -> None:
        sources = self._sources
        if not self._is_single:
            print(self.totals.line(seconds, dropped=sources.dropped, left_out=sources.left_out, earlier=self._earlier))
        for name in ("out", "rectify", *FILES):
            written = getattr(self._args, name)
            if written is not None:
                print(f"{NAMES.get(name, name)}: {printable_name(written)}")

    def _wanted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Leave out frames without a box, and those that an earlier run has done."""
        for frame in frames:
            if frame.boxes == []:
                name = printable_name(frame.name)
                self._note(f"note: {self._args.boxes} has no box for {name}, which is skipped")
            elif self._args.resume and self._is_done(frame):
                self._earlier += 1
            else:
                yield frame

    def _is_done(self, frame: Frame) -> bool:
        pictures = (one for one in (self._overlays, self._pages) if one is not None)
        return self._files.has(frame) and all(one.has(frame) for one in pictures)

    def _add(self, result: Result) -> None:
        """Write and print a result. What cannot be written is reported, and the keypoints are written nevertheless."""
        self.totals.predicted += 1
        self.totals.found += found(result, self._args.min_score) > 0
        overlay = None
        try:
            overlay = None if self._overlays is None else self._overlays.add(result)
            if self._pages is not None:
                self._pages.add(result)
        except WriteError as error:
            if is_video(result.source):
                raise
            self._report(error)
        self._files.add(result)
        if not self._args.quiet:
            self._print(result, overlay)

    def _print(self, result: Result, overlay: Path | None) -> None:
        self._progress.clear()
        if self._args.json == STDOUT:
            values: dict[str, Any] = {} if overlay is None else {"overlay": str(overlay)}
            print(json.dumps({**result.to_dict(), **values}))
            return
        print(verdict(result, self._args.min_score))
        if self._is_single:
            print(f"\n{result_tables(result)}\n")

    def _report(self, error: Exception) -> None:
        self.totals.errors += 1
        self._note(f"error: {printable(error)}")

    def _note(self, text: str) -> None:
        self._progress.clear()
        print(text, file=sys.stderr)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.clear()
        if self._overlays is not None and error is None:
            self._overlays.close()
        elif self._overlays is not None and error is not None:
            self._overlays.abandon(error)


def _places(folder: Path | None, name: str, sources: Several) -> Places | None:
    """Return where pictures are written. Raise InputError if two would have the same file."""
    if folder is None:
        return None
    places = Places(folder, sources.roots, {"out": "keypoints", "rectify": "page"}[name])
    places.check(sources.paths)
    return places
