#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tools/wireshark/kaelix.lua, by tshark, against the golden vectors and the C header. 77: there is no tshark.
set -u
cd "$(dirname "$0")/.." || exit 2
command -v tshark >/dev/null || {
  echo "no tshark (tools/deps.sh installs it)"
  exit 77
}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
# Preferences and plugins of whoever runs this are none of the test's.
HOME=$tmp XDG_CONFIG_HOME=$tmp/config python3 tests/wireshark.py "$tmp"
