# shellcheck shell=bash
# Installing what a script needs with apt-get; sourced by scripts. Messages begin with the script's name.

say() { printf '%s: %s\n' "$0" "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

# Fails if this user can't install the named Debian packages, and says which command would.
check_may_install() {
  have apt-get || fail "missing: $* (names of Debian packages), and there is no apt-get to install them with"
  [[ $EUID -eq 0 ]] || have sudo ||
    fail "missing: $*; you are not root and there is no sudo, so have root run: apt-get install $*"
}

# Installs the named Debian packages, or fails and says so.
install_packages() {
  check_may_install "$@"
  say "installing with apt-get: $*"
  as_root apt-get update -q >&2 || say "apt-get update failed; trying with the package lists that are here"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" </dev/null >&2 ||
    fail "apt-get could not install: $*"
}
