"""`authMode: Token` as Envoy's own filters: signature, issuer, audience and time first, then what a token must say.

The four filters stand in one file as a chain, so that a new issuer and what its tokens must say come in one step.
A matcher that always matches is what holds the chain: Envoy has no plainer way to put several filters in one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wye_operator.plan.wanted import Trusted
from wye_operator.render.resources import COMPOSITE, EXECUTE, MATCHED, MUTATION, Json, extension, typed

JWT = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
CLAIMS = "envoy.extensions.filters.http.rbac.v3.RBAC"

PAYLOADS = "envoy.filters.http.jwt_authn"  # where the first filter leaves what a token says, for the second
# What the second filter leaves for the answer. Names of claims are no secret: who has a token for this Endpoint has to
# know what to ask its issuer for (RFC 6750's insufficient_scope says as much). Neither a value of the token's nor one
# that would be taken is said.
BROKEN_CLAIM = "%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_effective_policy_id)%"
SUBJECT = "[ -~]+"  # as OpenID Connect has it; anything else could not be a header
SPACE_DELIMITED = ("scope", "scp")  # claims that are one text of several words
CACHED_TOKENS = 1000  # tokens of an issuer whose signature need not be checked again
LEEWAY_SECONDS = 60  # by which clocks may differ


def token_filters(issuers: Sequence[Trusted], client: str) -> Json:
    """What stands in the place of the auth filter; `client` is the header that tells the subject."""
    named = {f"issuer-{place}": issuer for place, issuer in enumerate(issuers)}
    chain = [_checked(named, client), _named_claim(named), _allowed(named), _without_key()]
    action = extension("tokens", EXECUTE, {"filter_chain": {"typed_config": chain}})
    return typed(
        MATCHED,
        {"extension_config": extension("tokens", COMPOSITE), "xds_matcher": {"on_no_match": {"action": action}}},
    )


def _checked(named: dict[str, Trusted], client: str) -> Json:
    listed = [{"provider_name": name} for name in named]
    needed = listed[0] if len(listed) == 1 else {"requires_any": {"requirements": listed}}  # any of one is refused
    rule = {"match": {"prefix": "/"}, "requires": needed}
    providers = {name: _provider(name, issuer, client) for name, issuer in named.items()}
    return extension("tokens", JWT, {"providers": providers, "rules": [rule]})


def _provider(name: str, of: Trusted, client: str) -> Json:
    return {
        "issuer": of.issuer,
        "audiences": list(of.audiences),
        "local_jwks": {"inline_string": of.keys},
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],  # else it would look in the query too
        "forward": False,
        "require_expiration": True,
        "clock_skew_seconds": LEEWAY_SECONDS,
        "claim_to_headers": [{"header_name": client, "claim_name": "sub"}],
        "payload_in_metadata": name,
        "normalize_payload_in_metadata": {"space_delimited_claims": list(SPACE_DELIMITED)},
        "jwt_cache_config": {"jwt_cache_size": CACHED_TOKENS},
    }


def _named_claim(named: dict[str, Trusted]) -> Json:
    """Decides nothing: Envoy keeps which policy of shadow rules fits, and each bears the name of a claim.

    A filter of its own, as one that refuses does not keep it.
    """
    lacking: dict[str, list[Json]] = {}
    for name, of in named.items():
        for claim, says in _claims(name, of):
            lacking.setdefault(claim, []).append(_all(_issued(name, of), {"not_id": says}))
    policies = {claim: _policy(principals) for claim, principals in lacking.items()}
    return extension("broken-claim", CLAIMS, {"shadow_rules": {"action": "DENY", "policies": policies}})


def _allowed(named: dict[str, Trusted]) -> Json:
    """Only who shows a checked token that says what its issuer's must; whatever came past the check has none."""
    policies = {
        name: _policy([_all(_issued(name, of), *(says for _, says in _claims(name, of)))]) for name, of in named.items()
    }
    return extension("claims", CLAIMS, {"rules": {"action": "ALLOW", "policies": policies}})


def _policy(principals: Sequence[Json]) -> Json:
    return {"permissions": [{"any": True}], "principals": list(principals)}


def _all(*principals: Json) -> Json:
    return {"and_ids": {"ids": list(principals)}}


def _issued(name: str, of: Trusted) -> Json:
    return _says(name, "iss", {"string_match": {"exact": of.issuer}})


def _claims(name: str, of: Trusted) -> Iterator[tuple[str, Json]]:
    """What a token of this issuer must say."""
    yield "sub", _says(name, "sub", {"string_match": {"safe_regex": {"regex": SUBJECT}}})
    for claim, values in sorted(of.claims.items()):
        yield claim, _says(name, claim, _one_of(values))


def _says(name: str, claim: str, value: Json) -> Json:
    return {"metadata": {"filter": PAYLOADS, "path": [{"key": name}, {"key": claim}], "value": value}}


def _one_of(values: Sequence[str]) -> Json:
    matchers: list[Json] = []
    for value in values:
        text = {"string_match": {"exact": value}}
        matchers += [text, {"list_match": {"one_of": text}}]
        if value in ("true", "false"):
            matchers.append({"bool_match": value == "true"})
    return {"or_match": {"value_matchers": matchers}}


def _without_key() -> Json:
    """A key of an earlier mode is nothing for a model either."""
    return extension("without-key", MUTATION, {"mutations": {"request_mutations": [{"remove": "api-key"}]}})
