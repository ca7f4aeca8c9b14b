"""A cluster as the current kubeconfig leads to it; the one module that knows the official client, loaded when needed.

Objects come as the API server writes them. Whatever goes wrong is one sentence for the person at the command line.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from wye_operator import settings
from wye_operator.cluster.errors import ApiError, Forbidden, NotFound, Unavailable, error_for
from wye_operator.cluster.kinds import OURS, PODS, Kind, Object
from wye_operator.errors import WyeError

MISSING = "this command needs the Kubernetes client: pip install 'wye-operator[cli]'"
HOME = "~/.kube/config"
PAGE = 500
PATIENCE = (10.0, 60.0)  # seconds until there is a connection, and between two pieces of an answer
STREAM = (10.0, None)  # a log that is followed may be silent for long
GREETING, GOODBYE = 60.0, 5.0  # seconds that the begin and the end of a port-forward may take
STREAMS = 256  # connections kept; more are opened when needed
EDITORS = ("secrets", "pods/portforward")  # what the role `view` leaves out


_greeting = ContextVar("_greeting", default=GREETING)  # of the port-forward that a thread opens now


@dataclass(frozen=True, slots=True)
class Access:
    """What the options say of where to go; None: what the kubeconfig says. `twin`: the way to a twin, for sentences."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    twin: str = ""

    @property
    def given(self) -> bool:
        """Whether anything was said at all."""
        return bool(self.options)

    @property
    def options(self) -> str:
        """The options that were given, for sentences."""
        given = {"-n": self.namespace, "--context": self.context, "--kubeconfig": self.kubeconfig}
        return " and ".join(option for option, value in given.items() if value)


@dataclass(frozen=True, slots=True)
class Found:
    """A context of a kubeconfig; `files` "" and `name` "": the service account of the pod this runs in."""

    files: str
    name: str
    namespace: str


def connect(access: Access) -> Api:
    """The API server that the options, $KUBECONFIG, the kubeconfig of this user or the pod's account lead to."""
    try:
        from kubernetes import client, config
    except ImportError:
        raise WyeError(MISSING) from None
    load: Any = config  # its functions have no types
    found = find(access)
    configuration = client.Configuration(retries=False, connection_pool_maxsize=STREAMS)
    try:
        with _complaints() as said:
            if found.files:
                load.load_kube_config(found.files, context=found.name, client_configuration=configuration)
            else:
                load.load_incluster_config(configuration)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        raise WyeError(f"{found.files or 'the service account'} cannot be used: {_one_line(error)}") from None
    if said:
        raise WyeError(f"the credentials of context {found.name} could not be had: {said[-1]}")
    return Api(client.ApiClient(configuration), found)


def find(access: Access) -> Found:
    """Which files, which context and which namespace; a context that is not there is named with those that are."""
    files = access.kubeconfig or settings.from_environment().kubeconfig or HOME
    paths = [Path(os.path.expanduser(part)) for part in files.split(os.pathsep) if part]
    there = [path for path in paths if path.exists()]
    if not there:
        return _in_pod(access, files)
    contexts, current = _contexts(there)
    name = access.context or current
    where = os.pathsep.join(map(str, there))
    listed = f"there is: {', '.join(contexts)}" if contexts else "there is none"
    if not name:
        raise WyeError(f"no context is chosen in {where}: name one with --context; {listed}")
    if name not in contexts:
        raise WyeError(f"there is no context {name} in {where}; {listed}")
    return Found(where, name, access.namespace or contexts[name] or "default")


def _in_pod(access: Access, files: str) -> Found:
    own = settings.own_namespace()
    if access.kubeconfig or not own:
        hint = "" if access.kubeconfig else "; name a kubeconfig with --kubeconfig or $KUBECONFIG"
        twin = "" if access.given or not access.twin else f"; for the twin of a folder: {access.twin}"
        raise WyeError(f"there is no kubeconfig at {files}{hint}{twin}")
    if access.context:
        raise WyeError(f"there is no context {access.context}: there is no kubeconfig, only this pod's service account")
    return Found("", "", access.namespace or own)


