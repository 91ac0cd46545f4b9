# shellcheck shell=bash
# What builds for another platform from Linux. Sourced by scripts/package and scripts/check-macos, which set `crate`, the
# folder of Cargo.toml, and define die SENTENCE and unavailable SENTENCE; neither of the two returns.
#
# The standard library of a target comes from rustup where rustup has it. Elsewhere it is built from source: Debian's
# rustc-web packages hold a rustc, a clippy and the library's source of one version. They are downloaded with apt and
# unpacked into a cache folder; nothing is installed, and neither the machine's toolchain nor apt's own lists are touched.
# RUSTC_BOOTSTRAP=1 lets a stable rustc build the library; it also accepts `#![feature]`.
#
# Zig links, with the C libraries and system stubs that it brings: packages of PyPI, pinned in requirements.txt, in a
# Python environment in the same cache.

# shellcheck disable=SC2154 # `crate` is the caller's.
readonly crate
# These three bring the rest: the compiled standard library and LLVM, whose names carry versions.
readonly packages=(rustc-web rust-web-clippy rust-web-src)

needed=$(sed -n 's/^rust-version *= *"\([^"]*\)".*/\1/p' "$crate/Cargo.toml")
needed=${needed:-1.85}
cache=${XDG_CACHE_HOME:-}
# The XDG specification says to ignore a relative path.
if [[ $cache != /* ]]; then cache=${HOME:?}/.cache; fi
cache+=/dogwatch
work='' tools=''

# at_least A B: whether version A is B or later.
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

# Prints the newest complete toolchain of the cache that is new enough for the crate, if there is one.
cached() {
  local folder version best=''
  for folder in "$cache"/rust-web-*/; do
    folder=${folder%/} version=${folder##*/rust-web-}
    if [[ -x $folder/usr/bin/rustc ]] && at_least "$version" "$needed" && at_least "$version" "${best:-0}"; then
      best=$version
    fi
  done
  if [[ -n $best ]]; then printf '%s\n' "$cache/rust-web-$best"; fi
}

# apt's tools with lists of the run's own, and in the language that is parsed here.
apt() { LC_ALL=C "apt-$1" -c "$work/apt.conf" "${@:2}"; }

# The packages named as PACKAGE's own dependencies, one to a line.
dependencies() { apt cache depends --important "$1" | sed -n 's/^ *[A-Za-z-]*Depends: \([a-z].*\)$/\1/p'; }

# Everything below it as well, PACKAGE included.
closure() { apt cache depends --important --recurse "$1" | sed -n 's/^\([a-z][^: ]*\)$/\1/p'; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null) == *installed* ]]; }

candidate() { apt cache policy "$1" | sed -n 's/^ *Candidate: \([^(].*\)$/\1/p'; }

# Downloads and unpacks into the cache. Holds the cache's lock while it does, so the second of
# two runs that start at once waits and finds the work done. A folder gets its final name only when all is there.
unpack() {
  local program version other std package deb
  for program in apt-get apt-cache dpkg-deb dpkg-query flock tar; do
    command -v "$program" >/dev/null ||
      unavailable "it takes packages of Debian, and there is no $program here"
  done
  mkdir -p "$cache" || die "cannot create $cache"

  exec 9>"$cache/.lock"
  flock 9
  if [[ -n $(cached) ]]; then
    exec 9>&-
    return
  fi

  # Only the lock's holder touches this one; what a killed run left is of no use.
  work=$cache/.unpacking
  rm -rf "$work"
  mkdir -p "$work"/{lists,archives}/partial "$work/debs" "$work/tree"
  # Lists of its own: fresh, and no need to be root. The hooks are the system's and would touch its folders.
  cat >"$work/apt.conf" <<CONF
Dir::State::lists "$work/lists";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb-src::Sources::DefaultEnabled "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF

  say "fetching Debian's rustc-web packages (about 140 MB, once)"
  # One broken source among many does not matter, so what counts is what is on offer afterwards.
  apt get -qq update >"$work/log" 2>&1 || true
  version=$(candidate rustc-web)
  if [[ -z $version ]]; then
    if grep -q '^[EW]: .*Failed to fetch' "$work/log"; then
      unavailable "apt reached no source that offers rustc-web (no network?)"
    fi
    unavailable "the apt sources of this machine offer no rustc-web (Debian's security archive has it)"
  fi
  at_least "$version" "$needed" ||
    unavailable "the apt sources of this machine offer rustc-web $version, and the crate needs $needed"
  for package in "${packages[@]}"; do
    other=$(candidate "$package")
    [[ $other == "$version" ]] ||
      unavailable "apt offers rustc-web $version, but $package ${other:-not at all}"
  done

  std=$(dependencies libstd-rust-web-dev | grep '^libstd-rust-web-' | head -n 1) ||
    die "libstd-rust-web-dev $version does not say which libstd-rust-web it needs"
  local all=("${packages[@]}" libstd-rust-web-dev)
  # Of the libraries, those that the system has need no second copy.
  for package in $(closure "$std"); do
    if [[ $package == "$std" || $package == libLLVM* || $package == libllvm* ]] || ! installed "$package"; then
      all+=("$package")
    fi
  done
  (cd "$work/debs" && apt get -qq download "${all[@]}") >"$work/log" 2>&1 ||
    unavailable "apt could not download rustc-web $version and its companions ($(tail -n 1 "$work/log"))"

  for deb in "$work"/debs/*.deb; do
    if [[ ${deb##*/} == rust-web-src_* ]]; then
      # The compiler's own source, four fifths of it, is not needed.
      dpkg-deb --fsys-tarfile "$deb" |
        tar -x -C "$work/tree" --wildcards --no-wildcards-match-slash ./usr/lib './usr/src/rustc-*/library'
    else
      dpkg-deb -x "$deb" "$work/tree"
    fi
  done
  rm -rf "$work/tree/usr/share"
  works "$work/tree" || die "Debian's rustc-web $version does not work here, as unpacked"

  mv -T "$work/tree" "$cache/rust-web-$version"
  rm -rf "$work"
  work=''
  exec 9>&-
}

