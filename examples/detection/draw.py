"""Draws what an endpoint answered into the picture that it was asked about.

wye invoke examples/detection -f examples/detection/scene.jpg > answer.json
python examples/detection/draw.py examples/detection/scene.jpg answer.json found.jpg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"circle": "red", "square": "blue", "triangle": "green"}
Found = list[tuple[str, list[float], float]]  # kind, box, confidence


def drawn(picture: Path, found: Found) -> Image.Image:
    """The picture at twice its size, with a box and a word for each thing that was found."""
    image = Image.open(picture).convert("RGB")
    image = image.resize((image.width * 2, image.height * 2))
    pen = ImageDraw.Draw(image)
    for kind, box, confidence in found:
        left, top, right, bottom = (edge * 2 for edge in box)
        pen.rectangle((left, top, right, bottom), outline=COLOURS[kind], width=3)
        words = f"{kind} {confidence:.2f}"
        at = (left, max(0, top - 13))
        pen.rectangle(pen.textbbox(at, words), fill="white")
        pen.text(at, words, fill=COLOURS[kind])
    return image


def main(picture: str, answer: str, to: str) -> int:
    said = json.loads(Path(answer).read_text())
    found = list(zip(said["classes"], said["boxes"], said["confidence"], strict=True))
    drawn(Path(picture), found).save(to)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
