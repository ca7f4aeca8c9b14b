"""One https:// address, asked from a byte on; what it answers, and what that means for another try."""

import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Self
from urllib.parse import urlsplit

from wye_runtime.errors import ConfigError, ModelFetch
from wye_runtime.fetch.source import CHUNK, HINTS, Changed, File, Interrupted

AGAIN = (408, 425, 429)  # and every 5xx
LONGEST_WAIT = 120.0  # seconds of a Retry-After that are kept to
MOST_JSON = 32 << 20  # of a list of files
AGENT = {"Accept-Encoding": "identity", "User-Agent": "wye-runtime"}


class Refused(ModelFetch):
    """The server said no; `status` and `headers` as it gave them."""

    def __init__(self, message: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


@dataclass(slots=True)
class WebAnswer:
    """An open answer of a web server."""

    response: http.client.HTTPResponse
    start: int
    total: int | None  # None: chunked, which has an end of its own
    validator: str | None

    def chunks(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk

    def read(self) -> bytes:
        try:
            return self.response.read1(CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Interrupted(f"the connection broke: {told(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()


@dataclass(frozen=True, slots=True)
class Document:
    """A body read as a whole, and its headers in lower case."""

    body: bytes
    headers: Mapping[str, str]

    def json(self, shown: str) -> dict[str, Any]:
        """The object in it, or a ModelFetch."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ModelFetch(f"{shown} answered with something else than a JSON object")
        return found


class Web:
    """Asks https:// servers, with credentials for one host, and says what their answers mean."""

    def __init__(self, credentials: Mapping[str, str], silence: float, authorities: str = "") -> None:
        self.credentials, self.silence = credentials, silence
        self.opener = opener_for(credentials, authorities)

    def opened(
        self, uri: str, headers: Mapping[str, str], shown: str, credentials: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        request = urllib.request.Request(uri, headers={**AGENT, **headers})
        for name, value in (self.credentials if credentials is None else credentials).items():
            request.add_unredirected_header(name, value)
        try:
            response: http.client.HTTPResponse = self.opener.open(request, timeout=self.silence)
        except urllib.error.HTTPError as error:
            with error:
                raise refusal(error, shown) from error
        except urllib.error.URLError as error:
            raise unreachable(error.reason, shown) from error
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(f"no answer: {told(error)}") from error
        return response

    def read(self, uri: str, headers: Mapping[str, str], shown: str, credentials: Mapping[str, str]) -> Document:
        """A small document."""
        with self.opened(uri, headers, shown, credentials) as response:
            try:
                body = response.read(MOST_JSON + 1)
            except (OSError, http.client.HTTPException) as error:
                raise Interrupted(f"the connection broke: {told(error)}") from error
            if len(body) > MOST_JSON:
                raise ModelFetch(f"{shown} answered with more than {MOST_JSON >> 20} MiB where a list was expected")
            return Document(body, {name.lower(): value for name, value in response.headers.items()})


class WebFile:
    """A file at an address. Everything that is said of it leaves out the query, which may be a signature."""

    def __init__(self, uri: str, web: Web, shown: str = "") -> None:
        self.uri, self.web = uri, web
        self.shown = shown or checked(uri)

    def answer(self, start: int, validator: str | None) -> WebAnswer:
        """The file from byte `start` on where the server can and it is still the same file, else from the beginning."""
        ranged = {"Range": f"bytes={start}-", "If-Range": validator} if start and validator else {}
        return answer_of(self.web.opened(self.uri, ranged, self.shown), start)


class WebSource:
    """A model at one https:// address."""

    def __init__(self, uri: str, web: Web) -> None:
        self.file = WebFile(uri, web)
        self.shown = self.file.shown

    def files(self) -> list[File]:
        """The one."""
        return [File("model.onnx", self.file)]


def refusal(error: urllib.error.HTTPError, shown: str) -> Exception:
    """What an HTTP error means: worth another try, a file that changed, or an end."""
    said = f"answered {error.code} {error.reason}".rstrip()
    if error.code in AGAIN or error.code >= 500:
        return Interrupted(said, seconds(error.headers.get("Retry-After")))
    if error.code == 416:
        return Changed(said)
    hint = HINTS.get(error.code)
    return Refused(f"{shown} {said}" + (f": {hint}" if hint else ""), error.code, dict(error.headers.items()))


def unreachable(reason: str | BaseException, shown: str) -> Exception:
    """What it means that no answer came."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ModelFetch(
            f"the certificate of {shown} is not trusted: {reason.verify_message}; an authority of your own goes into "
            "a file that SSL_CERT_FILE names, or as PEM into WYE_FETCH_CA"
        )
    return Interrupted(f"cannot be reached: {told(reason)}")


def checked(uri: str) -> str:
    """The address without its query; what is no https:// address, or holds a password, is refused."""
    try:
        parts = urlsplit(uri)
        place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError as error:
        raise ConfigError(f"--uri is no address: {error}") from error
    if parts.scheme != "https":
        raise ConfigError(f"--uri has the scheme {parts.scheme or '(none)'}, want https://")
    if parts.username is not None or not parts.hostname:
        raise ConfigError("--uri holds a user name, or no host: credentials belong into the environment")
    if re.search(r"[\x00-\x20\x7f]", uri) or not uri.isascii():
        raise ConfigError("--uri holds spaces or other characters that must be percent-encoded")
    return f"https://{place}{parts.path}"


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows https:// only; credentials stay with the host that they were given for."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        self.credentials = credentials

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The next request, or a ModelFetch where the way leads out of TLS."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https":
            raise ModelFetch(
                f"https://{old.netloc}{old.path} redirects to {new.scheme}://{new.hostname}, want https://"
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and new.netloc == old.netloc:
            for name, value in self.credentials.items():
                request.add_unredirected_header(name, value)
        return request


def opener_for(credentials: Mapping[str, str], authorities: str) -> urllib.request.OpenerDirector:
    """https:// and nothing else; proxies as the environment says (HTTPS_PROXY, NO_PROXY)."""
    context = ssl.create_default_context()
    if authorities:
        trust(context, authorities)
    opener = urllib.request.OpenerDirector()
    handlers: tuple[urllib.request.BaseHandler, ...] = (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        Redirects(credentials),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPErrorProcessor(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener


def trust(context: ssl.SSLContext, authorities: str) -> None:
    """Adds authorities of the user's own."""
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError("WYE_FETCH_CA is no certificate in PEM") from error


def answer_of(response: http.client.HTTPResponse, asked: int) -> WebAnswer:
    """What the headers promise, checked against what was asked."""
    headers = response.headers
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity" or response.status not in (200, 206):
        response.close()
        raise ModelFetch(
            f"the server answered {response.status} with the encoding {encoding}, want 200 and no encoding"
        )
    start, total = (0, length(response)) if response.status == 200 else ranged(response, asked)
    return WebAnswer(response, start, total, validator_of(headers))


def length(response: http.client.HTTPResponse) -> int | None:
    """The promised number of bytes; a body that ends just where the connection does could be a half one."""
    if getattr(response, "chunked", False):
        return None
    if response.length is None:
        response.close()
        raise ModelFetch("the server names no Content-Length, so nobody can tell a whole file from a half one")
    return response.length


def ranged(response: http.client.HTTPResponse, asked: int) -> tuple[int, int]:
    """Where a partial answer begins and how large the whole is, once it is what was asked for."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != asked:
        response.close()
        raise ModelFetch(f"the server answered 206 with another range than the one asked for (from byte {asked})")
    return asked, int(found[3])


def validator_of(headers: Any) -> str | None:
    """What tells later whether the file is still the same: a strong ETag, else its date."""
    tag: str | None = headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    modified: str | None = headers.get("Last-Modified")
    return modified


def seconds(said: str | None) -> float | None:
    """A Retry-After in seconds; a date is not kept to."""
    return min(float(said), LONGEST_WAIT) if said and said.isdecimal() else None


def told(error: str | BaseException) -> str:
    """An error in a few words."""
    if isinstance(error, TimeoutError):
        return "silence"
    return str(error) or type(error).__name__
