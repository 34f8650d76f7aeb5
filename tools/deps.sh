#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Install the Debian packages of tools/packages.txt that are missing. Does nothing, and needs no network and no
# root, when all are there. Exit 0: all there.
set -u
list=$(dirname "$0")/packages.txt

missing=()
while read -r package; do
  case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
    installed) ;;
    *) missing+=("$package") ;;
  esac
done < <(grep -v -e '^#' -e '^$' "$list")
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing ${#missing[@]} packages: ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "deps.sh: no apt-get here; install these by other means" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "deps.sh: not root; run: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
apt_options=(-y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
if ! { apt-get -q update && apt-get "${apt_options[@]}" install "${missing[@]}"; } </dev/null >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "deps.sh: apt-get failed" >&2
  exit 1
fi
