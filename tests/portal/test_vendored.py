"""What others wrote is what they published: version, licence and integrity in the manifest, nothing beside it, nothing of our own grown too large."""

import base64
import hashlib
import re
import tomllib
from pathlib import Path

import rollhouse.portal

STATIC = Path(rollhouse.portal.__file__).with_name("static")
TEMPLATES = Path(rollhouse.portal.__file__).with_name("templates")
MANIFEST = tomllib.loads((STATIC / "vendor" / "vendor.toml").read_text())["package"]


def test_every_vendored_file_is_the_one_of_the_manifest() -> None:
    listed = {name: integrity for package in MANIFEST for name, integrity in package["files"].items()}

    assert {path.name for path in (STATIC / "vendor").iterdir()} == {*listed, "vendor.toml"}
    for name, integrity in listed.items():
        assert "sha512-" + base64.b64encode(hashlib.sha512((STATIC / "vendor" / name).read_bytes()).digest()).decode() == integrity, name
    for package in MANIFEST:
        assert {"name", "version", "licence", "integrity"} <= package.keys()
        assert any(name.endswith("LICENSE") for name in package["files"])


def test_our_own_style_and_script_stay_small() -> None:
    assert len((STATIC / "portal.css").read_text().splitlines()) < 200
    assert len((STATIC / "portal.js").read_text().splitlines()) < 60


def test_no_template_holds_script_style_or_anything_from_elsewhere() -> None:
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=|hx-on|hx-vals=.js:|\|safe|Markup", text), path.name
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//(?!entra\.microsoft\.com/)", text), path.name
