#!/usr/bin/env bash
# Does a fresh clone work for a user who has nothing? As root: makes an account, clones HEAD into its
# home, and runs what the README says. The account is removed at the end.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "tools/fresh_clone.sh: needs root, to make an account" >&2; exit 1; }
repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
account=letterlock-fresh-$$
useradd --create-home --shell /bin/bash "$account"
home=$(getent passwd "$account" | cut -d: -f6)
trap 'userdel --remove "$account" 2>/dev/null || rm -rf "$home"' EXIT

git clone --quiet "$repository" "$home/letterlock"
chown -R "$account:" "$home/letterlock"
chmod 0700 "$home"

# A login shell, so that nothing of this one's settings helps; but those of the package index are the
# machine's, and are kept.
for name in ${!PIP_@} https_proxy http_proxy no_proxy SSL_CERT_FILE PYTHON; do
    [ -z "${!name+set}" ] || printf 'export %s=%q\n' "$name" "${!name}" >>"$home/.bash_profile"
done
run() {
    echo "== $*"
    su - "$account" -c "cd letterlock && $*"
}
run make test
run make demo ARGS=--once
