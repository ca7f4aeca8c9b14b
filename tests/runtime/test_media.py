"""Pictures and texts as bodies, for models that decode them: what they answer, and what no decoder ever sees."""

import io
import struct
import zlib
from base64 import b64encode

import numpy as np
import pytest
from PIL import Image

import toys
from wye_runtime.errors import Misfit, ModelInvalid
from wye_runtime.media import MOST_PIXELS, decodable, graph
from wye_runtime.media.pictures import PNG, png, png_part

COLOUR = (200, 100, 50)  # red, green, blue
BGR = pytest.approx(COLOUR[::-1], abs=2)  # as the decoder gives them; JPEG is not exact
CONTRACT = {
    "inputs": [{"name": "photo", "type": "image"}],
    "outputs": [
        {"name": "colour", "tensor": "colour"},
        {"name": "rows", "tensor": "rows"},
        {"name": "red", "tensor": "rows", "index": 2},
        {"name": "tint", "tensor": "rows", "labels": ["blue", "green", "red"]},
        {"name": "main", "tensor": "colour", "labels": ["blue", "green", "red"]},
    ],
}


def picture(kind="PNG", mode="RGB", size=(8, 4), **more) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, COLOUR).convert(mode).save(out, kind, **more)
    return out.getvalue()


def part(content: bytes, kind=b"IDAT") -> bytes:
    return png_part(kind, content)


def size_of(width: int, height: int) -> bytes:
    return part(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IHDR")


@pytest.fixture
def plain(servers):
    return servers.one("picture", toys.mean_colour)


@pytest.fixture
def fields(servers):
    return servers.one("picture fields", toys.mean_colour, contract=CONTRACT)


@pytest.fixture
def texts(servers):
    return servers.one("words", toys.words)


def sent(server, body: bytes, kind: str):
    return server.http.post("/score", content=body, headers={"content-type": kind})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(picture(), id="png"),
        pytest.param(picture(mode="RGBA"), id="png with alpha"),
        pytest.param(picture() + b"more", id="png with something behind it"),
        pytest.param(picture("JPEG", quality=95), id="jpeg"),
        pytest.param(picture("JPEG", progressive=True, quality=95), id="progressive jpeg"),
    ],
)
def test_a_picture_is_answered_in_whatever_form_it_comes(plain, fields, body):
    for kind in ("image/png", "image/jpeg"):
        answer = sent(plain, body, kind).json()
        assert answer == {"colour": BGR, "rows": [BGR] * 4}
    answer = fields.score({"photo": b64encode(body).decode()}).json()
    assert answer["colour"] == BGR
    assert answer["red"] == pytest.approx([COLOUR[0]] * 4, abs=2)
    assert (answer["tint"], answer["main"]) == (["red"] * 4, "red")
    assert sent(fields, body, "image/png").json() == answer
    assert fields.score({"instances": [{"photo": b64encode(body).decode()}] * 2}).json() == {
        "predictions": [answer] * 2
    }


def test_what_is_found_in_a_picture_is_a_list_even_of_one(fields, plain):
    body = picture(size=(8, 1))
    assert sent(fields, body, "image/png").json()["tint"] == ["red"]
    assert sent(plain, body, "image/png").json()["rows"] == [BGR]


def test_a_picture_goes_in_as_a_tensor_too(plain):
    body = np.frombuffer(picture("JPEG"), np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [len(body)], "data": body.tolist()}
    outputs = plain.infer([tensor]).json()["outputs"]
    assert outputs[0]["data"] == BGR


def noise() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue()


