#!/usr/bin/env python3
"""Gives macOS programs a UUID that depends on what they contain only. Called by scripts/package.

Zig's linker makes LC_UUID from everything it links, before it is stripped: from the paths of object files too, so that two folders
would give two programs. Nothing else of these paths is left. The page with the UUID gets a new hash in the ad-hoc signature.

Usage: stable_uuid.py PROGRAM...
"""

import hashlib
import struct
import sys
from pathlib import Path

from check_program import CSMAGIC_CODEDIRECTORY, LC_CODE_SIGNATURE, MH_MAGIC_64

LC_UUID = 0x1B


def load_commands(data):
    """Each command's kind and offset."""
    offset = 32
    for _ in range(struct.unpack_from("<I", data, 16)[0]):
        command, size = struct.unpack_from("<II", data, offset)
        yield command, offset
        offset += size


def stabilize(data):
    commands = dict(load_commands(data))
    signed = struct.unpack_from("<I", data, commands[LC_CODE_SIGNATURE] + 8)[0] if LC_CODE_SIGNATURE in commands else len(data)
    place = commands[LC_UUID] + 8
    data[place : place + 16] = bytes(16)
    uuid = bytearray(hashlib.sha256(data[:signed]).digest()[:16])
    # Version 8 of RFC 9562: the maker's own bits.
    uuid[6], uuid[8] = uuid[6] & 0x0F | 0x80, uuid[8] & 0x3F | 0x80
    data[place : place + 16] = uuid
    if signed < len(data):
        hash_page(data, signed, place)


def hash_page(data, signature, place):
    """Renews the hash of the page that holds `place`; check_program.py knows the structure."""
    count = struct.unpack_from(">I", data, signature + 8)[0]
    blobs = [signature + struct.unpack_from(">I", data, signature + 16 + 8 * index)[0] for index in range(count)]
    directory = next(blob for blob in blobs if struct.unpack_from(">I", data, blob)[0] == CSMAGIC_CODEDIRECTORY)
    hashes = directory + struct.unpack_from(">I", data, directory + 16)[0]
    limit = struct.unpack_from(">I", data, directory + 32)[0]
    size, page = data[directory + 36], 1 << data[directory + 39]
    index = place // page
    digest = hashlib.sha256(data[index * page : min((index + 1) * page, limit)]).digest()
    data[hashes + index * size : hashes + (index + 1) * size] = digest[:size]


for path in sys.argv[1:]:
    program = bytearray(Path(path).read_bytes())
    if struct.unpack_from("<I", program)[0] == MH_MAGIC_64:
        stabilize(program)
        Path(path).write_bytes(program)
