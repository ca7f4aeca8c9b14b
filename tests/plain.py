"""httpx for the many calls that need no TLS: a client that may check certificates first reads all authorities that
this machine trusts, 40 ms of processor time each time, and tests make thousands. Its own patience is 5 s, which a
busy machine may need for one answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import httpx

PATIENCE = 60.0  # seconds

Client = partial(httpx.Client, verify=False, timeout=PATIENCE)
AsyncClient = partial(httpx.AsyncClient, verify=False, timeout=PATIENCE)
get = partial(httpx.get, verify=False, timeout=PATIENCE)
post = partial(httpx.post, verify=False, timeout=PATIENCE)
options = partial(httpx.options, verify=False, timeout=PATIENCE)


def exactly(method: str, url: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """The answer to a path as it stands, which would be put in order else."""
    with Client(base_url=url) as client:
        request = client.build_request(method, "/", headers=headers)
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request)
