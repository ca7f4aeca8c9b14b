"""What every reason means and what to do about it: the entries of the reference page, one for each `Reason`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wye_operator.api.status import Reason


class Group(StrEnum):
    """What a reason says of the conditions Ready, Reconciling and Stalled; the value is its heading."""

    AS_ASKED = "As asked"
    NEEDS_EDIT = "Needs an edit by a person"
    PARTLY = "Answers, but not all as asked"
    WAITS = "Waits for what may still come"
    SERVING = "Of the condition Serving"


CONDITIONS: Mapping[Group, str] = {
    Group.AS_ASKED: "Ready True, Reconciling False, Stalled False.",
    Group.NEEDS_EDIT: "Ready False, Reconciling False, Stalled True: nothing changes until somebody edits something.",
    Group.PARTLY: "Ready False, Reconciling True; after the deadline (600 s) Stalled instead.",
    Group.WAITS: "Ready False, Reconciling True; after the deadline (600 s) Stalled instead.",
    Group.SERVING: "Serving is True while a plain request (one that names no Deployment) gets an answer.",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One entry: when it is set, and what to do."""

    group: Group
    meaning: str
    to_do: str


def _edit(meaning: str, to_do: str) -> Explanation:
    return Explanation(Group.NEEDS_EDIT, meaning, to_do)


def _partly(meaning: str, to_do: str) -> Explanation:
    return Explanation(Group.PARTLY, meaning, to_do)


def _waits(meaning: str, to_do: str) -> Explanation:
    return Explanation(Group.WAITS, meaning, to_do)


def _serving(meaning: str, to_do: str) -> Explanation:
    return Explanation(Group.SERVING, meaning, to_do)


