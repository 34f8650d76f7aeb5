#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""ledger.py PREFIX [SECONDS]: does every frame of a running broker end in exactly one place?

Asks /kaelix/drops of the process with this EAL file prefix and checks the sums itself. Frames move while they are
counted, so it looks again until the ledger closes, for at most SECONDS (5). Prints one line of sums and the reasons
that are not 0. Exit 0: it closes; 1: it does not, with what is open; 2: no answer.
"""
import json
import os
import socket
import sys
import time

LCORE_KEYS = ("received", "handed_over", "handled", "rx_dropped", "built", "relayed", "sent", "tx_dropped",
              "tx_waiting", "open")


def ask(prefix, command):
    base = "/var/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(30)
        sock.connect(f"{base}/dpdk/{prefix}/dpdk_telemetry.v2")
        limit = json.loads(sock.recv(1024))["max_output_len"]
        sock.send(command.encode())
        return json.loads(sock.recv(limit))[command]


def open_of_lcore(name, d):
    """What is open in the sums of one lcore (or of all)."""
    rx = d["received"] - d["handed_over"] - d["handled"] - d["rx_dropped"]
    tx = d["built"] - d["relayed"] - d["sent"] - d["tx_dropped"] - d["tx_waiting"]
    return [f"{name}: {what} side open by {n}" for what, n in (("RX", rx), ("TX", tx)) if n != 0]


def problems(drops):
    reasons = {k: v for k, v in drops.items() if isinstance(v, int) and k not in ("open", "lcores_left_out")}
    total, found = drops["total"], []
    for name, d in list(drops["lcores"].items()) + [("total", total)]:
        missing = [k for k in LCORE_KEYS if k not in d]
        if missing:
            return [f"{name}: no {', '.join(missing)} in the reply"]
        found += open_of_lcore(f"lcore {name}", d)
    if not reasons:
        found.append("no drop reasons in the reply")
    if sum(reasons.values()) != total["rx_dropped"] + total["tx_dropped"]:
        found.append("the named reasons do not add up to rx_dropped + tx_dropped")
    for port, d in drops["ports"].items():
        found += [f"port {port}: {k} is {d[k]}" for k in ("rx_open", "tx_open") if d[k] != 0]
    # Ports: arrived = handled + named drops + in flight, the port's own losses and the test impairment included.
    from_ports = sum(d["rx_frames"] for d in drops["ports"].values())
    handled = total["handled"] + total["rx_dropped"] + total["in_flight_handover"]
    if from_ports != handled:
        found.append(f"{from_ports} frames came from ports, {handled} were handled, dropped or are in flight")
    if drops["open"] != 0:
        found.append(f"the broker itself says {drops['open']} are open")
    return found


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    deadline = time.monotonic() + (float(sys.argv[2]) if len(sys.argv) == 3 else 5)
    while True:
        try:
            drops = ask(sys.argv[1], "/kaelix/drops")
        except (OSError, ValueError, KeyError) as err:
            print(f"ledger of {sys.argv[1]}: no answer: {err}", file=sys.stderr)
            return 2
        found = problems(drops)
        if not found or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    total = drops["total"]
    print("ledger:", ", ".join(f"{k} {total[k]}" for k in ("arrived",) + LCORE_KEYS))
    nonzero = {k: v for k, v in drops.items() if isinstance(v, int) and v != 0}
    nonzero |= {k: total[k] for k in ("port_missed", "port_errors", "port_no_mbuf", "impair_lost") if total[k] != 0}
    print("drops:", json.dumps(nonzero) if nonzero else "none")
    for line in found:
        print(f"OPEN: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