whole, jpeg = picture(), noise()
NO_PICTURES = {
    "nothing": (b"", "expected a JPEG or PNG picture, got nothing"),
    "words": (b"hello world", "expected a JPEG or PNG picture, got 11 other bytes"),
    "a gif": (picture("GIF"), "got a GIF"),
    "a bmp": (picture("BMP"), "got a BMP"),
    "a webp": (picture("WEBP"), "got a WebP or another RIFF file"),
    "a png that is cut off": (whole[:-9], "the PNG is cut off"),
    "only the beginning of a png": (PNG, "the PNG is cut off"),
    "a png with other bytes in it": (
        whole[:50] + b"\0" + whole[51:],
        "the PNG is damaged: the sum of its part IDAT is wrong",
    ),
    "a png without a size": (PNG + part(b"") + part(b"", b"IEND"), "the PNG does not begin with its size"),
    "a png of nothing": (PNG + size_of(1, 1) + part(zlib.compress(b"")) + part(b"", b"IEND"), "cannot be decoded"),
    "a png of 0 pixels": (PNG + size_of(0, 1) + part(b"", b"IEND"), "the picture has 0 x 1 pixels"),
    "a png of many parts": (PNG + size_of(1, 1) + part(b"") * 10_001, "the PNG has more than 10,000 parts"),
    "a small file that is a huge picture": (
        PNG + size_of(100_000, 100_000) + part(b"", b"IEND"),
        f"the picture has 100000 x 100000 pixels, want at most {MOST_PIXELS:,}: send a smaller one",
    ),
    "a jpeg that is cut off": (jpeg[:-300], "the JPEG is damaged or cut off: Premature end of JPEG file"),
    "a jpeg without its last byte": (jpeg[:-1], "the JPEG is damaged or cut off"),
    "the beginning of a jpeg": (jpeg[:200], "the JPEG is damaged or cut off"),
    "a jpeg with other bytes in it": (jpeg[:700] + b"\xff" * 50 + jpeg[750:], "the JPEG is damaged or cut off"),
}


