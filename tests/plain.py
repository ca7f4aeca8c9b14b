"""httpx for the many calls that need no TLS: a client that may check certificates first reads all authorities that
this machine trusts, 40 ms of processor time each time, and tests make thousands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import httpx

Client = partial(httpx.Client, verify=False)
get = partial(httpx.get, verify=False)
post = partial(httpx.post, verify=False)
options = partial(httpx.options, verify=False)


def exactly(method: str, url: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """The answer to a path as it stands, which would be put in order else."""
    with Client(base_url=url) as client:
        request = client.build_request(method, "/", headers=headers)
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request)
