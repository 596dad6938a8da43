"""A local HTTP server that can cut, refuse and change what it serves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served and how.

    Attributes:
        content: The file.
        cuts: After how many bytes of each connection, in turn, it is dropped; then whole.
        status: Answered instead of the file, if not 200.
        ranges: Whether it can go on in the middle.
        etag: Names the version of the file.
        requests: The Range header of each request so far.
    """

    content: bytes
    cuts: list[int] = field(default_factory=list)
    status: int = 200
    ranges: bool = True
    etag: str = '"one"'
    requests: list[str | None] = field(default_factory=list)


@contextmanager
def served(site: Site) -> Iterator[str]:
    """Serves the site; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            site.requests.append(wanted)
            if site.status != 200:
                self.send_error(site.status)
                return
            start = 0
            same = self.headers.get("If-Range", site.etag) == site.etag
            if wanted and site.ranges and same:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(site.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(site.content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                last = len(site.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(site.content)}")
            else:
                self.send_response(200)
            self.send_header("ETag", site.etag)
            self.send_header("Content-Length", str(len(site.content) - start))
            self.end_headers()
            rest = site.content[start:]
            self.wfile.write(rest[: site.cuts.pop(0)] if site.cuts else rest)
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/folder/file.zip?dl=1"
    finally:
        server.shutdown()
        server.server_close()
