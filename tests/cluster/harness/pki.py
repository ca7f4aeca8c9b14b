"""Certificates and kubeconfigs of a `bare` cluster, made with openssl."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from .places import NODE, NODE_IP, SERVICE_IP, State
from .say import output

DAYS = "30"
SERVER_NAMES = (
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,"
    f"DNS:localhost,DNS:{NODE},IP:127.0.0.1,IP:{SERVICE_IP},IP:{NODE_IP}"
)
USERS = {
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
    "admin": "/O=system:masters/CN=admin",
}


def write_pki(state: State) -> None:
    """Everything that the components identify themselves with; once for the life of the cluster."""
    if state.kubeconfig("admin").exists():
        return
    state.pki.mkdir(parents=True, exist_ok=True)
    state.kubeconfig().parent.mkdir(exist_ok=True)
    state.root.chmod(0o700)
    _authority(state.pki, "ca")
    _authority(state.pki, "front-proxy-ca")
    _certificate(state.pki, "apiserver", "/CN=kube-apiserver", names=SERVER_NAMES)
    _certificate(state.pki, "apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    _certificate(state.pki, "front-proxy-client", "/CN=front-proxy-client", by="front-proxy-ca")
    _certificate(state.pki, "kubelet-server", USERS["kubelet"], names=f"DNS:{NODE},IP:{NODE_IP}")
    sign_anew(state)
    for name, subject in USERS.items():
        _certificate(state.pki, name, subject)
        _kubeconfig(state, name)


def sign_anew(state: State) -> None:
    """From the API server's next start on another key signs tokens of service accounts; earlier keys stay good."""
    accepted = state.pki / "sa.pub"
    before = accepted.read_text() if accepted.exists() else ""
    output(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=state.pki)
    accepted.write_text(output(["openssl", "rsa", "-in", "sa.key", "-pubout"], cwd=state.pki) + before)


def _key(folder: Path, name: str) -> None:
    output(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", f"{name}.key"], cwd=folder)


def _authority(folder: Path, name: str) -> None:
    _key(folder, name)
    uses = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
    request = ["openssl", "req", "-x509", "-new", "-key", f"{name}.key", "-days", DAYS, "-subj", f"/CN={name}"]
    output([*request, "-out", f"{name}.crt", *(word for use in uses for word in ("-addext", use))], cwd=folder)


def _certificate(folder: Path, name: str, subject: str, *, by: str = "ca", names: str = "") -> None:
    """With alternative names it is a server's, without a client's."""
    _key(folder, name)
    output(["openssl", "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr"], cwd=folder)
    lines = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature,keyEncipherment"]
    lines += ["extendedKeyUsage=serverAuth", f"subjectAltName={names}"] if names else ["extendedKeyUsage=clientAuth"]
    (folder / f"{name}.ext").write_text("\n".join(lines))
    sign = [
        "openssl",
        "x509",
        "-req",
        "-in",
        f"{name}.csr",
        "-CA",
        f"{by}.crt",
        "-CAkey",
        f"{by}.key",
        "-CAcreateserial",
    ]
    output([*sign, "-days", DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt"], cwd=folder)


def _kubeconfig(state: State, name: str) -> None:
    """JSON is YAML."""

    def data(file: str) -> str:
        return base64.b64encode((state.pki / file).read_bytes()).decode()

    cluster = {"server": f"https://{NODE_IP}:6443", "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "wye", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "wye", "context": {"cluster": "wye", "user": name}}],
        "current-context": "wye",
    }
    state.kubeconfig(name).write_text(json.dumps(body, indent=1))
