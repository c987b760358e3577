"""Build the page with gradio, and serve it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from edgehrnet.errors import ImageError, InputError, MissingExtraError
from edgehrnet.predictor import Predictor
from edgehrnet.shipped import sample_picture
from edgehrnet.webdemo.views import title, views

SAMPLES = ("document", "receipt", "card", "book")
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; base-uri 'self'; "
    "form-action 'self'"
)
"""Content-Security-Policy. The browser then asks no other server for anything, such as fonts."""
STYLE = """
footer { display: none !important; }
.gradio-container { width: 100% !important; max-width: 1180px !important; margin: 0 auto !important; }
#times table { border-collapse: collapse; font-size: 14px; width: 100%; margin: 0; }
#times table, #times tr { border: 0 !important; }
#times td { padding: 4px 10px 4px 0; white-space: nowrap; border: 0 !important; }
#times td { border-bottom: 1px solid var(--border-color-primary) !important; }
#times td + td { text-align: right; }
#times tr:first-child td { color: var(--body-text-color-subdued); }
@media (max-width: 560px) {
  .row { flex-direction: column; }
  .row > * { flex: none !important; width: 100% !important; min-width: 0 !important; }
  button[role=tab] { padding: 0 7px !important; }
}
"""


def import_gradio() -> Any:
    """Return gradio, which sends no usage statistics.

    Raises:
        MissingExtraError: It is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError(f"the page needs gradio ({error}); type: pip install 'edgehrnet[web]'") from None
    return gradio


def serve(predictors: Sequence[Predictor], *, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serve the page until the process is interrupted.

    Uploaded pictures are kept in a folder that is removed at the end.

    Args:
        predictors: One model, or two to compare.
        host: Address to listen at. The default is reached from this machine only. There is no password.
        port: Port.

    Raises:
        InputError: There are not one or two models, or the port is not free.
        MissingExtraError: gradio is not installed.
    """
    if len(predictors) not in (1, 2):
        raise InputError(f"{len(predictors)} models; pass one, or two to compare")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        server = _server(application(predictors), host, port)
        try:
            server.run()
        except SystemExit:  # uvicorn has printed why it could not listen
            raise InputError(f"cannot listen at {host}:{port}; pass another --port") from None


def _server(app: Any, host: str, port: int) -> Any:
    import uvicorn  # a dependency of gradio

    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="error"))


def application(predictors: Sequence[Predictor]) -> Any:
    """Return the page as an ASGI application, whose answers forbid requests to other servers."""
    gradio = import_gradio()
    from fastapi import FastAPI

    app = FastAPI()

    async def forbid_other_servers(request: Any, answer: Any) -> Any:
        response = await answer(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    app.middleware("http")(forbid_other_servers)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    theme = gradio.themes.Default(**fonts, primary_hue="indigo")
    return gradio.mount_gradio_app(app, _blocks(gradio, predictors), path="/", theme=theme, css=STYLE, ssr_mode=False,
                                   run_history=False, footer_links=[])  # fmt: skip


def _blocks(gradio: Any, predictors: Sequence[Predictor]) -> Any:
    names, spec = [title(predictor) for predictor in predictors], predictors[0].spec
    with gradio.Blocks(analytics_enabled=False, title="EdgeHRNet", delete_cache=(600, 600)) as blocks:
        gradio.Markdown(f"# EdgeHRNet\nKeypoints of `{spec.name}`. Pictures stay on this machine.")
        with gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                picture = gradio.Image(type="pil", sources=["upload", "webcam", "clipboard"], label="Picture",
                                       height=360, elem_id="picture", buttons=[])  # fmt: skip
                if spec.name.startswith("document-corners"):
                    gradio.Examples([[str(sample_picture(name))] for name in SAMPLES], picture, label="Samples")
                button = gradio.Button("Find keypoints", variant="primary", elem_id="find")
            with gradio.Column(scale=3, min_width=300):
                outputs = _outputs(gradio, names, spec.cyclic)
        button.click(lambda given: _answer(gradio, predictors, given), picture, outputs, show_progress="minimal")
        picture.input(lambda given: _answer(gradio, predictors, given), picture, outputs, show_progress="minimal")
    return blocks


def _outputs(gradio: Any, names: Sequence[str], has_page: bool) -> list[Any]:
    """Return the parts of the page that show something, in the order of `_answer`."""
    options: dict[str, Any] = {"interactive": False, "buttons": ["fullscreen"], "format": "jpeg", "height": 420}
    with gradio.Tab("Points"):
        overlay = gradio.Image(label=names[0], elem_id="overlay", **options)
    with gradio.Tab("Heatmaps"):
        heatmaps = gradio.Image(label="Heatmaps", elem_id="heatmaps", **options)
    with gradio.Tab("Page", visible=has_page):
        page = gradio.Image(label="Flattened page", elem_id="page", **options)
    with gradio.Tab("Compare", visible=len(names) > 1), gradio.Row():
        compared = [
            gradio.Image(label=name, elem_id=f"model-{n}", min_width=240, **options) for n, name in enumerate(names)
        ]
    verdict = gradio.Markdown(elem_id="verdict")
    table = gradio.HTML(elem_id="times")
    return [overlay, heatmaps, page, *compared, verdict, table]


def _answer(gradio: Any, predictors: Sequence[Predictor], picture: Any) -> list[Any]:
    """Return the values of `_outputs`."""
    if picture is None:
        return [None] * (3 + len(predictors)) + ["", ""]
    try:
        found = views(predictors, picture)
    except ImageError as error:
        raise gradio.Error(str(error)) from None
    return [found.overlays[0], found.heatmaps, found.page, *found.overlays, found.verdict, found.table]
