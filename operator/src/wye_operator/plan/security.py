"""Whether routers speak HTTPS, and with which certificate.

the certificate fits ───────────────────────────> that one
it does not; routers have one ──────────────────> the one in force stays
it does not; routers listen without TLS ────────> they go on so: a wrong name must not end what works
it does not; no router was ever told anything ──> HTTPS that nobody can speak yet, and never without TLS
"""

from __future__ import annotations

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.plan.names import digest
from wye_operator.plan.wanted import Tls
from wye_operator.plan.world import World


def tls_for(world: World, spec: EndpointSpec) -> Tls | None:
    """None: routers listen without TLS."""
    if spec.tls is None:
        return None
    seen = world.tls
    if seen.certificate is not None:
        return Tls(seen.certificate, digest(seen.certificate.chain))
    return None if seen.in_force == "plain" else Tls(None, "")
