"""The programs of a `bare` cluster and their arguments, in the order in which they start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .places import NODE, NODE_IP, PODS, SERVICES, State

Arguments = Callable[[State, Path], list[str]]
FAST = ("--kube-api-qps=400", "--kube-api-burst=800")  # else 1,000 Endpoints wait for Kubernetes' own controllers
LOCAL_ETCD, LOCAL_PEER = "http://127.0.0.1:2379", "http://127.0.0.1:2380"


def _etcd(state: State, _programs: Path) -> list[str]:
    return [
        "etcd",
        f"--data-dir={state.root}/etcd",
        f"--listen-client-urls={LOCAL_ETCD}",
        f"--advertise-client-urls={LOCAL_ETCD}",
        f"--listen-peer-urls={LOCAL_PEER}",
        f"--initial-advertise-peer-urls={LOCAL_PEER}",
        f"--initial-cluster=default={LOCAL_PEER}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(state: State, programs: Path) -> list[str]:
    pki = state.pki
    return [
        f"{programs}/kube-apiserver",
        f"--etcd-servers={LOCAL_ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_IP}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        # what service accounts asked for: the tests read which permissions were used
        f"--audit-policy-file={state.settings}/audit.yaml",
        f"--audit-log-path={state.audit}",
        "--audit-log-mode=batch",
    ]


def _controller_manager(state: State, programs: Path) -> list[str]:
    own = state.kubeconfig("controller-manager")
    return [
        f"{programs}/kube-controller-manager",
        f"--kubeconfig={own}",
        f"--authentication-kubeconfig={own}",
        f"--authorization-kubeconfig={own}",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={PODS}",
        f"--service-cluster-ip-range={SERVICES}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        # an API server that was away for 30 s on a busy machine is no node that failed; kubelet may need a minute more
        "--node-monitor-grace-period=600s",
        f"--service-account-private-key-file={state.pki}/sa.key",
        f"--root-ca-file={state.pki}/ca.crt",
        f"--client-ca-file={state.pki}/ca.crt",
        f"--cluster-signing-cert-file={state.pki}/ca.crt",
        f"--cluster-signing-key-file={state.pki}/ca.key",
        "--bind-address=127.0.0.1",
        *FAST,
    ]


def _scheduler(state: State, programs: Path) -> list[str]:
    own = state.kubeconfig("scheduler")
    return [
        f"{programs}/kube-scheduler",
        f"--kubeconfig={own}",
        f"--authentication-kubeconfig={own}",
        f"--authorization-kubeconfig={own}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        *FAST,
    ]


def _containerd(state: State, _programs: Path) -> list[str]:
    return ["containerd", f"--config={state.settings}/containerd.toml"]


def _kubelet(state: State, programs: Path) -> list[str]:
    return [
        f"{programs}/kubelet",
        f"--config={state.settings}/kubelet.yaml",
        f"--kubeconfig={state.kubeconfig('kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_IP}",
        f"--root-dir={state.root}/kubelet",
        f"--cert-dir={state.root}/kubelet/pki",
    ]


def _kube_proxy(state: State, programs: Path) -> list[str]:
    return [f"{programs}/kube-proxy", f"--config={state.settings}/kube-proxy.yaml"]


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE_PROGRAMS = ("containerd", "kubelet", "kube-proxy")
ARGUMENTS: dict[str, Arguments] = {
    "etcd": _etcd,
    "kube-apiserver": _apiserver,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
    "containerd": _containerd,
    "kubelet": _kubelet,
    "kube-proxy": _kube_proxy,
}
