#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of repeated runs, and merging of kaelix-pktgen's result files.

  stats.py merge OUT FILE...   one result file from several; refuses different machines or builds
  stats.py get FILE KEY...     a value of the first result, such as: get run.json latency_ns p50
  stats.py table FILE          the results as a table
"""
import json
import random
import sys


def median(values):
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("median of nothing")
    middle = n // 2
    return ordered[middle] if n % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def bootstrap_ci(values, level=0.95, rounds=10000, seed=1):
    """Percentile bootstrap interval of the median; the same values give the same interval."""
    rng = random.Random(seed)
    n = len(values)
    medians = sorted(median([values[rng.randrange(n)] for _ in range(n)]) for _ in range(rounds))
    tail = (1 - level) / 2
    return [medians[int(tail * rounds)], medians[min(rounds - 1, int((1 - tail) * rounds))]]


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def merge(paths):
    """One file's content from several runs of one machine and build."""
    merged = None
    for path in paths:
        content = load(path)
        if merged is None:
            merged = content
            continue
        if content["fingerprint"] != merged["fingerprint"]:
            differ = [k for k, v in content["fingerprint"].items() if merged["fingerprint"].get(k) != v and k != "tsc_ghz"]
            if differ:
                raise ValueError(f"{path}: other {', '.join(differ)} than {paths[0]}")
        merged["results"] += content["results"]
    return merged


def get(path, keys):
    value = load(path)["results"][0]
    for key in keys:
        value = value[key] if value is not None else None
    return value


def microseconds(block, key):
    value = (block or {}).get(key)
    return "-" if value is None else f"{value / 1000:.2f}"


def table(path):
    keys = ["p50", "p90", "p95", "p99", "p999"]
    lines = [["", "messages/s", "frames/s"] + [f"{k.replace('999', '99.9')} us" for k in keys] + ["lost+dup+bad", "valid"]]
    for r in load(path)["results"]:
        bad = r["lost"] + r["duplicated"] + r["reordered"] + r["corrupt"]
        rows = [(r["name"], r["latency_ns"])]
        if r["ack_latency_ns"]:
            rows.append(("  publish -> ack", r["ack_latency_ns"]))
        if r["residence_ns"]:
            rows.append(("  broker residence", r["residence_ns"]))
        for i, (name, block) in enumerate(rows):
            speed = [f"{r['messages_per_s']:,.0f}", f"{r['frames_per_s']:,.0f}"] if i == 0 else ["", ""]
            verdict = [f"{bad}", "yes" if r["valid"] else "no"] if i == 0 else ["", ""]
            lines.append([name] + speed + [microseconds(block, k) for k in keys] + verdict)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(v.ljust(w) if i == 0 else v.rjust(w) for i, (v, w) in enumerate(zip(line, widths))))
    for r in load(path)["results"]:
        if not r["valid"]:
            print(f"{r['name']} is not valid: {r['why_not_valid']}")
    wires = {r["wire"] + (" (software wire)" if r["software_wire"] else "") for r in load(path)["results"]}
    print("wire: " + ", ".join(sorted(wires)) + "; latency is publish -> consumer, in echo the round trip")


def main(argv):
    if len(argv) >= 4 and argv[1] == "merge":
        merged = merge(argv[3:])
        with open(argv[2], "w", encoding="utf-8") as file:
            json.dump(merged, file)
            file.write("\n")
        return 0
    if len(argv) >= 4 and argv[1] == "get":
        value = get(argv[2], argv[3:])
        print("null" if value is None else value)
        return 0
    if len(argv) == 3 and argv[1] == "table":
        table(argv[2])
        return 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
