"""A package of Debian with the static program, manual pages and completions. Called by pack.py."""

import gzip
import os
import subprocess
import tempfile
from pathlib import Path

from facts import CRATE, EPOCH, LICENCES, NAME, REPOSITORY, ROOT, VERSION

COMPLETIONS = {
    "dogwatch.bash": "usr/share/bash-completion/completions/dogwatch",
    "dogwatch.zsh": "usr/share/zsh/vendor-completions/_dogwatch",
    "dogwatch.fish": "usr/share/fish/vendor_completions.d/dogwatch.fish",
}


def _copyright():
    texts = "\n\n".join((ROOT / licence).read_text(encoding="utf-8") for licence in LICENCES)
    return f"dogwatch, {REPOSITORY}\nLicence: {CRATE['license']}\n\n{texts}".encode()


def write(out, platform, program, documents):
    """No dependencies: the program is static. `dpkg-deb` takes the times from SOURCE_DATE_EPOCH."""
    files = {"usr/bin/dogwatch": program, f"usr/share/doc/{NAME}/copyright": _copyright()}
    for page in sorted((documents / "man").iterdir()):
        files[f"usr/share/man/man1/{page.name}.gz"] = gzip.compress(page.read_bytes(), 9, mtime=0)
    for name, place in COMPLETIONS.items():
        files[place] = (documents / "completions" / name).read_bytes()
    size = sum((len(content) + 1023) // 1024 for content in files.values())
    control = [
        f"Package: {NAME}",
        f"Version: {VERSION}",
        f"Architecture: {platform.deb}",
        "Maintainer: dogwatch developers <dogwatch@users.noreply.github.com>",
        f"Installed-Size: {size}",
        "Section: utils",
        "Priority: optional",
        f"Homepage: {REPOSITORY}",
        f"Description: {CRATE['description'][0].lower()}{CRATE['description'][1:]}",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        files["DEBIAN/control"] = "\n".join(control).encode()
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for path in [Path(folder), *Path(folder).rglob("*")]:
            os.chmod(path, 0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            os.utime(path, (EPOCH, EPOCH))
        target = out / f"{NAME}_{VERSION}_{platform.deb}.deb"
        # -Zxz: the default of Ubuntu, zstd, is not read by older Debians.
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", folder, target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
