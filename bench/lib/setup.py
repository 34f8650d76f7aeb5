#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""setup.py DIR ROUNDS OUT: the runs NAME.ROUND.json of bench/setup.sh as one result file, a table and verdicts."""
import json
import os
import sys

import stats

TARGET_P99_NS = 100_000
# Row of the result: file that it comes from, name in it.
ROWS = {"anonymous": ("anonymous", "handshake"), "key": ("key", "handshake"), "ping": ("anonymous", "ping")}


def read(directory, name, number):
    return stats.load(os.path.join(directory, f"{name}.{number}.json"))


def row_of(directory, name, rounds, echo):
    source, inner = ROWS[name]
    runs = [next(r for r in read(directory, source, i)["rows"] if r["name"] == inner) for i in range(1, rounds + 1)]
    row = {"name": name, "rounds": rounds, "sessions": runs[0]["count"]}
    for key in ("p50", "p99"):
        row[f"{key}_ns"] = stats.median([r[f"{key}_ns"] for r in runs])
        row[f"echo_{key}_ns"] = stats.median([e[key] for e in echo])
        row[f"{key}_over_echo"] = stats.median([r[f"{key}_ns"] / e[key] for r, e in zip(runs, echo)])
    return row


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, rounds, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    echo = [read(directory, "echo", i)["results"][0]["latency_ns"] for i in range(1, rounds + 1)]
    if any(e[key] is None for e in echo for key in ("p50", "p99")):
        print("setup.py: too few echoes came back in a second for a figure: is something else running?", file=sys.stderr)
        return 2
    rows = [row_of(directory, name, rounds, echo) for name in ROWS]
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"schema": 1, "fingerprint": read(directory, "key", 1)["fingerprint"], "rows": rows}, file)
        file.write("\n")
    print(f"\n{'us':10}{'p50':>9}{'p99':>9}{'echo p50':>10}{'echo p99':>10}{'p50/echo':>10}{'p99/echo':>10}")
    missed = False
    for r in rows:
        verdict = ""
        if r["name"] != "ping":
            met = r["p99_ns"] < TARGET_P99_NS
            missed |= not met
            verdict = f"   p99 < 100 us: {'met' if met else 'missed'}"
        print(f"{r['name']:10}" + "".join(f"{r[k] / 1000:{w}.1f}" for k, w in (
            ("p50_ns", 9), ("p99_ns", 9), ("echo_p50_ns", 10), ("echo_p99_ns", 10))) +
            f"{r['p50_over_echo']:10.1f}{r['p99_over_echo']:10.1f}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
