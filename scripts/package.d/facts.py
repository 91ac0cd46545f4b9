"""What every package says of the program: Cargo.toml's [package], read by cargo; and the platforms. Used by the other files here."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_metadata = json.loads(
    subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version=1", "--offline", "--locked"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
)
CRATE = next(package for package in _metadata["packages"] if package["name"] == "dogwatch")
NAME, VERSION, REPOSITORY = CRATE["name"], CRATE["version"], CRATE["repository"]
LICENCES = ["LICENSE-MIT", "LICENSE-APACHE"]

# Seconds since 1970, the modification time of every packed file: https://reproducible-builds.org/specs/source-date-epoch/
EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])


class Platform:
    """One target of rustc under the names that the package managers have for it."""

    def __init__(self, target, wheel_tags, npm, deb, homebrew, mise):
        self.target, self.wheel_tags, self.npm, self.deb = target, wheel_tags, npm, deb
        self.homebrew, self.mise = homebrew, mise
        self.archive = f"{NAME}-{VERSION}-{target}.tar.gz"
        self.url = f"{REPOSITORY}/releases/download/v{VERSION}/{self.archive}"


# The Linux programs are static, so the oldest tags of PEP 600 and PEP 656 that pip knows for both C libraries hold.
PLATFORMS = {
    platform.target: platform
    for platform in [
        Platform("x86_64-unknown-linux-musl",
                 ["manylinux_2_17_x86_64", "manylinux2014_x86_64", "musllinux_1_1_x86_64"],
                 ("linux", "x64"), "amd64", ("linux", "intel"), "linux-x64"),
        Platform("aarch64-unknown-linux-musl",
                 ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "musllinux_1_1_aarch64"],
                 ("linux", "arm64"), "arm64", ("linux", "arm"), "linux-arm64"),
        Platform("aarch64-apple-darwin", ["macosx_11_0_arm64"], ("darwin", "arm64"), None, ("macos", "arm"), "macos-arm64"),
        Platform("x86_64-apple-darwin", ["macosx_11_0_x86_64"], ("darwin", "x64"), None, ("macos", "intel"), "macos-x64"),
    ]
}
