"""A headless browser, driven through the pipe of its DevTools protocol.

(``--remote-debugging-pipe``: messages in JSON, each ended by a zero byte.) It needs no further package.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Options of a browser without a window that asks nobody for anything."""
FLAGS = (*QUIET, "--remote-debugging-pipe")
EXEC = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
"""Puts the pipes where the browser looks for them, then becomes the browser."""
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


class Browser:
    """A headless browser with one page."""

    def __init__(self, folder: Path) -> None:
        (read, self.to), (self.back, write) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]
        command = [sys.executable, "-c", EXEC, *map(str, ends), BROWSER, *FLAGS, f"--user-data-dir={folder}"]
        self.process = subprocess.Popen(
            command, pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (read, write, *ends):
            os.close(end)
        self.number, self.session, self.rest, self.events = 0, None, b"", []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def __call__(self, method: str, **parameters):
        """Send a command, and give its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self, seconds: float = 60) -> dict:
        while b"\0" not in self.rest:
            assert select.select([self.back], [], [], seconds)[0], "the browser does not answer"
            found = os.read(self.back, 1 << 20)
            assert found, "the browser has ended"
            self.rest += found
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, width: int = 1200, dark: bool = False) -> None:
        """Show a page, wait until its script has run, and forget what happened before."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.events.clear()
        self("Page.navigate", url=path.as_uri())
        until = time.monotonic() + 60
        while not self.run("document.readyState === 'complete' && location.protocol === 'file:'"):
            assert time.monotonic() < until, "the page does not load"
            time.sleep(0.02)

    def run(self, script: str):
        """Give what a script evaluates to."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        for event in (down, {"type": "keyUp"}):
            self("Input.dispatchKeyEvent", key=key, windowsVirtualKeyCode=code, **event)

    def close(self) -> None:
        """End it."""
        for end in (self.to, self.back):
            os.close(end)
        self.process.kill()
        self.process.wait()


def quiet(browser: Browser) -> list[str]:
    """Give what the browser had to complain of."""
    kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    said = [json.dumps(each) for each in browser.events if each.get("method") in kinds]
    asked = [
        e["params"]["request"]["url"]
        for e in browser.events
        if e.get("method") == "Network.requestWillBeSent"
    ]
    left = [url[:200] for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    files = {url.partition("#")[0] for url in asked if url.startswith("file:")}
    return [
        *said,
        *left,
        *browser.run("window.violations"),
        *(["more than one file"] if len(files) > 1 else []),
    ]
