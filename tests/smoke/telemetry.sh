#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each telemetry command with no argument, a valid one and garbage: a value or a named error, never silence; and
# readable with DPDK's own client.
# timeout: 300
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"

broker_ini net_ring0 <<'INI'
[lcores]
data = 1,2
[memory]
log_bytes = 96M
[port @PORT@]
address = 10.77.0.1/24
[topic quick]
partitions = 2
[topic other.one]
partitions = 200
max_message_bytes = 16K
log_bytes = 512K
INI
broker_start --no-huge --vdev net_ring0 --lcores '0@0,1@0,2@1'
python3 - "$BROKER_PREFIX" "$KX_ROOT/tests/smoke" "$KX_ROOT/doc/telemetry.md" <<'PY'
import re
import sys
sys.path.insert(0, sys.argv[2])
sys.dont_write_bytecode = True
from _telemetry import ask

PREFIX = sys.argv[1]
DOC = open(sys.argv[3], encoding="utf-8").read()
# command: (takes none, valid arguments, arguments that must be refused)
COMMANDS = {
    "/kaelix/info": (True, [], ["x", "1"]),
    "/kaelix/lcore/list": (True, [], ["x"]),
    "/kaelix/lcore/stats": (False, ["1", "2"], ["0", "3", "999999999999", "-1", "x", "1x", "1,2", " 1"]),
    "/kaelix/port/list": (True, [], ["x"]),
    "/kaelix/port/stats": (False, ["0"], ["1", "65536", "-1", "x", "0x0"]),
    "/kaelix/topic/list": (True, ["0", "1"], ["2", "x", "-1"]),
    "/kaelix/topic/stats": (False, ["quick", "other.one"], ["nope", "quick,0", "%s%n", "q" * 300]),
    "/kaelix/partition/list": (True, ["0", "150"], ["202", "x"]),
    "/kaelix/partition/stats": (False, ["quick,0", "quick,1", "other.one,199"],
                                ["quick", "quick,2", "quick,x", ",0", "nope,0", "quick,-1", "quick,0,0"]),
    "/kaelix/session/list": (True, ["0", "5"], ["x", "999999999"]),
    "/kaelix/session/stats": (False, [], ["0", "99999999", "x", "-1"]),
    "/kaelix/principal/list": (True, ["0"], ["1", "x", "-1"]),
    "/kaelix/principal/stats": (False, ["anonymous"], ["nobody", "%s%n", "q" * 300]),
    "/kaelix/drops": (True, ["1", "2"], ["0", "x"]),
    "/kaelix/topic/latency": (False, ["quick", "other.one"], ["nope", "quick,0", "%s%n"]),
    "/kaelix/principal/quota": (False, ["anonymous"], ["nope", "%s%n"]),
    "/kaelix/latency": (True, ["1"], ["0", "x"]),
    "/kaelix/memory": (True, [], ["x"]),
}
failed = []


def answer(command, arg):
    reply = ask(PREFIX, f"{command},{arg}" if arg is not None else command)
    return reply[command]


def keys_of(value, out):
    if isinstance(value, dict):
        for key, inner in value.items():
            out.add(key)
            keys_of(inner, out)
    return out


def check(command, arg, want_error):
    value = answer(command, arg)
    if not isinstance(value, dict) or not value:
        failed.append(f"{command},{arg}: answered {value!r}")
    elif want_error != ("error" in value):
        failed.append(f"{command},{arg}: {'no error' if want_error else value}")
    return value


listed = set(ask(PREFIX, "/")["/"])
failed += [f"{c} is not registered" for c in COMMANDS if c not in listed]
failed += [f"{c} is registered and not tried here" for c in listed if c.startswith("/kaelix/") and c not in COMMANDS]
seen = set()
for command, (bare, good, bad) in COMMANDS.items():
    first = check(command, None, not bare)
    if bare:
        keys_of(first, seen)
    for arg in good:
        keys_of(check(command, arg, False), seen)
    for arg in bad:
        check(command, arg, True)
    if command not in DOC:
        failed.append(f"{command} is not in doc/telemetry.md")
drops = answer("/kaelix/drops", None)
if drops["open"] != 0 or drops["total"]["open"] != 0 or set(drops["lcores"]) != {"1", "2"}:
    failed.append(f"drops: {drops}")
# Every key of every reply is explained; names of things that are running stand for themselves.
own = re.compile(r"^(\d+|lcore\d+|mbuf_lcore\d+)$")
failed += [f"key {k} is not in doc/telemetry.md" for k in sorted(seen) if not own.match(k) and f"`{k}`" not in DOC]
# All pages of a list together are the whole.
names, at = [], 0
while at >= 0:
    page = answer("/kaelix/partition/list", str(at))
    names += page["partitions"]
    at = page["next"]
if len(names) != 202 or len(set(names)) != 202:
    failed.append(f"the pages of partition/list have {len(names)} names")
print("\n".join(failed))
sys.exit(1 if failed else 0)
PY
if command -v dpdk-telemetry.py >/dev/null; then
  grep -q "\"name\": \"$BROKER_PREFIX\"" <<<"$(dpdk-telemetry.py -f "$BROKER_PREFIX" <<</kaelix/info)" ||
    fail "dpdk-telemetry.py cannot read /kaelix/info"
else
  echo "dpdk-telemetry.py is not installed: not tried"
fi
broker_stop TERM
