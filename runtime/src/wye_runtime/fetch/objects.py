"""Models in object stores: s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH, by obstore.

The library signs, and reads its credentials and endpoints from the environment as every tool of the store does; asking
again is ours, so that it is said, bounded and alike everywhere. It is imported here alone, and only when it is needed:
it takes 15 MB of the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from wye_runtime.errors import ConfigError, ModelFetch
from wye_runtime.fetch.source import HINTS, MOST_FILES, Changed, File, Interrupted, inside, own_name

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

SCHEMES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}  # and how their environment variables begin
ACCOUNT = {"s3": "", "gs": "", "az": " (AZURE_STORAGE_ACCOUNT_NAME and what else the Secret of model.secretName has)"}
A_DAY = timedelta(days=1)  # a large model may take long; silence is what ends a transfer
LEAST = 1 << 16  # bytes that are handed over at once; what came of them before a break is asked for again
AGAIN = ("408", "425", "429")
NO_CREDENTIALS = ("169.254.169.254", "metadata.google.internal", "169.254.170.2")


class Bucket:
    """A bucket or a container, and the place in it that is the model: an object, or all below a prefix."""

    def __init__(self, uri: str, environment: Mapping[str, str], silence: float, authorities: str = "") -> None:
        scheme, _, rest = uri.partition("://")
        self.bucket, _, self.path = rest.partition("/")
        self.shown = uri
        if not self.bucket or not self.path.strip("/"):
            raise ConfigError(f"--uri is {uri}, want {scheme}://{'CONTAINER' if scheme == 'az' else 'BUCKET'}/PATH")
        plain = environment.get(f"{SCHEMES[scheme]}_ALLOW_HTTP", "").lower() in ("1", "true")
        self.store = store_of(scheme, self.bucket, options(silence, authorities, allow_http=plain))

    def files(self) -> list[File]:
        """The object of that name, else all objects below it."""
        if not self.path.endswith("/"):
            try:
                self.looked_at(self.path)
                return [File(own_name(self.path), Object(self, self.path, self.shown))]
            except Missing:
                pass
        found = self.listed(self.path.strip("/"))
        if not found:
            raise ModelFetch(f"{self.shown}: there is no such object, and none below it: {HINTS[404]}")
        return found

    def looked_at(self, path: str) -> None:
        """Whether there is an object: by its first byte, as the answer to a HEAD says of no refusal why."""
        import obstore

        try:
            with self.asking():
                obstore.get(self.store, path, options={"range": (0, 1)})
        except Changed:  # it has no first byte
            raise ModelFetch(f"{self.shown} is empty (0 bytes)") from None

    def listed(self, prefix: str) -> list[File]:
        import obstore

        with self.asking():
            listing = iter(obstore.list(self.store, prefix, chunk_size=1000))
            files: list[File] = []
            for page in listing:
                files += [f for meta in page if (f := self.file_of(meta, prefix))]
                if len(files) > MOST_FILES:
                    raise ModelFetch(f"{self.shown} has more than {MOST_FILES:,} objects: name the model's own folder")
        return files

    def file_of(self, meta: Mapping[str, Any], prefix: str) -> File | None:
        """None for the mark that some consoles leave where a folder should be."""
        path, size = meta["path"], meta["size"]
        name = path.removeprefix(prefix).lstrip("/")
        if not name or (size == 0 and path.endswith("/")):
            return None
        shown = f"{self.shown.rstrip('/')}/{name}"
        return File(str(inside(name, self.shown)), Object(self, path, shown), size, version=validator_of(meta))

    def opened(self, path: str, start: int) -> ObjectAnswer:
        import obstore

        with self.asking():
            wanted: Any = {"range": {"offset": start}} if start else {}
            result = obstore.get(self.store, path, options=wanted)
            return ObjectAnswer(result, start, result.meta["size"], validator_of(result.meta), self)

    def asking(self) -> Asking:
        return Asking(self.shown)


@dataclass(frozen=True, slots=True)
class Object:
    """One object of a bucket."""

    bucket: Bucket
    path: str
    shown: str

    def answer(self, start: int, validator: str | None) -> ObjectAnswer:
        """From byte `start` on; whether it is still the same object is for the caller to compare."""
        try:
            return self.bucket.opened(self.path, start if validator else 0)
        except Missing as error:
            raise ModelFetch(f"{self.shown}: there is no such object any more") from error


@dataclass(slots=True)
class ObjectAnswer:
    """An open answer of an object store."""

    result: GetResult
    start: int
    total: int | None
    validator: str | None
    bucket: Bucket

    def chunks(self) -> Iterator[bytes]:
        stream = iter(self.result.stream(min_chunk_size=LEAST))
        while True:
            with self.bucket.asking():
                chunk = next(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The library closes it when nobody holds it any more."""


