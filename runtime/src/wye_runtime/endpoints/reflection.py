"""Server reflection: what tools ask that know a server and not its messages (grpcurl and its like)."""

from collections.abc import Callable, Mapping
from typing import Any

from wye_runtime.codecs.messages import CLASSES, FILES, POOL, REFLECTION_FILES
from wye_runtime.errors import shown

METHODS = frozenset(f"/{of.package}.{of.service}/{call}" for of in REFLECTION_FILES for call in of.calls)
SERVICES = tuple(f"{of.package}.{of.service}" for of in FILES)
NOT_FOUND = 5  # of gRPC's statuses; inside an answer, because the call goes on


def reflected(asked: Any) -> Any:
    """The answer to one request of a call."""
    answer = CLASSES["ServerReflectionResponse"](valid_host=asked.host, original_request=asked)
    which = asked.WhichOneof("message_request") or ""
    if which == "list_services":
        for name in SERVICES:
            answer.list_services_response.service.add(name=name)
        return answer
    try:
        found = FINDERS[which](getattr(asked, which))
        answer.file_descriptor_response.file_descriptor_proto.append(found.serialized_pb)
    except KeyError:
        answer.error_response.error_code = NOT_FOUND
        answer.error_response.error_message = f"nothing here has {shown(str(getattr(asked, which, '')).strip())}"
    return answer


FINDERS: Mapping[str, Callable[[Any], Any]] = {
    "file_by_filename": POOL.FindFileByName,
    "file_containing_symbol": POOL.FindFileContainingSymbol,
}
