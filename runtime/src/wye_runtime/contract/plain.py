"""The common body of /score in few steps: one object with every field of the contract, for a model that takes rows.

As with the protocol's small JSON (`codecs/plain.py`), whatever is odd is left to the whole way, which says what it is.
"""

from collections.abc import Sequence

import orjson

from wye_runtime.codecs import dumps
from wye_runtime.codecs.plain import ODD, PLAIN_BYTES, Form, Plain
from wye_runtime.contract.contract import Contract
from wye_runtime.protocol import RawResponse, Tensors
from wye_runtime.tensors import PACKED


class PlainScores:
    """Reads such bodies for one contract, and answers them."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.outputs = contract.tensors
        self.serves = contract.is_batched and all(spec.datatype in PACKED for spec, _ in contract.inputs)
        self.fields = [[(each.field.name, each.read) for each in columns] for _, columns in contract.inputs]
        groups = contract.inputs if self.serves else ()
        self.forms = [Form(spec, (1, len(columns))[: len(spec.shape)]) for spec, columns in groups]

    def read(self, body: bytes) -> Plain | None:
        """The request; None where it is not that plain."""
        if not self.serves or len(body) > PLAIN_BYTES:
            return None
        try:
            instance = orjson.loads(body)
            # as many colons as fields: none of them stood twice, and with every one found there is no other
            if not len(self.contract.columns) == len(instance) == body.count(b":"):
                return None
            packed = [
                form.pack(*[read(instance[name]) for name, read in fields])
                for form, fields in zip(self.forms, self.fields, strict=True)
            ]
        except ODD:
            return None
        return Plain(self, None, self.forms, packed)

    def encode_plain(self, _: Plain, outputs: Tensors) -> RawResponse:
        """The answer to one."""
        return RawResponse(dumps(self.contract.answers(outputs, 1)[0]))

    def encode_rows(self, _: Sequence[Plain], counts: Sequence[int], outputs: Tensors) -> Sequence[RawResponse]:
        """The answers to several, each of which has one row."""
        return [RawResponse(dumps(row)) for row in self.contract.answers(outputs, len(counts))]
