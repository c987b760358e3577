"""The page in a browser: clicked, and watched for requests to other servers."""

import shutil
import threading
import time

import pytest
from PIL import Image

from edgehrnet import Predictor

pytest.importorskip("gradio", reason="needs gradio: pip install 'edgehrnet[web]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
    pytest.mark.filterwarnings("ignore"),  # those of gradio and what it uses
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def address(null_model):
    """The page of a small model, served by a thread."""
    from edgehrnet.webdemo.serving import _server, application

    with Predictor(null_model.path) as first, Predictor(null_model.path) as second:
        server = _server(application([first, second]), "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


def open_tab(page, name):
    """Click a tab. On narrow screens it is in a menu."""
    if page.get_by_role("tab", name=name).count():
        page.get_by_role("tab", name=name).click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown button", has_text=name).click()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_picture_is_uploaded_and_shown(address, null_model, tmp_path, size):
    Image.fromarray(null_model.picture).save(tmp_path / "a.png")
    asked = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.locator("#picture input[type=file]").first.set_input_files(tmp_path / "a.png")
        page.locator("#overlay img").wait_for(timeout=60_000)
        page.get_by_text("Score 0.").wait_for()
        for tab, shown in (("Heatmaps", "#heatmaps"), ("Page", "#page"), ("Compare", "#model-1")):
            open_tab(page, tab)
            page.locator(f"{shown} img").wait_for()
        assert page.locator("#times tr").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        browser.close()
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
