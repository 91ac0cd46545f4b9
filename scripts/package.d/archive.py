"""Tar archives that are the same bytes for the same files: sorted, owned by root, of one time. Called by pack.py and npm.py."""

import gzip
import io
import tarfile

from facts import EPOCH, LICENCES, NAME, ROOT, VERSION


def tar_gz(path, files):
    """Writes `files`, a dict of name in the archive to (bytes, mode)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, EPOCH
            tar.addfile(entry, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0))


def write(out, platform, program, documents):
    """The archive for people, cargo-binstall, Homebrew, aqua and mise: one folder with everything in it."""
    files = {"dogwatch": (program, 0o755)}
    for name in ["README.md", *LICENCES]:
        files[name] = ((ROOT / name).read_bytes(), 0o644)
    for document in sorted(documents.rglob("*")):
        if document.is_file():
            files[document.relative_to(documents).as_posix()] = (document.read_bytes(), 0o644)
    folder = f"{NAME}-{VERSION}-{platform.target}"
    tar_gz(out / platform.archive, {f"{folder}/{name}": file for name, file in files.items()})
