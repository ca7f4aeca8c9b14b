"""The images as they are, run as the strictest cluster runs them: another user, a root file system that is read-only.

With a docker daemon by `docker run`; elsewhere from buildah's storage in namespaces of their own, which needs root. So
these tests are part of `make e2e` (WYE_E2E=1) and not of `make test`.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from cluster.harness.places import TAG  # what one has built is fresh for the other

ROOT = Path(__file__).parents[2]
STORAGE = {**os.environ, "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "overlay")}
USER = 61_234
DEADLINE = 300.0
# a root file system that cannot be written, /tmp that can, no user of the image; what the kubelet does, in four mounts
JAIL = """
set -e
mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"; mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"
[ -z "$3" ] || cp -r "$3" "$1/tmp/given"
root=$1 user=$2 told=$4; shift 4
# variables by this machine's env: the image may have none
exec env -i --split-string "$told" chroot --userspec=$user:$user --groups=$user "$root" "$@"
"""


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env=STORAGE).stdout


class Docker:
    """Images of a docker daemon."""

    def config(self, image: str) -> dict:
        return json.loads(said("docker", "image", "inspect", "-f", "{{json .Config}}", image))

    @contextlib.contextmanager
    def files(self, image: str):
        name = said("docker", "create", image).strip()
        with tempfile.TemporaryDirectory() as folder:
            tar = subprocess.Popen(["docker", "export", name], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", folder], stdin=tar.stdout, check=True)
            said("docker", "rm", name)
            yield Path(folder)

    @contextlib.contextmanager
    def running(self, image: str, *arguments: str, log: Path, given: Path | None = None, told: tuple[str, ...] = ()):
        limits = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        mount = ("-v", f"{given}:/tmp/given:ro") if given else ()
        variables = [word for each in told for word in ("--env", each)]
        options = ("--rm", "--network", "host", "--user", f"{USER}:{USER}", *limits, *mount, *variables)
        with log.open("wb") as out:
            child = subprocess.Popen(["docker", "run", *options, image, *arguments], stdout=out, stderr=out)
            with ended(child, child.terminate):
                yield child


class Buildah:
    """Images of buildah's storage."""

    def config(self, image: str) -> dict:
        return json.loads(said("buildah", "inspect", "--type", "image", image))["OCIv1"]["config"]

    @contextlib.contextmanager
    def files(self, image: str):
        name = said("buildah", "from", "--pull-never", image).strip()
        try:
            yield Path(said("buildah", "mount", name).strip())
        finally:
            said("buildah", "rm", name)

    @contextlib.contextmanager
    def running(self, image: str, *arguments: str, log: Path, given: Path | None = None, told: tuple[str, ...] = ()):
        config = self.config(image)
        command = [*config["Entrypoint"], *(arguments or config["Cmd"])]
        with self.files(image) as root, log.open("wb") as out:
            jail = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", JAIL, "jail"]
            place = [str(root), str(USER), str(given or ""), shlex.join([*config["Env"], *told])]
            child = subprocess.Popen([*jail, *place, *command], stdout=out, stderr=out)
            with ended(child, lambda: tell_first(child)):
                yield child


def tell_first(child: subprocess.Popen) -> None:
    """SIGTERM to process 1 of the new namespace, as a kubelet would."""
    inner = said("pgrep", "--parent", str(child.pid)).split()
    for pid in inner:
        os.kill(int(pid), signal.SIGTERM)


@contextlib.contextmanager
def ended(child: subprocess.Popen, tell):
    try:
        yield
    finally:
        if child.poll() is None:
            tell()
        try:
            child.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise


def until(met, child: subprocess.Popen, log: Path):
    """What a condition finds, unless the process ends before."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        assert child.poll() is None, log.read_text()
        if found := met():
            return found
        time.sleep(0.05)
    raise AssertionError(f"it did not happen: {log.read_text()}")


@pytest.fixture(scope="session")
def store():
    docker = subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    return Docker() if docker else Buildah()


@pytest.fixture(scope="session")
def image(store):
    """The whole name of an image, built from this checkout; layers that did not change are there already."""
    built = set()

    def named(name: str) -> str:
        if name not in built:
            subprocess.run([ROOT / "images/build", name], check=True, env={**STORAGE, "TAG": TAG}, capture_output=True)
            built.add(name)
        return f"localhost/wye-{name}:{TAG}"

    return named


@pytest.fixture(scope="session")
def wait_until():
    return until
