#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""_telemetry.py PREFIX COMMAND: one DPDK telemetry command; prints the JSON answer. Exit 1: no answer."""
import json
import socket
import sys


def ask(prefix, command):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(30)
        sock.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
        greeting = json.loads(sock.recv(1024))
        sock.send(command.encode())
        return json.loads(sock.recv(greeting["max_output_len"]))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print(json.dumps(ask(sys.argv[1], sys.argv[2])))
    except (OSError, ValueError) as err:
        print(f"telemetry of {sys.argv[1]}: {sys.argv[2]}: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