# Prints the library folders of the toolchain unpacked in $1, as LD_LIBRARY_PATH wants them.
libraries() {
  local folder list=''
  for folder in "$1"/usr/lib/*-linux-*/ "$1"/lib/*-linux-*/; do
    if [[ -d $folder ]]; then list+=${list:+:}${folder%/}; fi
  done
  printf '%s\n' "$list"
}

# Whether the toolchain unpacked in $1 runs here and finds its source.
works() {
  local libraries sysroot
  libraries=$(libraries "$1")
  sysroot=$(LD_LIBRARY_PATH=$libraries "$1/usr/bin/rustc" --print sysroot) &&
    [[ -f $sysroot/lib/rustlib/src/rust/library/Cargo.lock ]] &&
    LD_LIBRARY_PATH=$libraries "$1/usr/bin/clippy-driver" --version >/dev/null
}

# Sets `toolchain`, the folder of a rustc with the source of its standard library; downloads it where the cache has none.
find_rust_web() {
  toolchain=$(cached)
  if [[ -z $toolchain ]]; then
    unpack
    toolchain=$(cached)
  fi
  works "$toolchain" || die "the cached compiler does not run here; remove $toolchain"
}

# Runs a command with that toolchain in place of the machine's own.
with_rust_web() {
  env -u CARGO_BUILD_TARGET -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_RUSTFLAGS \
    RUSTC="$toolchain/usr/bin/rustc" RUSTDOC="$toolchain/usr/bin/rustdoc" \
    RUSTC_WRAPPER='' RUSTC_WORKSPACE_WRAPPER='' RUSTC_BOOTSTRAP=1 \
    LD_LIBRARY_PATH="$(libraries "$toolchain")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
    "$@"
}

# Sets `tools`, a Python environment with the pinned packages; one for each content of requirements.txt.
find_tools() {
  local list=$crate/scripts/package.d/requirements.txt said
  command -v python3 >/dev/null || unavailable "zig and its cargo command are packages of PyPI, and there is no python3 here"
  tools=$cache/tools-$(cksum <"$list" | tr -d ' ')
  mkdir -p "$cache" || die "cannot create $cache"
  exec 8>"$cache/.tools.lock"
  flock 8
  if [[ ! -e $tools/complete ]]; then
    rm -rf "$tools"
    said=$(python3 -m venv "$tools" 2>&1) ||
      unavailable "python3 cannot make an environment ($(tail -n 1 <<<"$said")); on Debian it takes the package python3-venv"
    said=$("$tools/bin/pip" install --quiet --disable-pip-version-check --retries 2 --require-hashes --only-binary :all: -r "$list" 2>&1) ||
      unavailable "pip could not install zig and its cargo command ($(grep -m 1 ERROR <<<"$said"))"
    touch "$tools/complete"
  fi
  exec 8>&-
}

# Runs `cargo $1 --target $2` with the rest as its options: with the machine's own toolchain where that has the target's
# standard library, else with Debian's and the library's source. `cargo zigbuild` needs find_tools first.
cross() {
  local program=(cargo "$1") target=$2 run=(env) options=()
  # Panic messages hold the paths of sources. Without their beginnings the bytes do not depend on the folder.
  local flags="--remap-path-prefix=$crate=/dogwatch --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/crates"
  if ! has_std "$target"; then
    find_rust_web
    run=(with_rust_web)
    # cargo needs both ways to panic, whichever the profile chooses.
    options+=("-Zbuild-std=std,panic_unwind,panic_abort")
    flags+=" --remap-path-prefix=$toolchain/usr/lib/rustlib/src/rust=/rust"
    # Zig brings musl's startup files itself.
    if [[ $target == *-musl ]]; then flags+=' -Clink-self-contained=no'; fi
    if [[ $1 == clippy ]]; then program=("$toolchain/usr/bin/cargo-clippy" clippy); fi
  fi
  # The standard library's iconv, which the program does not call, would name two more libraries.
  if [[ $target == *-apple-* ]]; then flags+=' -Clink-arg=-Wl,-dead_strip_dylibs'; fi
  "${run[@]}" env PATH="${tools:+$tools/bin:}$crate/scripts/package.d:$PATH" RUSTFLAGS="$flags" MACOSX_DEPLOYMENT_TARGET=11.0 \
    "${program[@]}" --locked --target "$target" "${options[@]}" "${@:3}"
}

# Whether the machine's own toolchain has the standard library of target $1; rustup fetches it where it can.
has_std() {
  local folder
  folder=$(rustc --print sysroot)/lib/rustlib/$1/lib
  [[ -d $folder ]] || { rustup target add "$1" >/dev/null 2>&1 && [[ -d $folder ]]; }
}

# Builds the released program for target $1. For size alone, as everything else in the program is: with musl in it, it stays
# below 2.5 MB.
release() { cross zigbuild "$1" --release --config 'profile.release.package.dogwatch.opt-level="z"'; }
