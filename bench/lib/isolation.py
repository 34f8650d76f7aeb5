#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Helpers of bench/isolation.sh.

  isolation.py read PREFIX OUT            residence of the victim's topic, asked of a running broker, into OUT
  isolation.py p999 OUT                   its p99.9
  isolation.py report DIR JSON PAIRS NAME...   the runs DIR/NAME.PAIR.with|without as one result file and a table;
                                          exit 3 when a verdict is "over"
"""
import json
import os
import socket
import sys

import stats

LIMIT = 1.10
OVER = 3  # exit code of a report with such a verdict; 1 is an exception's


def ask(prefix, command):
    base = "/var/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(30)
        sock.connect(f"{base}/dpdk/{prefix}/dpdk_telemetry.v2")
        limit = json.loads(sock.recv(1024))["max_output_len"]
        sock.send(command.encode())
        answer = json.loads(sock.recv(limit))
        return next(iter(answer.values()))


def read(prefix, out):
    content = {"residence": ask(prefix, "/kaelix/topic/latency,quick")["residence"],
               "drops": {k: v for k, v in ask(prefix, "/kaelix/drops").get("drops", {}).items() if v}}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return 0


def verdict(interval):
    if interval[1] <= LIMIT:
        return "within"
    return "over" if interval[0] > LIMIT else "cannot tell"


def row(directory, name, pairs):
    runs = []
    for i in range(1, pairs + 1):
        sides = {}
        for side in ("without", "with"):
            path = os.path.join(directory, f"{name}.{i}.{side}")
            result = stats.load(path + ".json")["results"][0]
            sides[side] = {"p999_ns": stats.load(path)["residence"].get("p999"),
                           "samples": stats.load(path)["residence"]["count"],
                           "messages_per_s": result["messages_per_s"],
                           "faults": sum(result[k] for k in ("lost", "duplicated", "reordered", "corrupt"))}
        runs.append(sides)
    if any(r[side]["p999_ns"] is None for r in runs for side in r):
        print(f"{name}: fewer than 100,000 deliveries in a run, no p99.9; more --seconds")
        return {"disturbance": name, "p999_ratio": None, "p999_ratio_ci95": [None, None], "throughput_ratio":
                stats.median([r["with"]["messages_per_s"] / r["without"]["messages_per_s"] for r in runs]),
                "verdict": "cannot tell", "pairs": pairs, "runs": runs}
    ratios = [r["with"]["p999_ns"] / r["without"]["p999_ns"] for r in runs]
    through = [r["with"]["messages_per_s"] / r["without"]["messages_per_s"] for r in runs]
    interval = stats.bootstrap_ci(ratios)
    return {"disturbance": name, "p999_ratio": stats.median(ratios), "p999_ratio_ci95": interval,
            "throughput_ratio": stats.median(through), "verdict": verdict(interval), "pairs": pairs,
            "p999_ns": stats.median([r["with"]["p999_ns"] for r in runs]),
            "p999_ns_without": stats.median([r["without"]["p999_ns"] for r in runs]), "runs": runs}


def report(directory, out, pairs, names):
    rows = [row(directory, name, pairs) for name in names]
    first = stats.load(os.path.join(directory, f"{names[0]}.1.without.json"))
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"schema": 1, "fingerprint": first["fingerprint"], "wire": "memif (software wire)", "rows": rows}, file)
        file.write("\n")
    print(f"\n{'':16}{'p99.9 without':>15}{'with':>12}{'ratio':>8}   95 % interval      throughput   verdict (limit {LIMIT})")
    for r in rows:
        if r["p999_ratio"] is None:
            print(f"{r['disturbance']:16} too few deliveries: {r['verdict']}")
            continue
        low, high = r["p999_ratio_ci95"]
        print(f"{r['disturbance']:16}{r['p999_ns_without']:12,.0f} ns{r['p999_ns']:9,.0f} ns{r['p999_ratio']:8.3f}   "
              f"{low:6.3f} .. {high:6.3f}   {r['throughput_ratio']:10.3f}   {r['verdict']}")
    return OVER if any(r["verdict"] == "over" for r in rows) else 0


def main(argv):
    if len(argv) == 4 and argv[1] == "read":
        return read(argv[2], argv[3])
    if len(argv) == 3 and argv[1] == "p999":
        print(stats.load(argv[2])["residence"].get("p999", "-"))
        return 0
    if len(argv) >= 6 and argv[1] == "report":
        return report(argv[2], argv[3], int(argv[4]), argv[5:])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
