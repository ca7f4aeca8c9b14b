"""The body of /score by its media type, with a contract or without: what to run, and how to answer."""

from wye_runtime import codecs
from wye_runtime.codecs import Score
from wye_runtime.contract import Contract, scored
from wye_runtime.errors import UnsupportedMediaType, shown
from wye_runtime.protocol import CSV_TYPE, JSON_TYPE, RawRequest, Signature

# curl -d sends the second one where nobody names a type
JSON_TYPES = ("", "application/x-www-form-urlencoded", JSON_TYPE)


def wanted(contract: Contract | None, signature: Signature, raw: RawRequest) -> Score:
    """What a request to /score asks for; what is wrong with it is raised here."""
    if raw.content_type == JSON_TYPE:  # nearly every one
        return of_json(contract, signature, raw.body)
    media = codecs.media_of(raw.content_type)
    if media.kind in JSON_TYPES:
        return of_json(contract, signature, raw.body)
    if media.kind == CSV_TYPE and contract is None:
        return codecs.score_csv(signature, raw.body, media)
    raise UnsupportedMediaType(f"the body is {shown(media.kind)}, want {' or '.join(accepted(contract))}")


def of_json(contract: Contract | None, signature: Signature, body: bytes) -> Score:
    value = codecs.loads(body)
    return scored(contract, value) if contract else codecs.score(signature, value)


def accepted(contract: Contract | None) -> tuple[str, ...]:
    """The media types that this model's /score reads."""
    return (JSON_TYPE,) if contract else (JSON_TYPE, CSV_TYPE)