EXPLANATIONS: Mapping[Reason, Explanation] = {
    Reason.READY: Explanation(
        Group.AS_ASKED,
        "Everything is as the spec asks, and every ready router took it.",
        "Nothing.",
    ),
    Reason.NAME_TAKEN: _edit(
        "An older Deployment of this Endpoint has the same name, or an object that is not Wye's has the name of one "
        "that Wye would make.",
        "Give one of the two another name. Wye leaves alone what is not its own.",
    ),
    Reason.TRAFFIC_NOT_SET: _edit(
        "Several Deployments came before any of them was ready alone, and `traffic` is absent.",
        "Write `traffic`: the percent for each Deployment.",
    ),
    Reason.UNKNOWN_DEPLOYMENT: _edit(
        "`traffic` or `mirrorTraffic` has named, for longer than the deadline, a Deployment that does not exist.",
        "Correct the name, or create the Deployment. What was in effect before stays so.",
    ),
    Reason.MODEL_DIGEST_MISMATCH: _edit(
        "The bytes of the model are not those of `model.sha256`.",
        "Find out who changed the file; then correct the digest or the file. Other bytes never start.",
    ),
    Reason.MODEL_INVALID: _edit(
        "The model cannot be served: truncated, not ONNX, of a newer opset, not what its contract says, or its "
        "warm-up failed.",
        "Read the message, and mend the model or the contract.",
    ),
    Reason.SIGNATURE_MISMATCH: _edit(
        "The model does not agree with the Endpoint's contract, or with the Deployment that has the largest share: a "
        "request that is valid there would not be valid here, or an output is missing.",
        "The message names the difference: mend the model, or the Deployment's `contract`. A share already in effect "
        "is not taken away.",
    ),
    Reason.MODEL_SOURCE_UNSUPPORTED: _edit(
        "`model.uri` names a place that cannot be reached from here: `file://` is for the local twin, `pvc://` for "
        "a cluster.",
        "Put the model where this place can read it; the message says which sources it has.",
    ),
    Reason.ENVIRONMENT_UNSUPPORTED: _edit(
        "`environment` names a server that cannot run here: the local twin runs no images, but `environment.command` "
        "as a process, where its program is on this machine. In a cluster it never happens.",
        "Install the program, or set `environment.command` to one that is here; or leave that Deployment to a cluster.",
    ),
    Reason.INVALID_DEPLOYMENT_SPEC: _edit(
        "The spec asks for what cannot be had, such as a provider that the runtime does not have, or the cluster "
        "refused what was made of it.",
        "Do what the message says.",
    ),
    Reason.GATEWAY_API_MISSING: _edit(
        "`expose.httpRoute` asks for an HTTPRoute, and the cluster does not have the Gateway API. Callers inside the "
        "cluster are served.",
        "Install the Gateway API (`gateway.networking.k8s.io/v1`): it is noticed within a minute. Or use "
        "`expose.ingress`.",
    ),
    Reason.CERTIFICATE_INVALID: _edit(
        "The Secret of `tls.secretName` holds no certificate that routers can use now: it is no PEM, expired, not "
        "valid yet, of an unknown kind, or its key is another's. The last good one stays in force; where there was "
        "none, nobody is served, or routers go on without TLS where they did.",
        "The message says which. Put the right pair into the Secret: it is live within 30 s, without a restart.",
    ),
    Reason.ROUTER_REJECTED: _edit(
        "A router refused its new configuration and goes on with the last good one. Where every router did, those that "
        "start begin with the last good one, too; the new one is offered again after ten minutes.",
        "The message has the router's own words. Undo the last edit; tell us, as Wye should not write such a thing.",
    ),
    Reason.SCRIPT_IMPORT: _edit(
        "The scoring script cannot be imported: it is not in the code, is no Python, or imports what is not there.",
        "`status.lastFailure` has the end of the traceback. A package that is missing belongs into the code's folder "
        "(`pip install --target`) or into an image made `FROM` the runtime's.",
    ),
    Reason.SCRIPT_FUNCTION: _edit(
        "The scoring script has no `init` or no `run`, or `run` cannot be called with one request's data.",
        "The message says which; `def run(data)` is the plainest form.",
    ),
    Reason.SCRIPT_INIT: _edit(
        "The scoring script's `init` failed, most often because its model is not where it looks.",
        "`status.lastFailure` has the end of the traceback. The model is in the folder that `AZUREML_MODEL_DIR` names, "
        "under the last name of `model.uri`.",
    ),
    Reason.CRASH_LOOP: _edit(
        "Instances end by themselves again and again.",
        "`status.lastFailure` has the last words of the instance.",
    ),
    Reason.IMAGE_PULL_LOOP: _edit(
        "An image could not be pulled again and again.",
        "Check the image's name and the registry; a private one needs `pod.imagePullSecrets`.",
    ),
    Reason.OUT_OF_MEMORY: _edit(
        "Instances are ended because they use more memory than their limit.",
        "Raise `resources.limits.memory`, or lower `requestSettings.maxConcurrentRequestsPerInstance`.",
    ),
    Reason.DEGRADED: _partly(
        "A Deployment in effect has no ready instance or is gone, or a router is missing.",
        "The message names it. `failover` says what happens to its share meanwhile.",
    ),
    Reason.MODEL_DIGESTS_DIFFER: _partly(
        "Instances of one Deployment run different bytes of the model.",
        "Set `model.sha256`, and keep published models as they are: a new model gets a new name.",
    ),
    Reason.ENDPOINT_NOT_FOUND: _waits(
        "The Endpoint of `endpointName` does not exist. A Deployment whose Endpoint never existed runs nothing.",
        "Create the Endpoint, or correct the name.",
    ),
    Reason.WAITING_FOR_DEPLOYMENT: _waits(
        "A Deployment that gains share or a mirror is not ready, or its signature could not be read yet. Until then "
        "the routing in effect stays.",
        "Look at the status of the Deployment that the message names.",
    ),
    Reason.KEYS_NOT_FOUND: _waits(
        "The Secret of `keys.secretName` does not exist, or has not both keys. Nobody is let in until then.",
        "Create the Secret with `primaryKey` and `secondaryKey`.",
    ),
    Reason.TOKEN_KEYS_NOT_FOUND: _waits(
        "The public keys of an issuer in `token` cannot be read, or are none: its `jwksUri` does not answer, or not "
        "with a JSON Web Key Set. Keys that were read before stay in force; without any, none of its tokens is taken. "
        "While no issuer has keys, what was in force before stays so.",
        "Read the message; mend `jwksUri`, or what stands between the operator and the issuer. It is read again by "
        "itself.",
    ),
    Reason.CERTIFICATE_NOT_FOUND: _waits(
        "The Secret of `tls.secretName` does not exist. The last good certificate stays in force; where there was "
        "none, nobody is served, or routers go on without TLS where they did.",
        "Create the Secret with `tls.crt` and `tls.key` (`kubectl create secret tls`), or correct its name.",
    ),
    Reason.ROUTER_STARTING: _waits(
        "No router is ready yet, or not all of them run as the Endpoint asks: they are replaced one after the other.",
        "Wait; if it lasts, look at the router's own log.",
    ),
    Reason.ROUTER_BEHIND: _waits(
        "A ready router has not taken the new routing yet, or cannot be reached on its inner port, so that nobody "
        "knows.",
        "Wait. After 10 seconds the message names it, and it holds up only the removal of what it may still use. One "
        "that cannot be reached goes on serving; look for what is between the operator and port 8081 of its pod.",
    ),
    Reason.INSTANCES_STARTING: _waits(
        "Fewer instances are ready than `instanceCount` asks for.",
        "Wait; if it lasts, read the message and `status.lastFailure`.",
    ),
    Reason.IMAGE_PULL: _waits(
        "An image is being pulled, or could not be pulled yet.",
        "Wait; if it lasts, check the image's name and `pod.imagePullSecrets`.",
    ),
    Reason.MODEL_FETCH: _waits(
        "The model is not there, or cannot be read or fetched: the message says which source, what it answered and how "
        "often it was asked. It is asked again by itself, after at most five minutes.",
        "Check `model.uri`, the rights of the file, and `model.secretName`.",
    ),
    Reason.POD_UNSCHEDULABLE: _waits(
        "No node takes a pod.",
        "The message has the scheduler's words: lower `resources.requests`, correct `pod.nodeSelector`, or add nodes.",
    ),
    Reason.OWNER_GOING: _waits(
        "Objects of an earlier one of the same name are still being deleted.",
        "Wait for the cluster's garbage collection.",
    ),
    Reason.SERVING: _serving("Plain requests get answers.", "Nothing."),
    Reason.NO_DEPLOYMENT: _serving("No Deployment stands behind this Endpoint.", "Create one."),
    Reason.NO_LIVE_TRAFFIC: _serving(
        "`traffic` is empty or all zeros: plain requests get 404, pinned ones work.",
        "Give a Deployment a share above 0, if plain requests should work.",
    ),
    Reason.NO_READY_POD: _serving(
        "No Deployment with live traffic has a ready instance: plain requests get 503.",
        "Look at the status of the Deployments.",
    ),
}

# Events have the reason of `Ready` where it becomes True, Degraded or Stalled; and these of their own.
EVENTS: Mapping[str, str] = {
    "TrafficInEffect": "Other shares are in effect: the sentence has them.",
    "FailedOver": "A Deployment in effect is lost: the sentence says where its share goes.",
    "TrafficKept": "`traffic` is absent: what is in effect stays, and the sentence says what to write.",
    "TracesLost": "The collector did not take spans of the routers: they are dropped, and requests go on.",
    "KeysRenewed": "The Secret of the keys was deleted: there are two new keys, and the ones before let nobody in.",
    "TwoOperators": "Another Wye operator writes the same objects otherwise: nothing new takes effect until one goes.",
}
