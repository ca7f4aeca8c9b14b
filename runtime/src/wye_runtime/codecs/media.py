"""What a request says its body is: the Content-Type in its parts."""

from collections.abc import Mapping
from typing import NamedTuple

from wye_runtime.errors import UnsupportedMediaType, shown

ENCODINGS = ("utf-8", "utf8", "us-ascii")


class Media(NamedTuple):
    """`text/csv; header=absent` in its parts, in lower case."""

    kind: str
    parameters: Mapping[str, str]


def media_of(content_type: str | None) -> Media:
    """What a Content-Type header says."""
    kind, *rest = (content_type or "").lower().split(";")
    pairs = (each.partition("=") for each in rest)
    return Media(kind.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs})


def check_charset(media: Media) -> None:
    """Text of any other kind would be read as nonsense."""
    charset = media.parameters.get("charset", "utf-8")
    if charset not in ENCODINGS:
        raise UnsupportedMediaType(f"the body has the charset {shown(charset)}: send it as UTF-8")
