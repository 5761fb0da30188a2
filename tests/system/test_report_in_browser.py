"""The report in a real browser: nothing is fetched, nothing overflows, in light and in dark, on screen and on paper."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or ""
EXAMPLE = Path(__file__).parents[2] / "examples" / "regional-bank"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run on the bundled estate."""
    folder = tmp_path_factory.mktemp("report")
    subprocess.run(
        [sys.executable, "-m", "keystrand.cli.main", "run", str(EXAMPLE), "--out", "out"],
        cwd=folder,
        check=False,
        capture_output=True,
        timeout=240,
    )
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Debian's Chromium, headless."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed; ./dev test says so")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_opens_alone(report: Path, browser: object, scheme: str, width: int) -> None:
    """No request but the file itself, no message in the console, no sideways scrolling, one first heading."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[attr-defined]  # Playwright's own type, imported only where it is installed
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(report.as_uri())
    assert requests == [report.as_uri()]
    assert messages == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.close()


def test_every_figure_leads_to_its_document(report: Path, browser: object) -> None:
    """Each relative link of the page is a file beside it."""
    page = browser.new_page()  # type: ignore[attr-defined]  # as above
    page.goto(report.as_uri())
    links = page.eval_on_selector_all("a[href]", "nodes => nodes.map(n => n.getAttribute('href'))")
    files = {link.partition("#")[0] for link in links if not link.startswith(("#", "http"))}
    assert "assessment.json" in files
    assert all((report.parent / name).exists() for name in files)
    page.close()
