"""A scoring script that takes requests and gives answers whole, with Azure's decorator and classes."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse


def init():
    print("init complete")


@rawhttp
def run(request: AMLRequest):
    if request.method != "POST":
        return AMLResponse(f"{request.method} {request.full_path}", 200)
    return ANSWERS[request.args.get("answer", "echo")](request)


def echo(request):
    said = {
        "path": request.path,
        "query": request.query_string.decode(),
        "type": request.mimetype,
        "parameters": request.mimetype_params,
        "header": request.headers.get("X-Asked"),
        "body": request.get_data(cache=False).decode("latin-1"),
    }
    return AMLResponse(said, 200, json_str=True)


def files(request):
    return {name: [each.filename, each.stream.read().decode()] for name, each in request.files.items()}


def form(request):
    return {"form": request.form.to_dict(flat=False), "files": sorted(request.files)}


def broken(request):
    raise KeyError("the caller must not see this")


def streamed(request):
    return AMLResponse((f"part {number}\n" for number in range(3)), 200, {"Content-Type": "text/plain"})


ANSWERS = {
    "echo": echo,
    "files": files,
    "form": form,
    "raise": broken,
    "stream": streamed,
    "json": lambda request: request.get_json()["rows"],
    "bytes": lambda request: AMLResponse(b"\x89PNG", 201, {"Content-Type": "image/png", "X-Size": "4"}),
    "headers": lambda request: AMLResponse("two", 200, {"X-Several": "1, 2", "X-One": "1"}),
    "nothing": lambda request: AMLResponse(None, 202),
    "none": lambda request: None,
    "text": lambda request: "text",
    "refused": lambda request: AMLResponse("bad request", 400),
    "down": lambda request: AMLResponse({"why": "down"}, 503, json_str=True),
    "failed": lambda request: AMLResponse("late", 504, {}, run_function_failed=True),
    "empty": lambda request: AMLResponse("", 204),
}
