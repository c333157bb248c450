# Shared by the scripts in this directory, which source it from the root of the repository.
set -uo pipefail

# The build directory.
output=${CARGO_TARGET_DIR:-target}
case $output in /*) ;; *) output=$PWD/$output ;; esac

# The exit status of a check that cannot run here.
SKIP_STATUS=77

# skip REASON: exits, because this check cannot run here.
skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit "$SKIP_STATUS"
}

# needs COMMAND WHY PACKAGE...: installs the Debian packages if the command is missing.
needs() {
  local command=$1 why=$2
  shift 2
  command -v "$command" >/dev/null || apt_install "$why" "$@"
}

# apt_install WHY PACKAGE...: installs Debian packages, and says so; fails where that is impossible or unwanted.
apt_install() {
  local why=$1 log
  shift
  if [ "${AURORA_CI_INSTALL:-1}" != 1 ]; then
    printf 'Not installing %s (%s): AURORA_CI_INSTALL is not 1.\n' "$*" "$why"
    return 1
  fi
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    printf 'Cannot install %s (%s): that takes apt-get and root.\n' "$*" "$why"
    return 1
  fi
  printf 'Installing with apt-get: %s (%s)\n' "$*" "$why"
  log=$(mktemp)
  if { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=120 "$@"; } >"$log" 2>&1 </dev/null; then
    rm -f "$log"
  else
    tail -n 20 "$log"
    rm -f "$log"
    return 1
  fi
}

# needs_websockets: Python's package of this name. Debian's is for Debian's Python, which is not always the first one in PATH.
needs_websockets() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import websockets' 2>/dev/null && return
  done
  apt_install "a client" python3 python3-websockets
}

# cargo_tool CRATE VERSION: puts a cargo subcommand on PATH, built into the target directory if it is not installed.
cargo_tool() {
  local crate=$1 version=$2 tools=$output/ci-tools
  PATH=$tools/bin:$PATH
  command -v "$crate" >/dev/null && return
  [ "${AURORA_CI_INSTALL:-1}" = 1 ] || return 1
  printf 'Installing with cargo: %s %s\n' "$crate" "$version"
  cargo install --quiet --locked --root "$tools" --version "$version" "$crate"
}

# features MANIFEST: the names of a package's features, except `default`.
features() {
  awk '/^\[/ { inside = $0 == "[features]" } inside && /^[a-z][a-z0-9_-]* *=/ && $1 != "default" { print $1 }' "$1"
}

# bare_metal_linker TARGET: rustup brings a linker along for a target without an operating system; a system's Rust does
# not, and takes LLVM's.
bare_metal_linker() {
  local target=$1
  rustup target list --installed 2>/dev/null | grep -qx "$target" && return
  needs ld.lld "a linker for $target" lld || skip "there is no linker for $target: neither rustup's target nor ld.lld is installed"
  export "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER=ld.lld"
}

# version_at_least VERSION MINIMUM
version_at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}
