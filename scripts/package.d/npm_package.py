"""Packages of npm: one for each platform with the program, and `dogwatch`, which starts the one that fits. Called by pack.py."""

import json
from pathlib import Path

from archive import tar_gz
from facts import CRATE, LICENCES, NAME, REPOSITORY, ROOT, VERSION

SCOPE = f"@{NAME}"


def name(platform):
    """npm's names of system and processor are those of `process.platform` and `process.arch`."""
    return f"{SCOPE}/{'-'.join(platform.npm)}"


def _pack(out, file, manifest, executable):
    common = {
        "version": VERSION,
        "description": CRATE["description"],
        "license": CRATE["license"],
        "repository": {"type": "git", "url": f"git+{REPOSITORY}.git"},
        # Scoped packages are private otherwise; provenance ties them to the workflow that published them.
        "publishConfig": {"access": "public"},
    }
    files = {licence: ((ROOT / licence).read_bytes(), 0o644) for licence in LICENCES}
    files["package.json"] = (json.dumps({**manifest, **common}, indent=2).encode() + b"\n", 0o644)
    files["README.md"] = ((ROOT / "README.md").read_bytes(), 0o644)
    files["bin/dogwatch"] = (executable, 0o755)
    tar_gz(out / file, {f"package/{path}": entry for path, entry in files.items()})


def write_platform(out, platform, program):
    """`preferUnplugged`: Yarn leaves a package with an executable unpacked, since nothing can be executed out of an archive."""
    system, processor = platform.npm
    manifest = {"name": name(platform), "os": [system], "cpu": [processor], "preferUnplugged": True}
    _pack(out, f"npm-{NAME}-{system}-{processor}-{VERSION}.tgz", manifest, program)


def write_launcher(out, platforms):
    """npm installs, of optional dependencies, those whose `os` and `cpu` fit."""
    manifest = {
        "name": NAME,
        "keywords": CRATE["keywords"],
        "bin": {NAME: f"bin/{NAME}"},
        "engines": {"node": ">=18"},
        "optionalDependencies": {name(platform): VERSION for platform in platforms},
    }
    launcher = Path(__file__).with_name("launcher.js").read_bytes()
    _pack(out, f"npm-{NAME}-{VERSION}.tgz", manifest, launcher)
