"""`authMode: Token`: whose tokens are taken, for whom they must be made out, and what they must say."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from wye_operator.api.base import Model, Rule, Text, Unique, one_of
from wye_operator.api.jwks import UnusableKeys, public_keys

ISSUER = Text(
    pattern=r"^[!-~]+$",
    most=512,
    sentence="printable characters without spaces, at most 512: exactly what the tokens say as `iss`",
)
AUDIENCE = Text(
    pattern=r"^[!-~]+$",
    most=512,
    sentence="printable characters without spaces, at most 512: one of those that the tokens say as `aud`",
)
JWKS_URI = Text(
    pattern=r"^(https://[-a-zA-Z0-9.]+|http://(localhost|127\.0\.0\.1))(:[0-9]{1,5})?(/[!-~]*)?$",
    most=1024,
    sentence="an https:// address without a user name (http:// only of this machine: localhost or 127.0.0.1), "
    "at most 1024 characters",
)

Audience = Annotated[str, AUDIENCE]
Audiences = Annotated[list[Audience], Field(min_length=1, max_length=20), Unique()]
ClaimName = Annotated[str, Field(min_length=1, max_length=128)]
ClaimValues = Annotated[list[Annotated[str, Field(max_length=512)]], Field(min_length=1, max_length=50), Unique()]
Claims = Annotated[dict[ClaimName, ClaimValues], Field(max_length=10)]

AUDIENCES = "Whom a token must be made out for: it is taken when its `aud` is, or holds, one of these."
CLAIMS = (
    "What a token must say besides: for each claim the values of which it must have one (a string, `true` or `false`, "
    "a list that holds one, or words in `scope` or `scp`). A token that does not is answered 403."
)


def why_unusable(issuer: Issuer) -> str:
    """What is wrong with the keys that stand in the manifest, "" where nothing is."""
    try:
        public_keys(issuer.jwks or "")
    except UnusableKeys as problem:
        return str(problem)
    return ""


class Issuer(Model):
    """Somebody whose tokens are taken."""

    issuer: Annotated[str, ISSUER] = Field(description="Who makes the tokens: exactly what they say as `iss`.")
    audiences: Audiences = Field(description=AUDIENCES)
    jwks_uri: Annotated[str, JWKS_URI] | None = Field(
        default=None,
        description="Where the issuer publishes its public keys. Wye reads them every minute; routers never do.",
    )
    jwks: Annotated[str, Field(min_length=2, max_length=65_536)] | None = Field(
        default=None, description="The public keys themselves: a JSON Web Key Set as text."
    )
    claims: Claims | None = Field(default=None, description=CLAIMS)

    RULES: ClassVar[tuple[Rule, ...]] = (
        *one_of(
            "jwksUri",
            "jwks",
            "must have jwksUri (where the issuer publishes its public keys) or jwks (the keys as text)",
        ),
        Rule(
            "jwks",
            "",  # an API server reads no JSON in a text
            "is no key set that tokens could be checked with: {}",
            lambda of: of.jwks is None or not why_unusable(of),
            figure=why_unusable,
            in_condition=True,
        ),
    )


class ServiceAccounts(Model):
    """The tokens that this cluster makes for its own service accounts."""

    audiences: Audiences = Field(description=AUDIENCES)
    claims: Claims | None = Field(
        default=None,
        description='What a token must say besides, such as `sub: ["system:serviceaccount:NAMESPACE:NAME"]`. '
        "Without it every pod of the cluster may call: pods ask for tokens of any audience.",
    )


class Token(Model):
    """Whose tokens are taken. A token is a JWT in `Authorization: Bearer`, signed with RSA, EC or Ed25519."""

    issuers: Annotated[list[Issuer], Field(min_length=1, max_length=10), Unique("issuer")] | None = Field(
        default=None, description="OIDC providers and other makers of JWTs."
    )
    service_accounts: ServiceAccounts | None = Field(
        default=None,
        description="Takes this cluster's ServiceAccount tokens (`kubectl create token --audience`). Cluster only.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "has(self.issuers) || has(self.serviceAccounts)",
            "must have issuers or serviceAccounts: else nobody's token is taken",
            lambda token: token.issuers is not None or token.service_accounts is not None,
        ),
    )
