# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless Chromium, driven through a pipe by its DevTools protocol; nothing but the program itself is needed."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)


class Page:
    """One page of a browser of its own; `complaints` holds console messages, exceptions and requests that failed."""

    def __init__(self, width=1280, height=900, scale=1, dark=False, mobile=False, scripts=True):
        self._profile = tempfile.mkdtemp(prefix="admix-chromium-")
        to_browser, from_us = os.pipe()
        from_browser, to_us = os.pipe()

        def wire():
            # the browser reads commands from 3 and writes answers to 4
            os.dup2(os.dup(to_browser), 63)
            os.dup2(os.dup(to_us), 62)
            os.dup2(63, 3)
            os.dup2(62, 4)

        self._process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--remote-debugging-pipe", "--disable-extensions", "--hide-scrollbars", "--font-render-hinting=none",
             f"--user-data-dir={self._profile}", "about:blank"],
            preexec_fn=wire, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(to_us)
        self._write, self._read = from_us, from_browser
        self._buffer, self._count, self._session = b"", 0, None
        self.complaints, self.requests, self._events = [], [], []
        target = next(t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        self.theme(dark)
        if not scripts:
            self.send("Emulation.setScriptExecutionDisabled", value=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def theme(self, dark):
        value = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def send(self, method, timeout=60, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            got = self._next(deadline)
            if got.get("id") == self._count:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']}")
                return got["result"]

    def _next(self, deadline):
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            self._buffer += os.read(self._read, 1 << 20)
        text, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(text)
        kind, params = message.get("method"), message.get("params", {})
        self._events.append(kind)
        if kind == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif kind == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", params)))
        elif kind == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif kind == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])
        return message

    def open(self, path, ready="document.documentElement.dataset.charts === 'ready'", timeout=60):
        """Open a file and wait until `ready` holds; return the seconds that took."""
        began = time.monotonic()
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        while time.monotonic() - began < timeout:
            if self.ask(f"document.readyState === 'complete' && ({ready})"):
                return time.monotonic() - began
            time.sleep(0.02)
        raise TimeoutError(f"not ready: {self.complaints}")

    def ask(self, expression):
        """Return the value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    def picture(self, path, whole=True, clip=None):
        options = {"captureBeyondViewport": whole}
        if clip is not None:
            options["clip"] = clip | {"scale": 1}
        elif whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        Path(path).write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **options)["data"]))

    def paper(self, path):
        data = self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"]
        Path(path).write_bytes(base64.b64decode(data))
