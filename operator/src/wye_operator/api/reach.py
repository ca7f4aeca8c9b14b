"""How callers reach an Endpoint: its certificate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wye_operator.api.base import OBJECT_NAME, Model


class Tls(Model):
    """Callers speak HTTPS with the routers."""

    secret_name: Annotated[str, OBJECT_NAME] = Field(
        description="Secret with `tls.crt` (the certificate, then those of its issuers) and `tls.key`, in PEM; such as "
        "cert-manager makes. Another certificate is live without a restart.",
    )
