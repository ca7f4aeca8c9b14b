"""A contract that is bound to a model: objects into tensors, tensors into objects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wye_runtime.contract.answering import BoundOutput
from wye_runtime.contract.declared import IMAGE, NO_DEFAULT, Declared
from wye_runtime.contract.reading import Column
from wye_runtime.errors import Detail, InvalidInput, Misfit, Offences, shown
from wye_runtime.protocol import Array, Tensors, TensorSpec
from wye_runtime.tensors import array_of


@dataclass(frozen=True, slots=True)
class Contract:
    """Columns grouped by the tensor that they fill, each group in the order of its indices."""

    declared: Declared
    columns: tuple[Column, ...]
    inputs: tuple[tuple[TensorSpec, tuple[Column, ...]], ...]
    outputs: tuple[BoundOutput, ...]
    is_batched: bool
    known: frozenset[str]

    @property
    def example(self) -> dict[str, Any]:
        return {field.name: field.example for field in self.declared.inputs}

    def only(self, kind: str) -> str | None:
        """The field that a body of such a kind fills, where there is exactly one."""
        found = [field.name for field in self.declared.inputs if field.type == kind]
        return found[0] if len(found) == 1 else None

    @property
    def tensors(self) -> tuple[str, ...]:
        """The model's outputs that the answer needs."""
        return tuple(dict.fromkeys(each.spec.name for each in self.outputs))

    def batches(self, instances: Sequence[Any], *, is_list: bool) -> list[Tensors]:
        """What goes into the model, in one run where it can; every wrong field is named at once."""
        offences = Offences()
        rows = []
        for at, instance in enumerate(instances):
            if offences.is_full:
                offences.is_partial = True
                break
            where = {"instance": at} if is_list else {}
            rows.append(self.read(instance, where, offences))
        if offences.count:
            raise refusal(offences)
        groups = [rows] if self.is_batched and rows else [[row] for row in rows]
        return [self.feeds(group) for group in groups]

    def read(self, instance: object, where: Mapping[str, object], offences: Offences) -> dict[str, Any]:
        """The values of one instance by field; what is wrong goes to `offences`."""
        if not isinstance(instance, dict):
            message = f"expected an object, got {shown(instance)}"
            offences.add([{**where, "message": message}])
            return {}
        values: dict[str, Any] = {}
        for column in self.columns:
            try:
                values[column.field.name] = value_of(column, instance)
            except Misfit as misfit:
                offences.add([misfit.detail(**where, field=column.field.name)])
        if not (self.declared.drops_unknown or instance.keys() <= self.known):
            offences.add(self.unknown(instance, where))
        return values

    def unknown(self, instance: dict[str, Any], where: Mapping[str, object]) -> Iterator[Detail]:
        message = f"is not known; known fields: {', '.join(f.name for f in self.declared.inputs)}"
        return ({**where, "field": name, "message": message} for name in instance if name not in self.known)

    def feeds(self, rows: list[dict[str, Any]]) -> Tensors:
        return {spec.name: tensor(spec, columns, rows) for spec, columns in self.inputs}

    def answers(self, outputs: Tensors, count: int) -> list[dict[str, Any]]:
        """An object for each of the instances of one run."""
        names = [each.output.name for each in self.outputs]
        columns = [each.of(outputs[each.spec.name], count) for each in self.outputs]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def value_of(column: Column, instance: dict[str, Any]) -> Any:
    """One field's value in an instance, or its default; a Misfit where there is neither, or a wrong one."""
    name = column.field.name
    if name in instance:
        return column.read(instance[name])
    if column.default is NO_DEFAULT:
        raise Misfit("is required")
    return column.default


def refusal(offences: Offences) -> InvalidInput:
    """One sentence with the first offence and how many more there are."""
    first = offences.details[0]
    named = (f"instance {first['instance']}" if "instance" in first else "", first.get("field", ""))
    where = ", ".join(str(each) for each in named if each) or "the body"
    return InvalidInput(f"{where}: {first['message']}{offences.others}", offences.details)


def tensor(spec: TensorSpec, columns: Sequence[Column], rows: list[dict[str, Any]]) -> Array:
    """One input tensor, its columns in order."""
    names = [column.field.name for column in columns]
    if columns[0].field.type == IMAGE:
        picture: Array = rows[0][names[0]]
        return picture
    values = [row[name] for row in rows for name in names]
    shape = ((), (len(rows),), (len(rows), len(names)))[len(spec.shape)]
    return array_of(spec.datatype, values).reshape(shape)