@pytest.mark.parametrize(("body", "why"), NO_PICTURES.values(), ids=NO_PICTURES)
def test_a_picture_that_is_no_picture_is_a_422_on_every_way(plain, fields, body, why):
    """Each of them, given to the model's own decoder, ends its process, hangs it, or is refused there at best."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [len(body)], "data": list(body)}
    good = b64encode(whole).decode()
    listed = fields.score({"instances": [{"photo": good}, {"photo": b64encode(body).decode()}]})
    for answer in (sent(plain, body, "image/jpeg"), sent(fields, body, "image/png"), plain.infer([tensor]), listed):
        assert answer.status_code == 422, answer.text
        assert why in answer.json()["error"]["message"]
    if why != "cannot be decoded":
        assert listed.json()["error"]["details"][0].items() >= {"instance": 1, "field": "photo"}.items()
    assert sent(plain, whole, "image/png").status_code == 200, "and the server goes on"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("not base64!", 'expected a picture (JPEG or PNG) in base64, got "not base64!"'),
        ("data:image/png;base64,AAAA", "send what stands behind its comma"),
        (5, "expected a picture (JPEG or PNG) in base64, got 5"),
        (None, "got null"),
    ],
)
def test_a_field_that_is_no_base64_is_a_422(fields, value, why):
    answer = fields.score({"photo": value})
    assert answer.status_code == 422
    assert why in answer.json()["error"]["message"]


@pytest.mark.parametrize(("kind", "named"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_a_picture_that_is_not_called_one_is_told_how(plain, kind, named):
    """`curl --data-binary` calls everything a form."""
    answer = sent(plain, picture(kind), "application/x-www-form-urlencoded")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(f"; it is a picture: send it with Content-Type: {named}")


def test_other_media_types_are_named(plain, fields, texts):
    wanted = {
        plain: "text/csv or image/jpeg or image/png",
        fields: "image/jpeg or image/png",
        texts: "text/csv or text/plain",
    }
    for server, kinds in wanted.items():
        refused = sent(server, whole, "image/webp")
        assert refused.status_code == 415
        assert refused.json()["error"]["message"] == f'the body is "image/webp", want application/json or {kinds}'
        described = server.http.get("/openapi.json").json()["paths"]["/score"]["post"]["requestBody"]["content"]
        assert list(described) == ["application/json", *kinds.split(" or ")]


def test_a_text_is_answered_as_a_whole_body_and_as_a_field(servers, texts):
    assert sent(texts, b"Hello worlds", "text/plain").json() == {"ids": [2, 5, 6, 7, 8, 3], "count": 6}
    assert sent(texts, b"", "text/plain; charset=utf-8").json() == {"ids": [2, 3], "count": 2}
    outputs = [{"name": "ids"}, {"name": "count"}]
    contract = {"inputs": [{"name": "words", "type": "text"}], "outputs": outputs}
    server = servers.one("words field", toys.words, contract=contract)
    assert sent(server, b"Hello worlds", "text/plain").json() == {"ids": [2, 5, 6, 7, 8, 3], "count": 6}
    assert server.score({"words": "Hello"}).json() == {"ids": [2, 5, 3], "count": 3}
    assert server.score({"words": 5}).json()["error"]["details"] == [
        {"field": "words", "message": "expected a string, got 5"}
    ]
    latin = sent(server, "é".encode("latin1"), "text/plain")
    assert (latin.status_code, latin.json()["error"]["message"]) == (400, "the body is not UTF-8")
    assert sent(server, b"a", "text/plain; charset=latin1").status_code == 415


def test_pictures_are_described(fields):
    schemas = fields.http.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Instance"]["properties"]["photo"] == {
        "type": "string",
        "contentEncoding": "base64",
        "contentMediaType": "image/*",
    }
    assert schemas["Prediction"]["properties"]["tint"]["type"] == "array"
    assert fields.score(schemas["Instance"]["examples"][0]).status_code == 200
    older = fields.http.get("/swagger.json?version=3").json()["components"]["schemas"]
    assert older["Instance"]["properties"]["photo"] == {"type": "string", "format": "byte"}


def test_runs_of_such_models_stay_out_of_the_event_loop(plain, texts):
    for server in (plain, texts):
        assert server.inner.get("/scheduling").json()["inlineElements"] == 0
    assert plain.inner.get("/scheduling").json()["batchWhy"] == "a run decodes one picture"


@pytest.mark.parametrize(
    ("made", "environment", "contract", "why"),
    [
        (toys.unknown_operator, {}, None, "ai.onnx.contrib:ReadMinds, which onnxruntime-extensions does not have"),
        (lambda: toys.mean_colour(read="copy"), {}, None, "DecodeImage reads 'copy', which is no input of the model"),
        (
            lambda: toys.passing("UINT8", ["N", 3]),
            {},
            {"inputs": [{"name": "photo", "type": "image"}], "outputs": [{"name": "y"}]},
            "the contract has 1 input fields",
        ),
        (
            lambda: toys.passing("FP32", ["N"]),
            {},
            {"inputs": [{"name": "photo", "type": "image"}], "outputs": [{"name": "y"}]},
            "the contract's field photo is an image, the model's input x (FP32 [-1]): want UINT8 [-1]",
        ),
        (
            lambda: toys.passing("FP32", ["N"]),
            {},
            {"inputs": [{"name": "note", "type": "text"}], "outputs": [{"name": "y"}]},
            "the contract's field note is a text, the model's input x (FP32 [-1]): want a tensor of strings",
        ),
    ],
)
def test_what_cannot_be_served_says_why(servers, made, environment, contract, why):
    server = servers.start(made(), environment, **({"contract": contract} if contract else {}))
    assert server.ended() == 3
    assert server.last_words()["reason"] == "ModelInvalid"
    assert why in server.last_words()["message"]


def test_without_the_library_the_operator_and_the_package_are_named(servers, monkeypatch, tmp_path):
    from wye_runtime.engine import model, sessions
    from wye_runtime.engine.artifact import artifact_at
    from wye_runtime.settings import Engine, ModelSource

    monkeypatch.setattr(sessions, "library", lambda: None)
    path = toys.saved(toys.words(), tmp_path / "words.onnx")
    with pytest.raises(ModelInvalid, match=r"has the operator ai.onnx.contrib:BertTokenizer, which the package onnx"):
        model.load(artifact_at(ModelSource(name="words", path=str(path))), Engine())


def test_inputs_that_are_decoded_are_found_inside_of_branches_too():
    from onnx import TensorProto, helper

    decoder = helper.make_node("DecodeImage", ["image"], ["pixels"], domain=toys.EXTENSIONS)
    branch = helper.make_graph(
        [decoder], "branch", [], [helper.make_tensor_value_info("pixels", TensorProto.UINT8, None)]
    )
    node = helper.make_node("If", ["large"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [toys.tensor("large", "BOOL", []), toys.tensor("image", "UINT8", ["n"])]
    made = toys.extended([node], inputs, [toys.tensor("y", "UINT8", [None, None, 3])])
    assert graph.picture_inputs(made.SerializeToString()) == ("image",)


def test_a_jpeg_goes_on_as_a_png_of_the_same_pixels():
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)))
    again = decodable(np.frombuffer(jpeg, np.uint8)).tobytes()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(again))), pixels)
    assert decodable(np.frombuffer(again, np.uint8)).tobytes() == again == png(pixels)
    with pytest.raises(Misfit):
        decodable(np.frombuffer(again[:-1], np.uint8))
