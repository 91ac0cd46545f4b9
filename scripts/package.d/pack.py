#!/usr/bin/env python3
"""Packs built programs for every package manager. Called by scripts/package.

Usage: pack.py OUT DOCUMENTS TARGET=PROGRAM...
"""

import hashlib
import sys
from pathlib import Path

import archive
import deb_package
import indexes
import npm_package
import wheel_package
from facts import PLATFORMS


def main():
    out, documents = Path(sys.argv[1]), Path(sys.argv[2])
    programs = dict(argument.split("=", 1) for argument in sys.argv[3:])
    checksums = {}
    for target, path in programs.items():
        platform, program = PLATFORMS[target], Path(path).read_bytes()
        archive.write(out, platform, program, documents)
        checksums[platform] = hashlib.sha256((out / platform.archive).read_bytes()).hexdigest()
        wheel_package.write(out, platform, program)
        npm_package.write_platform(out, platform, program)
        if platform.deb:
            deb_package.write(out, platform, program, documents)
    # They name every platform, so a part of them would be wrong.
    if programs.keys() == PLATFORMS.keys():
        npm_package.write_launcher(out, checksums)
        indexes.formula(out, checksums)
        indexes.aqua(out)
        indexes.mise(out, checksums)
    indexes.check_binstall(checksums)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / "SHA256SUMS").write_text("".join(sums))


main()
