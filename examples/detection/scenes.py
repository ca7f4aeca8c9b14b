"""Scenes to look for things in: circles, squares and triangles of any colour on a background with noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

KINDS = ("circle", "square", "triangle")
WIDTH, HEIGHT = 320, 240
SMALLEST, LARGEST = 32, 64
CONTRAST = 150  # of a thing's colour from its background, over the three channels together


@dataclass(frozen=True, slots=True)
class Thing:
    """What is in a scene, and where: left, top, right, bottom."""

    kind: str
    box: tuple[int, int, int, int]


def scene(random: np.random.Generator) -> tuple[np.ndarray, list[Thing]]:
    """Pixels [height, width, 3] (red, green, blue), and what is in them."""
    ground = random.integers(0, 256, 3)
    slope = np.linspace(-30, 30, WIDTH)[None, :, None] * random.uniform(-1, 1)
    noise = 12 * random.standard_normal((HEIGHT, WIDTH, 3), np.float32)
    image = Image.fromarray(np.clip(ground + slope + noise, 0, 255).astype(np.uint8))
    things: list[Thing] = []
    for _ in range(random.integers(1, 6)):
        thing = placed(random, things)
        if thing:
            draw(ImageDraw.Draw(image), thing, colour(random, ground))
            things.append(thing)
    return np.asarray(image), things


def placed(random: np.random.Generator, others: list[Thing]) -> Thing | None:
    """A thing that lies clear of the others."""
    side = int(random.integers(SMALLEST, LARGEST))
    left, top = int(random.integers(0, WIDTH - side)), int(random.integers(0, HEIGHT - side))
    box = (left, top, left + side, top + side)
    is_clear = all(
        box[2] + 6 < o.box[0] or o.box[2] + 6 < box[0] or box[3] + 6 < o.box[1] or o.box[3] + 6 < box[1] for o in others
    )
    return Thing(KINDS[random.integers(len(KINDS))], box) if is_clear else None


def colour(random: np.random.Generator, ground: np.ndarray) -> tuple[int, ...]:
    while True:
        found = random.integers(0, 256, 3)
        if np.abs(found - ground).sum() > CONTRAST:
            return tuple(int(each) for each in found)


def draw(on: ImageDraw.ImageDraw, thing: Thing, fill: tuple[int, ...]) -> None:
    left, top, right, bottom = thing.box
    if thing.kind == "circle":
        on.ellipse(thing.box, fill=fill)
    elif thing.kind == "square":
        on.rectangle(thing.box, fill=fill)
    else:
        on.polygon(((left, bottom), (right, bottom), ((left + right) / 2, top)), fill=fill)
