#!/usr/bin/env python3
"""Checks programs before they are packed: a Linux program is static; a macOS program runs from macOS 11.0 on, names no library
but the system's own, and every page of it has the hash in its ad-hoc signature. Apple processors execute nothing unsigned; for
Intel's neither zig nor Apple's linker signs. Called by scripts/package and scripts/check-macos.

Usage: check_program.py PROGRAM...
"""

import hashlib
import struct
import sys
from pathlib import Path

LIBRARIES = {"/usr/lib/libSystem.B.dylib"}
LEAST_MACOS = (11, 0)

# <mach-o/loader.h>, <mach/machine.h>
CPU_TYPE_X86_64 = 0x01000007
MH_MAGIC_64, MH_EXECUTE = 0xFEEDFACF, 2
LC_LOAD_DYLIB, LC_CODE_SIGNATURE, LC_BUILD_VERSION = 0x0C, 0x1D, 0x32
# <kern/cs_blobs.h> of xnu
CSMAGIC_CODEDIRECTORY, CS_ADHOC, CS_HASHTYPE_SHA256 = 0xFADE0C02, 0x2, 2
# elf(5)
PT_INTERP = 3


class Unfit(Exception):
    """A sentence that says why a program may not be packed."""


def text(data, offset):
    return data[offset : data.index(b"\0", offset)].decode()


def elf(data):
    headers, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        if struct.unpack_from("<I", data, headers + index * size)[0] == PT_INTERP:
            raise Unfit("it is not static")
    return "static ELF"


def mach_o(data):
    if struct.unpack_from("<I", data, 12)[0] != MH_EXECUTE:
        raise Unfit("it is a Mach-O file, but no program")
    libraries, least, signature = [], None, None
    count, offset = struct.unpack_from("<I", data, 16)[0], 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, offset)
        if command == LC_LOAD_DYLIB:
            libraries.append(text(data, offset + struct.unpack_from("<I", data, offset + 8)[0]))
        elif command == LC_BUILD_VERSION:
            version = struct.unpack_from("<I", data, offset + 12)[0]
            least = (version >> 16, version >> 8 & 0xFF)
        elif command == LC_CODE_SIGNATURE:
            start, length = struct.unpack_from("<II", data, offset + 8)
            signature = data[start : start + length]
        offset += size
    if least != LEAST_MACOS:
        raise Unfit(f"it asks for macOS {least}, not {LEAST_MACOS}")
    if set(libraries) - LIBRARIES:
        raise Unfit(f"it needs {', '.join(sorted(set(libraries) - LIBRARIES))}")
    if signature:
        signed = f"the hashes of all {check_signature(data, signature)} pages are right"
    elif struct.unpack_from("<I", data, 4)[0] == CPU_TYPE_X86_64:
        signed = "unsigned"
    else:
        raise Unfit("it has no signature, so an Apple processor does not execute it")
    return f"Mach-O for macOS {least[0]}.{least[1]} with {', '.join(libraries)}; {signed}"


def check_signature(data, signature):
    """Returns how many pages of `data` the signature covers."""
    count = struct.unpack_from(">I", signature, 8)[0]
    blobs = [struct.unpack_from(">I", signature, 16 + 8 * index)[0] for index in range(count)]
    directories = [blob for blob in blobs if struct.unpack_from(">I", signature, blob)[0] == CSMAGIC_CODEDIRECTORY]
    if len(directories) != 1:
        raise Unfit(f"its signature has {len(directories)} code directories")
    directory = directories[0]
    flags, hashes, _, _, pages, limit = struct.unpack_from(">IIIIII", signature, directory + 12)
    size, kind, _, log_page = struct.unpack_from("BBBB", signature, directory + 36)
    if not flags & CS_ADHOC or kind != CS_HASHTYPE_SHA256:
        raise Unfit("its signature is not an ad-hoc one of SHA-256")
    page = 1 << log_page
    if pages != -(-limit // page):
        raise Unfit(f"its signature covers {pages} pages of {page} bytes, and the code has {limit} bytes")
    for index in range(pages):
        # The last page ends at the limit, where the signature itself begins.
        found = hashlib.sha256(data[index * page : min((index + 1) * page, limit)]).digest()[:size]
        start = directory + hashes + index * size
        if found != signature[start : start + size]:
            raise Unfit(f"page {index} does not have the hash in the signature")
    return pages


def check(path):
    data = Path(path).read_bytes()
    if data.startswith(b"\x7fELF"):
        return elf(data)
    if struct.unpack_from("<I", data)[0] == MH_MAGIC_64:
        return mach_o(data)
    raise Unfit("it is neither a 64-bit ELF nor a 64-bit Mach-O file")


def main():
    failed = False
    for path in sys.argv[1:]:
        try:
            print(f"{path}: {Path(path).stat().st_size} bytes, {check(path)}")
        except Unfit as reason:
            print(f"{path}: {reason}", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