def _contexts(paths: Sequence[Path]) -> tuple[dict[str, str], str]:
    """Namespace by context, and the current context; as with kubectl, the first file that says something wins."""
    contexts: dict[str, str] = {}
    current = ""
    for path in paths:
        try:
            body = yaml.safe_load(path.read_bytes()) or {}
            current = current or str(body.get("current-context") or "")
            for each in body.get("contexts") or ():
                contexts.setdefault(str(each["name"]), str(each["context"].get("namespace") or ""))
        except OSError as error:
            raise WyeError(f"{path} cannot be read: {error.strerror}") from None
        except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
            raise WyeError(f"{path} is not a kubeconfig") from None
    return contexts, current


class Api:
    """Questions to one API server."""

    def __init__(self, client: Any, found: Found) -> None:
        self._client = client
        self.namespace = found.namespace
        self.server = str(client.configuration.host)
        self.context = found.name

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.rest_client.pool_manager.clear()

    @property
    def place(self) -> str:
        """Which cluster this is, for sentences."""
        return f"context {self.context}" if self.context else f"the cluster at {self.server}"

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object. Raises NotFound."""
        return self._json(Question(kind, namespace, name))

    def find(self, kind: Kind, namespace: str | None, *, labels: str = "", fields: str = "") -> list[Object]:
        """All objects of a kind in a namespace, or in all of them."""
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields}
        items: list[Object] = []
        while True:
            page = self._json(Question(kind, namespace, query={k: v for k, v in query.items() if v}))
            items += page["items"]
            query["continue"] = page["metadata"].get("continue") or ""
            if not query["continue"]:
                return items

    def patch(self, kind: Kind, namespace: str, name: str, change: Object) -> Object:
        """Merge a change into an object. Raises Conflict where `metadata.resourceVersion` in it is not the newest."""
        return self._json(Question(kind, namespace, name, change=change))

    def log(self, namespace: str, pod: str, query: Mapping[str, str]) -> Iterator[str]:
        """The lines of a container's log, as they come."""
        question = Question(PODS, namespace, pod, "log", query, patience=STREAM)
        with self._answer(question) as answer:
            pending = b""
            for chunk in answer.response.stream(65536):
                *whole, pending = (pending + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
            if pending:
                yield pending.decode(errors="replace")

    @contextmanager
    def forward(self, namespace: str, pod: str, port: int, greeting: float = GREETING) -> Iterator[Any]:
        """A port-forward of the official client to a pod: `socket(port)` and `error(port)`. Any thread may open one."""
        from kubernetes import client, stream

        theirs: Any = stream.ws_client
        theirs.WebSocket = _bounded()
        _greeting.set(greeting)
        # the client changes itself while it opens one
        connect_to = client.CoreV1Api(copy.copy(self._client)).connect_get_namespaced_pod_portforward
        try:
            opened = stream.portforward(connect_to, pod, namespace, ports=str(port))
        except client.ApiException as error:
            answer = error.__context__  # of the websocket: the client makes text of it
            if isinstance(answer, TimeoutError) or "timed out" in str(error.reason):
                raise Unavailable(f"there was no port-forward to it within {greeting:g} s") from None
            status = getattr(answer, "status_code", 0)
            if not status:
                raise self._lost(error.reason) from None
            question = Question(PODS, namespace, pod, "portforward")
            raise self._refusal(question, status, getattr(answer, "resp_body", None) or b"") from None
        proxy = _proxy_of(opened)
        try:
            yield opened
        finally:
            opened.close()
            _await_proxy(opened, proxy)

    def _json(self, question: Question) -> Object:
        with self._answer(question) as answer:
            body: Object = json.loads(answer.read())
            return body

    @contextmanager
    def _answer(self, question: Question) -> Iterator[Any]:
        """A successful answer; everything else, also on the way through it, is a typed error."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        path = question.kind.path(question.namespace, question.name, question.part)
        headers = {"Accept": "application/json"}
        if question.change is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        call = self._client.param_serialize(
            "GET" if question.change is None else "PATCH",
            path,
            query_params=list(question.query.items()),
            header_params=headers,
            body=question.change,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*call, _request_timeout=question.patience)
            if answer.status >= 400:
                raise self._refusal(question, answer.status, answer.read())
            try:
                yield answer
            finally:
                answer.response.release_conn()
        except ApiException as error:  # what the client makes of an error of TLS
            raise self._lost(error.reason) from None
        except (HTTPError, OSError) as error:
            raise self._lost(error) from None

    def _lost(self, why: object) -> Unavailable:
        return Unavailable(f"{self.place} cannot be reached at {self.server}: {_cause(why)}")

    def _refusal(self, question: Question, status: int, body: bytes | str) -> ApiError:
        try:
            said = json.loads(body)
            reason, message = str(said.get("reason") or ""), str(said["message"])
        except (ValueError, KeyError, TypeError, AttributeError):
            reason, message = "", ""
        if status == 401:
            return Forbidden(f"{self.place} does not accept its credentials (401): log in again", status=401)
        if status == 403:
            return Forbidden(_needed(question, message), status=403)
        if status == 404 and not reason and question.kind in OURS:
            return NotFound(
                f"{self.place} does not know {question.kind.plural}.wye.dev: is Wye installed? "
                "helm install wye charts/wye -n wye-system --create-namespace",
                status=404,
            )
        return error_for(status, message or f"{self.place} answers {status} for {question.kind.plural}", reason)


@dataclass(frozen=True, slots=True)
class Question:
    """One GET, or with a change one PATCH."""

    kind: Kind
    namespace: str | None
    name: str = ""
    part: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    patience: tuple[float, float | None] = PATIENCE
    change: Object | None = None

    @property
    def resource(self) -> str:
        """As a role names it."""
        return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural


def names_a_kind(error: NotFound) -> bool:
    """Whether the kind itself is not there, not only the object."""
    return not error.reason


def _needed(question: Question, message: str) -> str:
    """Who may not do what, in the API server's words, and the role that would do."""
    verb = "read" if question.change is None else "change"
    who = message.partition("is forbidden: ")[2] or message or f"you may not {verb} {question.resource}"
    role = "edit" if question.resource in EDITORS or question.change is not None else "view"
    where = f"in namespace {question.namespace}" if question.namespace else "in all namespaces"
    return f"{who.rstrip('.')}; the ClusterRole {role}, bound {where}, would allow it"


@cache
def _bounded() -> Any:
    """The websocket for the official client, which by itself waits for ever for a pod whose node is lost."""
    import websocket

    plain: Any = websocket.WebSocket

    class Bounded(plain):  # type: ignore[misc]
        def connect(self, url: str, **options: Any) -> None:
            super().connect(url, timeout=_greeting.get(), **options)
            self.settimeout(None)

    return Bounded


def _proxy_of(opened: Any) -> threading.Thread | None:
    """The thread that the client has for a port-forward; None where it has ended already."""
    targets = {thread: getattr(thread, "_target", None) for thread in threading.enumerate()}
    return next((thread for thread, target in targets.items() if getattr(target, "__self__", None) is opened), None)


def _await_proxy(opened: Any, proxy: threading.Thread | None) -> None:
    """The client's thread ends soon after its socket; it leaves the websocket open where the server went first."""
    if proxy is not None:
        proxy.join(GOODBYE)
    if proxy is None or not proxy.is_alive():
        opened.websocket.shutdown()


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the client says of a credential plugin that failed: it logs that, and goes on as nobody."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(_one_line(record.getMessage()))

    handler, root = Kept(logging.ERROR), logging.getLogger()
    root.addHandler(handler)
    try:
        yield said
    finally:
        root.removeHandler(handler)


def _cause(why: object) -> str:
    """The end of a chain of errors is what a person can use."""
    return _one_line(why).rpartition(": ")[2].rstrip(")'\"") or type(why).__name__


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