class Missing(Exception):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Says what an error of the library means; a context, as it happens at several calls."""

    shown: str

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        from obstore.exceptions import BaseError

        if isinstance(error, FileNotFoundError):
            raise Missing from error
        if isinstance(error, BaseError | OSError | ValueError) and not isinstance(error, Interrupted | ModelFetch):
            raise meaning(error, self.shown) from None  # its text has the address, which may have a signature


def meaning(error: Exception, shown: str) -> Exception:
    """Whether another try may help. What is said holds a status and the store's word for it, no address and no body."""
    text = str(error)
    status = re.search(r"status code: (\d{3})", text)
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    if any(address in text for address in NO_CREDENTIALS):
        return ModelFetch(
            f"{shown}: no credentials were given, and this machine has none of its own: name a Secret in "
            "model.secretName (docs/guides/models.md)"
        )
    if type(error).__name__ == "PreconditionError" or "non-partial" in text or (status and status[1] == "416"):
        return Changed("the object changed meanwhile")
    if status is None:
        return without_answer(text, shown)
    said = f"answered {status[1]}" + (f" ({code[1]})" if code else "")
    if status[1] in AGAIN or status[1] >= "500":
        return Interrupted(said)
    hint = HINTS.get(int(status[1]))
    return ModelFetch(f"{shown} {said}" + (f": {hint}" if hint else ""))


def without_answer(text: str, shown: str) -> Exception:
    """The reasons that the library knows, in a few words."""
    if "InvalidCertificate" in text:
        return ModelFetch(
            f"the certificate of {shown} is not trusted; an authority of your own goes as PEM into WYE_FETCH_CA"
        )
    if "BadScheme" in text:
        return ModelFetch(f"{shown}: the endpoint begins with http://: write https://, or set …_ALLOW_HTTP to true")
    if "Missing" in text or "not specified" in text or "Configuration" in text:
        return ModelFetch(f"{shown}: {first_line(text)}")
    if "TimedOut" in text or "timed out" in text:
        return Interrupted("silence")
    cause = re.search(r'(?:message|error): "([^":]{1,100})', text)
    what = "cannot be reached" if "Connect" in text else "the connection broke"
    return Interrupted(f"{what}: {cause[1] if cause else last_words(text)}")


def first_line(text: str) -> str:
    """What a message begins with, without queries, which may be signatures."""
    return re.sub(r"\?\S*", "?…", text.partition("\n")[0])[:200]


def last_words(text: str) -> str:
    """What an error says behind the library's own words."""
    return first_line(text).rpartition(" - ")[2]


def validator_of(meta: Mapping[str, Any]) -> str:
    """What names this state of the object, whichever answer told it."""
    return str(meta["e_tag"] or meta["last_modified"]).strip('"')


def options(silence: float, authorities: str, *, allow_http: bool) -> dict[str, Any]:
    """The library asks once; who asks again is `patiently`."""
    client: dict[str, Any] = {
        "timeout": A_DAY,
        "connect_timeout": timedelta(seconds=silence),
        "read_timeout": timedelta(seconds=silence),
        "allow_http": allow_http,
        "user_agent": "wye-runtime",
    }
    if authorities:
        client["root_certificate"] = authorities
    return {"client_options": client, "retry_config": {"max_retries": 0, "retry_timeout": timedelta(0)}}


def store_of(scheme: str, bucket: str, given: dict[str, Any]) -> ObjectStore:
    """The store; what its environment variables say wrong is a ConfigError."""
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    kinds: dict[str, Callable[..., ObjectStore]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    try:
        return kinds[scheme](bucket, **given)
    except (BaseError, ValueError, OSError) as error:
        raise ConfigError(
            f"{scheme}://{bucket}: {first_line(str(error)).partition(' error: ')[2]}{ACCOUNT[scheme]}"
        ) from None
