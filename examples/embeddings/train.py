"""Makes models/embeddings.onnx: a text goes in as it is, its meaning comes out as 96 numbers.

    python examples/embeddings/train.py [--force]

Half a minute on one core. The tokenizer is a node of the model, so callers need none, and it cannot differ from the one
that the model was made with. Each token has a vector, from which other tokens it stands with in Python's own help texts
(latent semantic analysis); a text's vector is their sum, of length 1: a scalar product says how alike two texts are.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from string import ascii_lowercase, digits, punctuation

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime_extensions import get_library_path
from passages import passages
from scipy.sparse import csr_matrix, diags
from sklearn.decomposition import TruncatedSVD
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
MODELS = HERE / "models"
SIZE = 96
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ENDINGS = ("s", "es", "ed", "ing", "ly", "er", "tion", "able")
CONTRIB = "ai.onnx.contrib"
FEWEST = 3  # a word that stands there less often is put together from parts


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="make it although it is there")
    given = parser.parse_args(arguments)
    model = MODELS / "embeddings.onnx"
    if given.force or not model.exists():
        train(MODELS)
    print(f"{model.relative_to(HERE)}: {model.stat().st_size:,} bytes")
    return 0


def train(folder: Path) -> Path:
    """The model's file."""
    texts = [each.text for each in passages()]
    tokens = vocabulary(texts)
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "embeddings.onnx"
    made.write_bytes(embedder(tokens, vectors(texts, tokens)).SerializeToString())
    return made


def vocabulary(texts: list[str]) -> list[str]:
    """Words, and parts from which every other word can be put together."""
    counted = Counter(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))
    words = [word for word, count in counted.most_common() if count >= FEWEST and len(word) > 1]
    letters = [*ascii_lowercase, *digits, *punctuation]
    parts = [f"##{each}" for each in (*ENDINGS, *ascii_lowercase, *digits)]
    return [*SPECIAL, *letters, *parts, *words]


def vectors(texts: list[str], tokens: list[str]) -> np.ndarray:
    """A vector for each token: [tokens, SIZE]."""
    tokenizer = session(tokenizing(tokens))
    rows, columns = [], []
    for row, text in enumerate(texts):
        [ids] = tokenizer.run(["ids"], {"text": np.array([text], object)})
        rows += [row] * len(ids)
        columns += ids.tolist()
    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(texts), len(tokens)))
    weights = np.log(len(texts) / (1 + np.bincount(counts.nonzero()[1], minlength=len(tokens))))
    weights = np.clip(weights, 0, None)
    weights[: tokens.index("##z") + 1] = 0  # letters mean nothing by themselves
    counts.data = 1 + np.log(counts.data)
    with threadpool_limits(1):
        found = TruncatedSVD(SIZE, random_state=0).fit(counts @ diags(weights))
    return (found.components_.T * weights[:, None]).astype(np.float32)


def tokenizing(tokens: list[str]) -> ModelProto:
    return model([tokenizer(tokens)], [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])], [])


def tokenizer(tokens: list[str]) -> object:
    vocabulary_file = "\n".join(tokens)
    outputs = ["ids", "types", "mask"]
    return helper.make_node("BertTokenizer", ["text"], outputs, domain=CONTRIB, vocab_file=vocabulary_file)


def embedder(tokens: list[str], of_tokens: np.ndarray) -> ModelProto:
    """text [1] -> embedding [1, SIZE]."""
    nodes = [
        tokenizer(tokens),
        helper.make_node("Gather", ["of_tokens", "ids"], ["each"]),
        helper.make_node("ReduceSum", ["each", "first"], ["sum"], keepdims=1),
        helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
    ]
    constants = [numpy_helper.from_array(of_tokens, "of_tokens"), numpy_helper.from_array(np.array([0]), "first")]
    return model(nodes, [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, SIZE])], constants)


def model(nodes: list, outputs: list, constants: list) -> ModelProto:
    text = helper.make_tensor_value_info("text", TensorProto.STRING, [1])
    graph = helper.make_graph(nodes, "embeddings", [text], outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def session(made: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.register_custom_ops_library(get_library_path())
    return ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    sys.exit(main())
