"""Chromium for tests: headless, driven by its own protocol over two pipes."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

PATIENCE = 30  # seconds, for a machine that has other things to do
LAPTOP, PHONE = (1280, 800), (390, 844)


class Tab:
    """A page in a window of its own. `wrong` tells what went wrong in it: errors, dialogs, requests over a network."""

    def __init__(self, chromium: Chromium) -> None:
        context = chromium.call("Target.createBrowserContext")["browserContextId"]
        target = chromium.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self._session = chromium.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._chromium = chromium
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(*LAPTOP)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._chromium.call(method, self._session, **params)

    def open(self, file: Path, address: str = "") -> None:
        self.call("Page.navigate", url="about:blank")  # else only the address behind # may change
        self._chromium.wait("Page.loadEventFired", self._session)
        self.call("Page.navigate", url=file.as_uri() + address)
        self._chromium.wait("Page.loadEventFired", self._session)

    def size(self, width: int, height: int) -> None:
        phone = width < 500
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1 + phone, mobile=phone
        )

    def evaluate(self, script: str) -> Any:
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def text(self, selector: str) -> str:
        return self.texts(selector)[0]

    def texts(self, selector: str) -> list[str]:
        return list(self.evaluate(f"[...document.querySelectorAll({selector!r})].map(one => one.textContent)"))

    def place(self, selector: str) -> list[float]:
        """Left, top, width and height on screen."""
        script = f"(r => [r.x, r.y, r.width, r.height])(document.querySelector({selector!r}).getBoundingClientRect())"
        return list(self.evaluate(script))

    def faint(self, scheme: str) -> list[str]:
        """Words that stand out from their ground by less than WCAG 2 asks for (AA), in this scheme: light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        return list(self.evaluate(_FAINT))

    def picture(self) -> Image.Image:
        """Of what is on screen."""
        taken = self.call("Page.captureScreenshot", format="png")["data"]
        return Image.open(io.BytesIO(base64.b64decode(taken))).convert("RGB")

    def enter(self, selector: str, value: str) -> None:
        self.evaluate(
            f"(one => {{ one.value = {json.dumps(value)}; one.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
            f"(document.querySelector({selector!r}))"
        )

    def press(self, key: str) -> None:
        code = {"Escape": 27}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def wrong(self) -> list[str]:
        self.call("Runtime.evaluate", expression="0")  # what came before it has then been told
        mine = [event for event in self._chromium.events if event.get("sessionId") == self._session]
        requests = [
            event["params"]["request"]["url"] for event in mine if event["method"] == "Network.requestWillBeSent"
        ]
        bad = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening")
        return [json.dumps(event) for event in mine if event["method"] in bad] + [
            url for url in requests if not url.startswith(("file:", "data:", "about:"))
        ]


_FAINT = """(() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const linear = one => one <= 10 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = one => {
        const colour = numbers(getComputedStyle(one).backgroundColor);
        return colour[3] === 0 && one.parentElement ? ground(one.parentElement) : colour;
    };
    const contrast = one => {
        const style = getComputedStyle(one), ink = one instanceof SVGElement ? style.fill : style.color;
        const [less, more] = [light(numbers(ink)), light(ground(one))].sort((a, b) => a - b);
        return (more + 0.05) / (less + 0.05);
    };
    const says = one => [...one.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    const seen = one => one.getClientRects().length > 0 && !one.matches("script, style, title, option");
    return [...document.querySelectorAll("*")].filter(one => says(one) && seen(one) && contrast(one) < 4.5)
        .map(one => one.textContent.trim());
})()"""


class Chromium:
    """DevTools protocol over two pipes: no port, no driver, no package. A message ends with a zero byte."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._read = b""
        self.events: list[dict[str, Any]] = []  # all that were ever told
        self._waited = 0  # how many of them `wait` has looked at

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = self._say(method, session, params)
        while (told := self._next()).get("id") != number:
            pass
        assert "error" not in told, (method, told)
        return dict(told["result"])

    def wait(self, method: str, session: str) -> None:
        """Until such an event is told, after those that were waited for before."""
        while True:
            while self._waited < len(self.events):
                event = self.events[self._waited]
                self._waited += 1
                if (event["method"], event.get("sessionId")) == (method, session):
                    return
            self._next()

    def _say(self, method: str, session: str | None, params: Mapping[str, Any]) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        line = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while line:
            line = line[os.write(self._commands, line) :]
        return self._number

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE)
            piece = os.read(self._answers, 1 << 20) if ready else b""
            assert piece, "Chromium has ended" if ready else f"Chromium has said nothing for {PATIENCE} s"
            self._read += piece
        line, _, self._read = self._read.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        if told.get("method") == "Page.javascriptDialogOpening":  # until it is closed, the page does nothing
            self._say("Page.handleJavaScriptDialog", told["sessionId"], {"accept": False})
        if "method" in told:
            self.events.append(told)
        return told


@contextmanager
def chromium_running(program: str, profile: Path) -> Iterator[Chromium]:
    """Chromium speaks over the descriptors 3 and 4; a process that then becomes it puts the pipes there."""
    become = "import os, sys; a = sys.argv; os.dup2(int(a[1]), 3); os.dup2(int(a[2]), 4); os.execv(a[3], a[3:])"
    options = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-dev-shm-usage", "--disable-gpu"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to be root otherwise
    heard, commands = os.pipe()
    answers, told = os.pipe()
    command = [sys.executable, "-c", become, str(heard), str(told), program, *options]
    process = subprocess.Popen(command, pass_fds=(heard, told), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(heard)
    os.close(told)
    try:
        yield Chromium(commands, answers)
    finally:
        os.close(commands)  # which ends it
        os.close(answers)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
