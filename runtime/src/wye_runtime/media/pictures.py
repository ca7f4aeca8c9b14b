"""A picture's bytes as a model's decoder may have them: whole, of a bounded size, and never a JPEG.

The decoder inside of a model (onnxruntime-extensions 0.15, libjpeg) ends the whole process on bytes that are no JPEG,
and never ends on one that is cut off: docs/decisions/0015. So JPEGs are decoded here, by libjpeg-turbo, which says
what is wrong, and go on as PNG without compression. PNGs go on as they came, once their parts and sums are right.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from wye_runtime.errors import Misfit
from wye_runtime.protocol import Array

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
OTHERS = {
    b"GIF8": "a GIF",
    b"RIFF": "a WebP or another RIFF file",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"{": "JSON",
    b"<": "XML or HTML",
}
MOST_PIXELS = 25_000_000  # 75 MB when decoded; what the model makes of it is more
MOST_PARTS = 10_000
PART = struct.Struct(">I4s")
SIZE = struct.Struct(">II")
SUM = struct.Struct(">I")


def decodable(array: Array) -> Array:
    """The same picture, safe to decode; a Misfit that says why where it is none."""
    raw = array.tobytes()
    if raw.startswith(PNG):
        check_png(memoryview(raw))
        return array
    if raw.startswith(JPEG):
        return np.frombuffer(png(pixels_of(raw)), np.uint8)
    raise Misfit(f"expected a JPEG or PNG picture, got {named(raw)}")


def named(raw: bytes) -> str:
    """What bytes are that are no picture we take, for a sentence."""
    if not raw:
        return "nothing"
    kind = next((name for magic, name in OTHERS.items() if raw.startswith(magic)), None)
    return kind or f"{len(raw)} other bytes"


def check_png(raw: memoryview) -> None:
    """Whether it is whole: its parts one after the other, their sums right, the last one at the end."""
    kind = b""
    for count, (kind, content) in enumerate(png_parts(raw)):
        if count == 0:
            if kind != b"IHDR" or len(content) != 13:
                raise Misfit("the PNG does not begin with its size")
            check_size(*SIZE.unpack_from(content))
        if count > MOST_PARTS:
            raise Misfit(f"the PNG has more than {MOST_PARTS:,} parts")
    if kind != b"IEND":
        raise Misfit("the PNG is cut off")


def png_parts(raw: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each part, as far as they are whole; what follows the last one is nobody's."""
    at = len(PNG)
    while at + PART.size + SUM.size <= len(raw):
        size, kind = PART.unpack_from(raw, at)
        end = at + PART.size + size
        if end + SUM.size > len(raw):
            return
        if zlib.crc32(raw[at + 4 : end]) != SUM.unpack_from(raw, end)[0]:
            raise Misfit(f"the PNG is damaged: the sum of its part {kind.decode('latin-1')} is wrong")
        yield kind, raw[at + PART.size : end]
        if kind == b"IEND":
            return
        at = end + SUM.size


def check_size(width: int, height: int) -> None:
    """A small file may be a huge picture."""
    if not 0 < width * height <= MOST_PIXELS:
        raise Misfit(f"the picture has {width} x {height} pixels, want at most {MOST_PIXELS:,}: send a smaller one")


def pixels_of(raw: bytes) -> Array:
    """Rows of red, green and blue."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(raw)
        check_size(width, height)
        pixels: Array = simplejpeg.decode_jpeg(raw, "RGB")
    except ValueError as error:
        raise Misfit(f"the JPEG is damaged or cut off: {error}") from None
    return pixels


def png(pixels: Array, level: int = 0) -> bytes:
    """Rows of pixels as a PNG, without filters and mostly without compression: it is read again at once."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + width * 3), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = SIZE.pack(width, height) + bytes((8, 2, 0, 0, 0))  # eight bits each of red, green and blue
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, level)), (b"IEND", b""))
    return PNG + b"".join(png_part(kind, content) for kind, content in parts)


def png_part(kind: bytes, content: bytes) -> bytes:
    """One part of a PNG, with its length and its sum."""
    return b"".join((PART.pack(len(content), kind), content, SUM.pack(zlib.crc32(content, zlib.crc32(kind)))))


SAMPLE = np.frombuffer(png(np.full((64, 64, 3), 127, np.uint8), 9), np.uint8)  # for warm-ups and examples
