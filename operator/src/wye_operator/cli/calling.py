"""One POST and its answer: to a URL, or through the API server to a router's pod."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass

import aiohttp

from wye_operator.cli.kubeconfig import Api
from wye_operator.errors import WyeError
from wye_operator.render.kubernetes.place import SERVING
from wye_operator.render.resources import PIN

# a request may take as long as its Endpoint allows, 300 s at most; one that says nothing for longer is lost
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=330)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `who`: the Deployment that served it, "" for the router itself."""

    status: int
    reason: str
    who: str
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return self.status < 400


async def to_url(url: str, request: Request, *, is_twin: bool = False) -> Answer:
    """Send it to a URL."""
    trust = any_certificate() if is_twin else True
    try:
        async with (
            aiohttp.ClientSession(timeout=PATIENCE) as session,
            session.post(url, data=request.body, headers=request.headers, ssl=trust) as answer,
        ):
            body = await answer.read()
            return Answer(answer.status, answer.reason or "", answer.headers.get(PIN, ""), body)
    except aiohttp.ConnectionTimeoutError:
        raise WyeError(f"{url} did not take the connection within {PATIENCE.sock_connect:g} s") from None
    except TimeoutError:
        raise WyeError(f"{url} did not answer within {PATIENCE.sock_read:g} s") from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise WyeError(f"{url} shows a certificate that is not trusted here: {error.certificate_error}") from None
    except aiohttp.ClientConnectorError:
        raise WyeError(f"nobody listens at {url}") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise WyeError(f"{url} could not be asked: {error}") from None


def any_certificate() -> ssl.SSLContext:
    """For a router that is reached by another name than its certificate has.

    It is the way there that is trusted: the loopback of this machine, or the API server's port-forward to one pod.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def to_pod(api: Api, pod: str, path: str, request: Request, *, secure: bool = False) -> Answer:
    """Send it to a router by a port-forward: no Ingress is needed, and no header is taken out on the way."""
    with api.forward(api.namespace, pod, SERVING) as forward:
        line = http.client.HTTPConnection(pod)
        try:
            line.sock = forward.socket(SERVING)
            line.sock.settimeout(PATIENCE.sock_read)
            if secure:
                line.sock = any_certificate().wrap_socket(line.sock)
            line.request("POST", path, request.body, request.headers)
            answer = line.getresponse()
            return Answer(answer.status, answer.reason, answer.getheader(PIN, ""), answer.read())
        except TimeoutError:
            raise WyeError(f"{pod} did not answer within {PATIENCE.sock_read:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = forward.error(SERVING) or str(error) or type(error).__name__
            raise WyeError(f"{pod} could not be asked through the API server: {why}") from None
        finally:
            line.close()
