"""Tables into instances: MLflow's `input_data` with columns, and CSV; from there on they are as any list of them."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from wye_runtime.codecs.bodies import MANY_VALUES
from wye_runtime.codecs.media import Media, check_charset
from wye_runtime.errors import BadRequest, Detail, Offences, PayloadTooLarge, refused, shown
from wye_runtime.protocol import DYNAMIC, FLOATS, INTEGERS, Signature, TensorSpec

FRAME_KEYS = ("columns", "index", "data")
HEADER = {"present": True, "absent": False}  # RFC 4180


def frame(signature: Signature, given: dict[str, Any]) -> list[Any]:
    """The instances of a pandas frame in its split orientation."""
    columns, data = given.get("columns"), given.get("data")
    offences = Offences()
    offences.add({"field": f"input_data.{name}", "message": "is not known"} for name in given if name not in FRAME_KEYS)
    offences.add(list_details(given))
    if offences.count or not isinstance(columns, list) or not isinstance(data, list):
        raise refused(offences)
    return by_columns(signature, columns, data)


def list_details(given: dict[str, Any]) -> Iterator[Detail]:
    """What is wrong with the three lists of a frame."""
    for name in ("columns", "data"):
        if not isinstance(given.get(name), list):
            yield {"field": f"input_data.{name}", "message": f"must be a list, got {shown(given.get(name))}"}
    index, data = given.get("index"), given.get("data")
    if index is not None and isinstance(data, list) and (not isinstance(index, list) or len(index) != len(data)):
        yield {"field": "input_data.index", "message": f"must be a list with an entry for each of the {len(data)} rows"}


def by_columns(signature: Signature, columns: Sequence[Any], rows: Sequence[Any]) -> list[Any]:
    """Rows where they are those of the only input, in the order of its columns if they have names; else objects."""
    names = [spec.name for spec in signature.inputs]
    is_row = len(names) == 1 and list(columns) != names
    wanted = list(signature.columns) if is_row else names
    offences = Offences()
    if wanted:
        offences.add(column_details(wanted, columns))
        if offences.count:
            raise refused(offences)
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            has = len(row) if isinstance(row, list) else shown(row)
            offences.add([{"instance": at, "message": f"expected {len(columns)} cells, one a column, got {has}"}])
    if offences.count:
        raise refused(offences)
    if is_row:
        places = [list(columns).index(name) for name in wanted]
        return [[row[place] for place in places] for row in rows] if wanted else list(rows)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def column_details(names: Sequence[str], columns: Sequence[Any]) -> Iterator[Detail]:
    """What is wrong with columns that should be the model's inputs."""
    has = f"the model's inputs are {', '.join(names)}"
    left = set(names)
    for name in columns:
        if not isinstance(name, str) or name not in names:
            yield {"field": shown(name).strip('"'), "message": f"is a column that nothing takes: {has}"}
        elif name not in left:
            yield {"field": name, "message": "is a column twice"}
        else:
            left.remove(name)
    yield from ({"field": name, "message": f"is missing among the columns: {has}"} for name in names if name in left)


def csv_instances(signature: Signature, body: bytes, media: Media) -> list[Any]:
    """The instances of CSV: a line each, after a header where there is one."""
    lines = csv_lines(body, media)
    if not lines:
        raise BadRequest("the body is empty, want CSV with a line for each instance")
    specs = signature.inputs
    if len(specs) > 1:
        if said_of_header(media) is False:
            raise BadRequest("text/csv has header=absent, and of several inputs the header says which column is which")
        return named_lines(signature, lines)
    header = lines.pop(0) if has_header(signature, lines[0], media) else None
    if header is not None and not lines:
        check_only_line(specs[0], header)
    rows: list[Any] = [[value_of(specs[0], cell) for cell in line] for line in lines]
    if header is not None and signature.columns:
        return by_columns(signature, header, rows)
    return [row[0] if len(row) == 1 else row for row in rows] if len(specs[0].shape) == 1 else rows


def check_only_line(spec: TensorSpec, header: Sequence[str]) -> None:
    """A header alone is an empty table; one that cannot be the model's is a line that was meant to be values."""
    wanted = spec.shape[1] if len(spec.shape) == 2 else DYNAMIC
    if wanted not in (DYNAMIC, len(header)):
        has = f"the only line of the CSV would be a header with {len(header)} of the model's {wanted} columns"
        raise BadRequest(f"{has}: want values, and commas between them")


def csv_lines(body: bytes, media: Media) -> list[list[str]]:
    """The cells of each line; BadRequest where it is no CSV, PayloadTooLarge above so many values."""
    check_charset(media)
    if body.count(b",") + body.count(b"\n") > MANY_VALUES:
        raise PayloadTooLarge(f"the CSV has more than {MANY_VALUES:,} values: send tensors in binary")
    try:
        text = body.decode("utf-8-sig")
        return [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None


def named_lines(signature: Signature, lines: list[list[str]]) -> list[Any]:
    """The header says which column is which input."""
    header, *rest = lines
    specs = {spec.name: spec for spec in signature.inputs}
    readers = [specs.get(name) for name in header]
    rows = [[value_of(spec, cell) for spec, cell in zip(readers, line, strict=False)] for line in rest]
    longer = {at: line for at, line in enumerate(rest) if len(line) != len(header)}
    return by_columns(signature, header, [longer.get(at, row) for at, row in enumerate(rows)])


def said_of_header(media: Media) -> bool | None:
    """What the request says of it, None where it says nothing."""
    said = media.parameters.get("header")
    if said is not None and said not in HEADER:
        raise BadRequest(f"text/csv has the parameter header={said}, want present or absent")
    return None if said is None else HEADER[said]


def has_header(signature: Signature, first: Sequence[str], media: Media) -> bool:
    """As the request says. Else a line of names alone (the input's, the columns'), for numbers any without a number.

    A line in which only some cells are columns may be either: nobody is served who meant the other.
    """
    said, [spec] = said_of_header(media), signature.inputs
    if said is not None:
        return said
    if list(first) == [spec.name] or set(first) <= set(signature.columns):
        return True
    if spec.datatype != "BYTES" and all(cell.strip() and isinstance(value_of(spec, cell), str) for cell in first):
        return True
    known = [cell for cell in first if cell in signature.columns]
    if known:
        what = f"the first line names some columns ({', '.join(known)}) and has other cells besides"
        raise BadRequest(f"{what}: say whether it is the header, by text/csv; header=present or header=absent")
    return False


def value_of(spec: TensorSpec | None, cell: str) -> Any:
    """What a cell says; one that says nothing of the kind stays a string, which its tensor refuses by its place."""
    if spec is None or spec.datatype == "BYTES":
        return cell
    if spec.datatype == "BOOL":
        return {"true": True, "false": False}.get(cell.strip().lower(), cell)
    try:
        value = int(cell) if spec.datatype in INTEGERS else float(cell)
    except ValueError:
        return cell
    is_odd = "_" in cell or (spec.datatype in FLOATS and not math.isfinite(value))
    return cell if is_odd else value
