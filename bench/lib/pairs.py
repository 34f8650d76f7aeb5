#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""pairs.py DIR OUT PAIRS PARENT CURRENT: what bench/pairs.sh left in DIR as one result file and a table. Exit 1: slower."""
import json
import os
import re
import sys

import machine
import stats

SLOWER_BELOW = 0.97


def verdict(interval):
    if interval[1] < SLOWER_BELOW:
        return "slower"
    return "no slower" if interval[0] >= SLOWER_BELOW else "cannot tell"


def row(name, unit, parent, current, more_is_better):
    ratios = [c / p if more_is_better else p / c for p, c in zip(parent, current)]
    interval = stats.bootstrap_ci(ratios)
    third = max(1, len(ratios) // 3)
    return {"name": name, "unit": unit, "parent": stats.median(parent), "current": stats.median(current),
            "ratio": stats.median(ratios), "ratio_ci95": interval, "verdict": verdict(interval), "pairs": len(ratios),
            "ratio_first_third": stats.median(ratios[:third]), "ratio_last_third": stats.median(ratios[-third:]),
            "ratios": [round(r, 4) for r in ratios]}


def rig(directory, pairs):
    for shape in ("full", "single"):
        runs = {side: [] for side in ("parent", "current")}
        for side, values in runs.items():
            for i in range(1, pairs + 1):
                path = os.path.join(directory, f"rig.{shape}.{i}.{side}")
                if not os.path.exists(path):
                    return
                values.append(stats.load(path)["results"][0]["frames_per_s"])
        yield row(f"rig_{shape}", "frames/s", runs["parent"], runs["current"], True)


def micro(directory, pairs):
    line = re.compile(r"^(cut|copy)\s.*: *([0-9.]+) ns a frame")
    for messages in (17, 1):
        found = {}
        for side in ("parent", "current"):
            for i in range(1, pairs + 1):
                path = os.path.join(directory, f"micro.{messages}.{i}.{side}")
                if not os.path.exists(path):
                    return
                with open(path, encoding="utf-8") as file:
                    for match in filter(None, map(line.match, file)):
                        found.setdefault(match.group(1), {}).setdefault(side, []).append(float(match.group(2)))
        for path, sides in sorted(found.items()):
            yield row(f"micro_broker_{path}_{messages}", "ns a frame", sides["parent"], sides["current"], False)


def instructions(directory):
    rows = []
    for messages in (17, 1):
        counted = {}
        for side in ("parent", "current"):
            values = []
            for bursts in (10, 160):
                path = os.path.join(directory, f"callgrind.{messages}.{bursts}.{side}")
                if not os.path.exists(path):
                    return rows
                with open(path, encoding="utf-8") as file:
                    values.append(int(file.read()))
            # cut and copy, 15 rounds each, bursts of 32 frames
            counted[side] = (values[1] - values[0]) / (2 * 15 * 150 * 32 * messages)
        rows.append({"messages_per_frame": messages, "parent": round(counted["parent"], 1),
                     "current": round(counted["current"], 1), "ratio": round(counted["current"] / counted["parent"], 4)})
    return rows


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    directory, out, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rows = list(rig(directory, pairs)) + list(micro(directory, pairs))
    counts = instructions(directory)
    result = {"schema": 1, "parent": sys.argv[4], "current": sys.argv[5], "rows": rows,
              "instructions_per_message": counts, "fingerprint": machine.fingerprint()}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file)
        file.write("\n")
    print(f"\n{'':24}{'parent':>12}{'current':>12}{'ratio':>8}   95 % interval")
    for r in rows:
        print(f"{r['name']:24}{r['parent']:12,.1f}{r['current']:12,.1f}{r['ratio']:8.3f}   "
              f"{r['ratio_ci95'][0]:.3f} .. {r['ratio_ci95'][1]:.3f}   {r['verdict']} ({r['unit']})")
    for c in counts:
        print(f"instructions a message, {c['messages_per_frame']:2} a frame: {c['parent']:.1f} -> {c['current']:.1f} "
              f"({100 * (c['ratio'] - 1):+.1f} %)")
    return 1 if any(r["verdict"] == "slower" for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
