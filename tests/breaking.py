"""A real TLS server that breaks, lies, redirects and dawdles, path by path: what real stores do on bad days only."""

import contextlib
import http.server
import ssl
import subprocess
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def missing(handler, _):
    handler.head(404, Content_Length="0")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        self.close_connection = True
        behaviour = self.server.behaviours.get(self.path.partition("?")[0], missing)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            behaviour(self, sum(path == self.path for path, _ in self.server.seen))

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that does not trust us is no news."""


class Server:
    """One listener; `behaviours` by path, `seen` in order."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0):
        self.http = Quiet((host, port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.http.behaviours, self.http.seen = {}, []
        self.base = f"https://{host}:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def on(self, path, behaviour):
        self.http.behaviours[path] = behaviour
        return self.base + path

    @property
    def seen(self):
        return self.http.seen

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def whole(body, **headers):
    """A behaviour that gives these bytes, from where it is asked to."""

    def give(handler, _):
        send(handler, body, len(body), headers)

    return give


def breaking(body, at, breaks=1, **headers):
    """As `whole`, but the first answers end after `at` bytes each."""

    def give(handler, attempt):
        if attempt > breaks:
            return whole(body, **headers)(handler, attempt)
        send(handler, body, at, headers)

    return give


def answering(status, body=b"", **headers):
    """A behaviour that says only this."""

    def give(handler, _):
        handler.head(status, Content_Length=str(len(body)), **headers)
        handler.wfile.write(body)

    return give


def send(handler, body, most, headers):
    """What was asked for of the body, but not more than `most` bytes of what was promised."""
    asked = handler.headers.get("Range")
    first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
    start, end = int(first), int(last) + 1 if last else len(body)
    more = {"Content_Range": f"bytes {start}-{end - 1}/{len(body)}"} if asked else {}
    handler.head(206 if asked else 200, Content_Length=str(end - start), **more, **headers)
    handler.wfile.write(body[start:end][:most])


class Bucket:
    """A bucket called `models`, as S3 gives it out."""

    def __init__(self, server):
        self.server, self.objects, self.tags = server, {}, {}
        server.on("/models", self.list)

    def put(self, key, body, behaviour=None):
        self.objects[key] = len(body)
        self.server.on(f"/models/{key}", behaviour or whole(body, **headers_of(body)))

    def list(self, handler, _):
        prefix = parse_qs(urlsplit(handler.path).query)["prefix"][0]
        when = "<LastModified>2026-01-01T00:00:00Z</LastModified>"
        entry = f"<Contents><Key>{{}}</Key><Size>{{}}</Size><ETag>{{}}</ETag>{when}</Contents>"
        found = ((key, size, self.tags.get(key, "e")) for key, size in self.objects.items() if key.startswith(prefix))
        entries = "".join(entry.format(*each) for each in found)
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        answering(200, body.encode())(handler, 1)


def headers_of(body, tag="e"):
    return {"ETag": f'"{tag}"', "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


def certificate(folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> Path:
    """A server's certificate that is its own authority: server.crt and server.key in a folder."""
    make = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    about = ("-subj", "/CN=wye tests", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=CA:FALSE")
    files = ("-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt"))
    subprocess.run([*make, *about, *files], check=True, capture_output=True)
    return folder
