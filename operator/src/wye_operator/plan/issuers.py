"""Whose tokens the routers take: the issuers of the spec, each with the last good key set that was read for it.

An issuer whose keys were never read lets nobody in; while none of them can, what is in force stays in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.jwks import UnusableKeys, public_keys
from wye_operator.api.status import Reason
from wye_operator.api.token import Issuer, why_unusable
from wye_operator.plan.conditions import Problem
from wye_operator.plan.wanted import Trusted
from wye_operator.plan.world import THIS_CLUSTER, KeySet, World


def sources_of(spec: EndpointSpec) -> tuple[str, ...]:
    """Where the key sets of its issuers are read: addresses, and THIS_CLUSTER."""
    if spec.token is None:
        return ()
    uris = {issuer.jwks_uri for issuer in spec.token.issuers or () if issuer.jwks_uri is not None}
    return (*sorted(uris), *([THIS_CLUSTER] if spec.token.service_accounts else []))


def trusted_issuers(world: World, spec: EndpointSpec) -> tuple[Trusted, ...]:
    """Those with keys, in the order of the spec."""
    if spec.token is None:
        return ()
    listed = [_trusted(issuer, _keys_of(world, issuer)) for issuer in spec.token.issuers or ()]
    accounts, own = spec.token.service_accounts, world.key_sets.get(THIS_CLUSTER, KeySet())
    if accounts is not None and own.issuer:
        listed.append(Trusted(THIS_CLUSTER, own.issuer, tuple(accounts.audiences), own.keys, _claims(accounts.claims)))
    return tuple(trusted for trusted in listed if trusted.keys)


def _trusted(of: Issuer, keys: str) -> Trusted:
    return Trusted(of.jwks_uri or "", of.issuer, tuple(of.audiences), keys, _claims(of.claims))


def _claims(claims: Mapping[str, list[str]] | None) -> Mapping[str, tuple[str, ...]]:
    return {name: tuple(sorted(values)) for name, values in sorted((claims or {}).items())}


def _keys_of(world: World, issuer: Issuer) -> str:
    if issuer.jwks_uri is not None:
        return world.key_sets.get(issuer.jwks_uri, KeySet()).keys
    try:
        return public_keys(issuer.jwks or "")
    except UnusableKeys:
        return ""


NEVER_READ = "none of its tokens is taken; while no issuer has keys, what was in force before stays so"


def issuer_problems(world: World, spec: EndpointSpec) -> Iterator[Problem]:
    """What is wrong with each issuer's keys."""
    if spec.token is None:
        return
    for place, issuer in enumerate(spec.token.issuers or ()):
        if issuer.jwks_uri is not None:
            yield from _unread(world, issuer.jwks_uri, f"issuer {issuer.issuer}")
        elif not _keys_of(world, issuer):
            told = f"spec.token.issuers[{place}].jwks is no key set that tokens could be checked with"
            yield Problem(Reason.INVALID_DEPLOYMENT_SPEC, f"{told}: {why_unusable(issuer)}")
    if spec.token.service_accounts is not None:
        yield from _unread(world, THIS_CLUSTER, "this cluster's ServiceAccount tokens")


def _unread(world: World, source: str, whose: str) -> Iterator[Problem]:
    found = world.key_sets.get(source, KeySet(problem="they are being read"))
    if not found.problem:
        return
    meanwhile = "those that were read last stay in force" if found.keys else NEVER_READ
    yield Problem(Reason.TOKEN_KEYS_NOT_FOUND, f"the keys of {whose}: {found.problem}; {meanwhile}")
