"""The image: built from the Dockerfile as it is, by buildah, on a local base that carries the public name, since no registry of images is asked."""

import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DEBIAN = "bookworm"


@dataclass(frozen=True)
class Store:
    """Where buildah and podman keep images: a folder of our own."""

    folder: Path

    @property
    def options(self) -> list[str]:
        """The options by which buildah and podman use it."""
        return ["--root", str(self.folder / "images"), "--runroot", str(self.folder / "run")]

    def buildah(self, *arguments: str) -> str:
        """What a command of buildah prints.

        Raises:
            RuntimeError: it failed; the message is the end of what it said.
        """
        done = subprocess.run(["buildah", *self.options, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode != 0:
            raise RuntimeError(f"buildah {arguments[0]} failed:\n{(done.stdout + done.stderr)[-4000:]}")
        return done.stdout.strip()

    def has(self, name: str) -> bool:
        """Whether an image of that name is there."""
        return subprocess.run(["buildah", *self.options, "inspect", "--type", "image", name], capture_output=True, check=False).returncode == 0


def base_name() -> str:
    """The public name of the base, as the Dockerfile has it."""
    found = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    if found is None:
        raise RuntimeError("the Dockerfile names no base: ARG PYTHON=...")
    return found[1]


def make_base(store: Store) -> None:
    """A Debian with Python, under the name of the public slim image; made once."""
    name = f"localhost/{base_name()}"
    if store.has(name):
        return
    store.folder.mkdir(parents=True, exist_ok=True)
    archive = store.folder / "base.tar"
    packages = "python3,python3-venv,ca-certificates,libstdc++6,tzdata"  # as the public one has
    made = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={packages}", "--dpkgopt=path-exclude=/usr/share/doc/*", DEBIAN, str(archive)]
    subprocess.run(made, check=True, capture_output=True)
    container = store.buildah("from", "scratch")
    store.buildah("add", container, str(archive), "/")
    store.buildah("config", "--cmd", "python3", container)
    store.buildah("commit", "--rm", container, name)
    archive.unlink()


def build(store: Store, tag: str, revision: str, *, context: Path = ROOT) -> str:
    """The full name of the image, built of the Dockerfile in `context`."""
    make_base(store)
    name = f"localhost/rollhouse:{tag}"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as pip:
        pip.write(f"[global]\ncert = {CERTIFICATES}\ntimeout = 180\n")
        pip.flush()
        mounts = ["-v", f"{CERTIFICATES}:{CERTIFICATES}:ro", "-v", f"{pip.name}:/etc/pip.conf:ro"]
        arguments = ["--build-arg", f"REVISION={revision}", "--pull-never", "--isolation", "chroot", "--layers", *mounts, "-t", name]
        store.buildah("bud", *arguments, "-f", str(context / "Dockerfile"), str(context))
    return name


def export(store: Store, name: str, archive: Path) -> None:
    """Write the image as an OCI archive with compressed layers."""
    archive.unlink(missing_ok=True)
    store.buildah("push", name, f"oci-archive:{archive}:{name}")


def layer_sizes(archive: Path) -> list[int]:
    """Bytes of each compressed layer of an OCI archive, the base first."""
    with tarfile.open(archive) as found:

        def read(path: str) -> dict[str, object]:
            member = found.extractfile(path)
            if member is None:
                raise RuntimeError(f"{archive} has no {path}")
            return json.load(member)  # type: ignore[no-any-return]

        index = read("index.json")
        digest = index["manifests"][0]["digest"].removeprefix("sha256:")  # type: ignore[index]
        manifest = read(f"blobs/sha256/{digest}")
        return [layer["size"] for layer in manifest["layers"]]  # type: ignore[attr-defined]
