"""One Chromium for the tests of the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """Speaks with the browser that `browser.mjs` drives."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, name: str, **given: Any) -> Any:
        """Have one thing done, and return what came of it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"name": name, **given}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{name} {given}: {answer['error']}"
        return answer["value"]

    def open(self, place: Path | str, **given: Any) -> None:
        """Open a file or an address in a new window."""
        self("open", url=place.as_uri() if isinstance(place, Path) else place, **given)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        self("press", keys=list(keys))

    def click(self, selector: str) -> None:
        """Click what a selector finds."""
        self("click", selector=selector)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        return self("run", script=script)

    def wait(self, script: str) -> None:
        """Wait until an expression in the page is true."""
        self("wait", script=script)

    def text(self, selector: str) -> str:
        """Return the text of what a selector finds."""
        found: str = self("text", selector=selector)
        return found

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all that a selector finds."""
        found: list[str] = self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")
        return found


@pytest.fixture(scope="session")
def packages(repository: Path) -> Path:
    """The folder of the viewer, with its packages installed."""
    if shutil.which("node") is None:
        pytest.skip("needs Node (Debian: apt-get install nodejs npm)")
    viewer = repository / "viewer"
    if not (viewer / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs the viewer's packages (run `make viewer`)")
    return viewer


@pytest.fixture(scope="session")
def browser(packages: Path) -> Iterator[Browser]:
    """One Chromium for the whole session; every `open` is a window of its own."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    driver = Path(__file__).with_name("browser.mjs")
    with subprocess.Popen(
        ["node", str(driver), str(packages), chromium], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Browser(process)
        assert process.stdin is not None
        process.stdin.close()
