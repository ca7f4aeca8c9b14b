"""Fits a declared contract to a model's tensors at load; what does not fit is a ModelInvalid that says both sides."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from wye_runtime.contract.answering import BoundOutput, bound_output
from wye_runtime.contract.contract import Contract
from wye_runtime.contract.declared import IMAGE, NO_DEFAULT, TEXT, Declared, Field, Output
from wye_runtime.contract.reading import Column, reader
from wye_runtime.errors import Misfit, ModelInvalid
from wye_runtime.protocol import DYNAMIC, INTEGERS, Signature, TensorSpec

Slot = tuple[str, int]


def bound(declared: Declared, signature: Signature) -> Contract:
    """The contract over this model."""
    for spec in signature.inputs:
        check_shape(spec)
    columns = tuple(columns_of(declared, signature))
    groups = tuple((spec, group(columns, spec)) for spec in signature.inputs)
    kinds = {field.type for field in declared.inputs}
    # a picture's first dimension is its bytes
    is_batched = all(spec.has_free_batch for spec in signature.inputs) and IMAGE not in kinds
    finds = not is_batched and not kinds.isdisjoint((IMAGE, TEXT))
    outputs = tuple(outputs_of(declared, signature, finds=finds))
    known = frozenset(field.name for field in declared.inputs)
    return Contract(declared, columns, groups, outputs, is_batched, known)


def check_shape(spec: TensorSpec) -> None:
    """A contract's fields fill one value or one row; the rows are the instances."""
    if len(spec.shape) > 2 or (spec.shape and spec.shape[0] not in (DYNAMIC, 1)):
        raise ModelInvalid(
            f"a contract cannot fill the model's input {described(spec)}: want [], [N] or [N, k], where N "
            "is dynamic or 1"
        )


def described(spec: TensorSpec) -> str:
    """A tensor in a sentence."""
    return f"{spec.name} ({spec.datatype} {list(spec.shape)})"


def group(columns: tuple[Column, ...], spec: TensorSpec) -> tuple[Column, ...]:
    """The columns of one tensor, in their order."""
    return tuple(sorted((c for c in columns if c.tensor == spec.name), key=lambda column: column.index))


def columns_of(declared: Declared, signature: Signature) -> Iterator[Column]:
    """Each field with its slot: the named one, else the next free one in tensor order."""
    slots = slots_of(declared, signature)
    taken = named_slots(declared, slots)
    free = iter([slot for slot in slots if slot not in taken.values()])
    specs = {spec.name: spec for spec in signature.inputs}
    for field in declared.inputs:
        tensor, index = taken[field.name] if field.name in taken else next(free)
        check_type(field, specs[tensor])
        read = reader(field, specs[tensor].datatype)
        yield Column(field, tensor, index, read, default(field, read))


def slots_of(declared: Declared, signature: Signature) -> list[Slot]:
    """All places that fields fill, in tensor order; as many as there are fields."""
    open_ended = [spec for spec in signature.inputs if spec.shape[1:] == (DYNAMIC,)]
    known = sum(width(spec) for spec in signature.inputs if spec not in open_ended)
    rest = len(declared.inputs) - known
    if len(open_ended) > 1 or (open_ended and rest < 1) or (not open_ended and rest):
        tensors = ", ".join(map(described, signature.inputs))
        raise ModelInvalid(
            f"the contract has {len(declared.inputs)} input fields, the model takes {tensors}: "
            "want one field for each column"
        )
    widths = {spec.name: rest if spec in open_ended else width(spec) for spec in signature.inputs}
    return [(name, at) for name, size in widths.items() for at in range(size)]


def width(spec: TensorSpec) -> int:
    """How many fields an input of a known width takes."""
    return 1 if len(spec.shape) < 2 else spec.shape[1]


def named_slots(declared: Declared, slots: list[Slot]) -> dict[str, Slot]:
    """The slots of the fields that name their tensor."""
    taken: dict[str, Slot] = {}
    for field in declared.inputs:
        if field.tensor is None:
            continue
        wanted = [slot for slot in slots if slot[0] == field.tensor]
        if field.index is not None:
            wanted = [slot for slot in wanted if slot[1] == field.index]
        free = [slot for slot in wanted if slot not in taken.values()]
        if not free:
            raise ModelInvalid(no_slot(field, slots, is_taken=bool(wanted)))
        taken[field.name] = free[0]
    return taken


def no_slot(field: Field, slots: list[Slot], *, is_taken: bool) -> str:
    """What is said of a field whose named place is not there, or taken."""
    place = f"{field.tensor}[{field.index}]" if field.index is not None else field.tensor
    why = "another field has it already" if is_taken else "the model does not have it"
    has = ", ".join(dict.fromkeys(name for name, _ in slots))
    return f"the contract's field {field.name} names {place}: {why} (the model's inputs: {has})"


def check_type(field: Field, spec: TensorSpec) -> None:
    """Whether values of this field can stand in this tensor."""
    why = picture_clash(spec) if field.type == IMAGE else clash(field, spec.datatype)
    if why:
        raise ModelInvalid(
            f"the contract's field {field.name} is {article(field.type)} {field.type}, "
            f"the model's input {described(spec)}: {why}"
        )


def article(word: str) -> str:
    """The one that an English word wants."""
    return "an" if word[0] in "aeiou" else "a"


def picture_clash(spec: TensorSpec) -> str | None:
    """Why a picture cannot stand in this tensor; None where it can."""
    fits = spec.datatype == "UINT8" and spec.shape == (DYNAMIC,)
    return None if fits else "want UINT8 [-1], the bytes of one picture, which the model decodes"


def clash(field: Field, datatype: str) -> str | None:
    """Why values of a field cannot stand in a tensor of this datatype; None where they can."""
    if field.type != "boolean" and datatype == "BOOL":
        return "want a boolean"
    if field.type == TEXT and datatype != "BYTES":
        return "want a tensor of strings"
    if field.type == "string" and datatype != "BYTES" and field.values is None:
        return "give the string's values, so that each becomes its index"
    if field.type not in ("string", TEXT) and datatype == "BYTES":
        return "want a string"
    if field.type == "number" and datatype in INTEGERS:
        return "want an integer"
    return None


def default(field: Field, read: Callable[[object], Any]) -> Any:
    """What stands for the field where it is absent."""
    if field.is_required:
        return NO_DEFAULT
    try:
        return read(field.default)
    except Misfit as misfit:
        raise ModelInvalid(f"the default of the field {field.name}: {misfit}") from None


def outputs_of(declared: Declared, signature: Signature, *, finds: bool) -> Iterator[BoundOutput]:
    """`finds`: in each picture or text the model finds any number of things."""
    specs = {spec.name: spec for spec in signature.outputs}
    for output in declared.outputs:
        yield bound_output(output, tensor_of(output, specs), finds=finds)


def tensor_of(output: Output, specs: Mapping[str, TensorSpec]) -> TensorSpec:
    """The tensor that is named, else the one of the same name, else the only one.

    Never one by its place: a classifier's first output is its label, and a number all the same.
    """
    found = specs.get(output.tensor or output.name)
    if found is None and output.tensor is None and len(specs) == 1:
        [found] = specs.values()
    if found is None:
        has = ", ".join(map(described, specs.values()))
        what = output.tensor or "no tensor"
        raise ModelInvalid(
            f"the contract's output {output.name} names {what}, the model's outputs are {has}: "
            "name one of them as its tensor"
        )
    return found
