"""A page in headless Chromium, driven by the DevTools protocol over pipes."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser")
KEYS = {"Enter": (13, "\r"), " ": (32, " "), "Tab": (9, "")}
FIRST_FREE = 10  # file descriptors: Chromium reads commands from 3 and writes to 4
PATIENCE = 60  # seconds


class Browser:
    """One page.

    Attributes:
        complaints: Errors and warnings on its console, and exceptions that nothing caught.
        requested: Addresses that it asked for.
    """

    def __init__(self, folder):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, FIRST_FREE) for end in (theirs_in, theirs_out)]

        def connect():
            os.dup2(given[0], 3)
            os.dup2(given[1], 4)

        command = [EXECUTABLE, "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += [f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            command, preexec_fn=connect, pass_fds=(3, 4, *given), stderr=subprocess.DEVNULL
        )
        for end in (theirs_in, theirs_out, *given):
            os.close(end)
        self._in, self._out = os.fdopen(ours_in, "rb", 0), os.fdopen(ours_out, "wb", 0)
        self._number, self._rest, self._session = 0, b"", None
        self.complaints, self.requested = [], []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._in.close()
        self._out.close()

    def send(self, method, **parameters):
        """The result of a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._rest:
            read = self._in.read(1 << 20)
            assert read, "the browser has closed"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        answer = json.loads(message)
        self._note(answer.get("method"), answer.get("params", {}))
        return answer

    def _note(self, event, said):
        if event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        if event == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(said["args"]))
        if event == "Network.requestWillBeSent":
            self.requested.append(said["request"]["url"])
        if event == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])

    def open(self, path, width, height=900):
        """Opens a file in a window of a size in pixels, until it has loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Page.navigate", url=path.as_uri())
        self.wait(
            f"location.href === {json.dumps(path.as_uri())} && document.readyState === 'complete'"
        )

    def value(self, expression):
        """The value of a JavaScript expression, or of its promise."""
        done = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, expression):
        """The value of an expression once it is true."""
        end = time.monotonic() + PATIENCE
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.1)
        return found

    def press(self, key):
        """Presses a key on what has the focus."""
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "windowsVirtualKeyCode": code}
            if text and kind == "keyDown":
                event["text"] = text
            self.send("Input.dispatchKeyEvent", **event)

    def point(self, x, y):
        """Moves the pointer to a place in the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path):
        """Writes the whole page as PNG."""
        done = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(done["data"]))
