"""What Homebrew, aqua, mise and cargo-binstall read: addresses and checksums of the archives. Called by pack.py."""

import json

from facts import CRATE, NAME, REPOSITORY, VERSION


def formula(out, checksums):
    """A formula for a tap (or for `brew install --formula FILE`); `checksums` is a dict of platform to SHA-256."""
    blocks = []
    for system in ["macos", "linux"]:
        inner = "".join(
            f"    on_{platform.homebrew[1]} do\n      url \"{platform.url}\"\n      sha256 \"{checksum}\"\n    end\n"
            for platform, checksum in checksums.items()
            if platform.homebrew[0] == system
        )
        blocks.append(f"  on_{system} do\n{inner}  end\n")
    text = f"""class {NAME.capitalize()} < Formula
  desc "{CRATE['description']}"
  homepage "{REPOSITORY}"
  version "{VERSION}"
  license any_of: ["MIT", "Apache-2.0"]

{chr(10).join(blocks)}
  def install
    bin.install "dogwatch"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/dogwatch.bash" => "dogwatch"
    zsh_completion.install "completions/dogwatch.zsh" => "_dogwatch"
    fish_completion.install "completions/dogwatch.fish"
  end

  test do
    ENV["DOGWATCH_DIR"] = testpath/"steps"
    system bin/"dogwatch", "run", "hello", "--", "true"
    assert_match "success", shell_output("#{{bin}}/dogwatch wait hello")
  end
end
"""
    (out / f"{NAME}.rb").write_text(text)


def aqua(out):
    """An entry for aqua's registry, which mise reads too. SHA256SUMS lies beside the archives."""
    owner, repository = REPOSITORY.rsplit("/", 2)[1:]
    entry = {
        "type": "github_release",
        "repo_owner": owner,
        "repo_name": repository,
        "description": CRATE["description"],
        "version_constraint": f"semver(\">= {VERSION}\")",
        "asset": f"{NAME}-{{{{trimV .Version}}}}-{{{{.Arch}}}}-{{{{.OS}}}}.tar.gz",
        "format": "tar.gz",
        "replacements": {"amd64": "x86_64", "arm64": "aarch64", "darwin": "apple-darwin", "linux": "unknown-linux-musl"},
        "supported_envs": ["linux", "darwin"],
        "files": [{"name": NAME, "src": "{{.AssetWithoutExt}}/dogwatch"}],
        "checksum": {"type": "github_release", "asset": "SHA256SUMS", "algorithm": "sha256"},
    }
    # JSON is YAML.
    (out / "aqua-registry.yaml").write_text(json.dumps({"packages": [entry]}, indent=2) + "\n")


def mise(out, checksums):
    """For a project's mise.toml, where no registry has an entry: https://mise.jdx.dev/dev-tools/backends/http.html"""
    lines = [f'[tools."http:{NAME}"]', f'version = "{VERSION}"', "", f'[tools."http:{NAME}".platforms]']
    for platform, checksum in checksums.items():
        lines.append(f'{platform.mise} = {{ url = "{platform.url}", checksum = "sha256:{checksum}" }}')
    (out / "mise.toml").write_text("\n".join(lines) + "\n")


def check_binstall(platforms):
    """cargo-binstall fills in addresses from Cargo.toml: they have to be those of the archives. glibc takes musl's program."""
    metadata = CRATE["metadata"]["binstall"]
    for platform in platforms:
        for target in {platform.target, platform.target.replace("-musl", "-gnu")}:
            facts = {"repo": REPOSITORY, "version": VERSION, "name": NAME, "target": target, "bin": NAME}
            entry = {**metadata, **metadata["overrides"].get(target, {})}
            folder = platform.archive.removesuffix(".tar.gz")
            for key, expected in [("pkg-url", platform.url), ("bin-dir", f"{folder}/{NAME}")]:
                found = entry[key]
                for name, value in facts.items():
                    found = found.replace(f"{{ {name} }}", value)
                if found != expected:
                    raise SystemExit(f"Cargo.toml: binstall's {key} for {target} is {found}, not {expected}")
