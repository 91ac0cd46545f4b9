"""A wheel of PyPI with the program in it, which pip and uv put into `bin`. Called by pack.py."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from facts import CRATE, LICENCES, NAME, REPOSITORY, ROOT, VERSION

CLASSIFIERS = [
    "Environment :: Console",
    "Operating System :: MacOS",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Rust",
    "Topic :: Software Development :: Build Tools",
]


def write(out, platform, program):
    """Lays out the folder of https://packaging.python.org/specifications/binary-distribution-format and lets `wheel` pack it."""
    # Sorted: `wheel` writes the compressed set of tags in this order.
    tags = sorted(platform.wheel_tags)
    metadata = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {VERSION}",
        f"Summary: {CRATE['description']}",
        f"License-Expression: {CRATE['license']}",
        *(f"License-File: {licence}" for licence in LICENCES),
        f"Keywords: {','.join(CRATE['keywords'])}",
        *(f"Classifier: {classifier}" for classifier in CLASSIFIERS),
        f"Project-URL: Repository, {REPOSITORY}",
        f"Project-URL: Documentation, {CRATE['documentation']}",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
        "",
        (ROOT / "README.md").read_text(encoding="utf-8"),
    ]
    wheel = ["Wheel-Version: 1.0", f"Generator: {NAME}", "Root-Is-Purelib: false", *(f"Tag: py3-none-{tag}" for tag in tags), ""]
    with tempfile.TemporaryDirectory() as folder:
        information = Path(folder, f"{NAME}-{VERSION}.dist-info")
        scripts = Path(folder, f"{NAME}-{VERSION}.data", "scripts")
        (information / "licenses").mkdir(parents=True)
        scripts.mkdir(parents=True)
        (information / "METADATA").write_text("\n".join(metadata), encoding="utf-8")
        (information / "WHEEL").write_text("\n".join(wheel))
        for licence in LICENCES:
            (information / "licenses" / licence).write_bytes((ROOT / licence).read_bytes())
        (scripts / "dogwatch").write_bytes(program)
        for path in Path(folder).rglob("*"):
            os.chmod(path, 0o755 if path.is_dir() or path.parent == scripts else 0o644)
        subprocess.run([sys.executable, "-m", "wheel", "pack", folder, "--dest-dir", out], check=True, stdout=subprocess.DEVNULL)
