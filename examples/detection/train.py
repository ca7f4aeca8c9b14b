"""Trains the detector on scenes of its own making, writes it to models/, and draws what it finds in a new one.

    python examples/detection/train.py [--force]

Half a minute on one core. The windows of a scene are cut from what the model's own preparation makes of it; a network
says which kind of thing has its centre there, another one where its edges are. Their weights become convolutions.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
from draw import drawn
from network import CELLS, SIDE, STRIDE, WINDOW, Layers, centres, detector, preparation
from onnxruntime_extensions import get_library_path
from PIL import Image
from scenes import HEIGHT, KINDS, WIDTH, Thing, scene
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
MODELS = HERE / "models"
SCENES, ELSEWHERE, ROUNDS = 300, 24, 20
ENLARGED = 10  # shares of a picture are too small numbers to learn well
NEAR = 0.75 * 2 * STRIDE / SIDE  # a cell whose centre is that close to a thing's says where the thing is
AWAY = 3 * 2 * STRIDE / SIDE  # one that is further away than that says "nothing"; those between say what they like


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="train although the model is there")
    given = parser.parse_args(arguments)
    model = MODELS / "detector.onnx"
    if given.force or not model.exists():
        train(MODELS)
    print(f"{model.relative_to(HERE)}: {model.stat().st_size:,} bytes")
    show(model)
    return 0


def train(folder: Path, scenes: int = SCENES) -> Path:
    """The model's file."""
    windows, kinds, edges = examples(scenes)
    at = kinds > 0
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of rounds is enough
        which = MLPClassifier(hidden_layer_sizes=(48,), max_iter=ROUNDS, random_state=0).fit(windows, kinds)
        where = MLPRegressor(hidden_layer_sizes=(64,), max_iter=ROUNDS * 10, random_state=0)
        where.fit(windows[at], edges[at] * ENLARGED)
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "detector.onnx"
    made.write_bytes(detector(layers(which), layers(where, ENLARGED)).SerializeToString())
    return made


def layers(network: MLPClassifier | MLPRegressor, enlarged: float = 1) -> Layers:
    """Its weights; the last ones give what it was asked for, not as much of it."""
    *before, (weights, bias) = zip(network.coefs_, network.intercepts_, strict=True)
    return [*before, (weights / enlarged, bias / enlarged)]


def examples(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows, what has its centre there (0: nothing), and its edges from there: top, left, bottom, right."""
    random = np.random.default_rng(0)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    prepare = ort.InferenceSession(preparation().SerializeToString(), options, providers=["CPUExecutionProvider"])
    windows, kinds, corners = [], [], []
    for _ in range(count):
        pixels, things = scene(random)
        [ready] = prepare.run(None, {"pixels": np.ascontiguousarray(pixels[..., ::-1])})  # as decoders give them
        boxes = np.array([shares(each) for each in things])
        apart = distances(boxes)
        for cell in chosen(random, apart):
            row, column = np.array(divmod(cell, CELLS)) * STRIDE
            windows.append(ready[0, :, row : row + WINDOW, column : column + WINDOW].ravel())
            nearest = apart[cell].argmin()
            is_there = apart[cell, nearest] <= NEAR
            kinds.append(1 + KINDS.index(things[nearest].kind) if is_there else 0)
            corners.append(boxes[nearest] - np.tile(centres()[cell], 2))
    return np.array(windows), np.array(kinds), np.array(corners)


def shares(thing: Thing) -> np.ndarray:
    """Its box as shares of the picture: top, left, bottom, right."""
    left, top, right, bottom = thing.box
    return np.array([top / HEIGHT, left / WIDTH, bottom / HEIGHT, right / WIDTH], np.float32)


def distances(boxes: np.ndarray) -> np.ndarray:
    """How far each cell's centre is from each thing's, along the worse of the two axes: [cells, things]."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.abs(centres()[:, None] - middles[None]).max(axis=2)


def chosen(random: np.random.Generator, apart: np.ndarray) -> np.ndarray:
    """All cells at a thing's centre, some around it, and some anywhere."""
    nearest = apart.min(axis=1)
    at, around = np.flatnonzero(nearest <= NEAR), np.flatnonzero((nearest > AWAY) & (nearest < 4 * AWAY))
    some = [random.choice(each, ELSEWHERE // 2, replace=False) for each in (around, np.flatnonzero(nearest > AWAY))]
    return np.concatenate([at, *some])


def session(model: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.register_custom_ops_library(get_library_path())
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def show(model: Path) -> None:
    """Looks at a scene that the model has not seen; scene.jpg is also what the page sends."""
    pixels, things = scene(np.random.default_rng(8))
    Image.fromarray(pixels).save(HERE / "scene.jpg", quality=90)
    image = np.frombuffer((HERE / "scene.jpg").read_bytes(), np.uint8)
    boxes, classes, confidence = session(model).run(None, {"image": image})
    found = [
        (KINDS[kind], box.tolist(), float(sure)) for kind, box, sure in zip(classes, boxes, confidence, strict=True)
    ]
    drawn(HERE / "scene.jpg", found).save(HERE / "found.jpg", quality=90)
    print(f"scene.jpg has {len(things)} things, {len(found)} were found: found.jpg shows them")
    for kind, box, sure in found:
        print(f"  {kind:8} {sure:.2f}  at {', '.join(f'{edge:.0f}' for edge in box)}")


if __name__ == "__main__":
    sys.exit(main())
