#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""micro.py DIR OUT REPEATS: the `name ns` lines DIR/PROGRAM.N.rows, and DIR/instructions (`name tenths`), of
bench/micro.sh as one result file and a table."""
import glob
import json
import os
import re
import sys

import machine
import stats

LINE = re.compile(r"^([a-z][a-z0-9_]*) ([0-9]+(?:\.[0-9]+)?)$")


def read(path):
    with open(path, encoding="utf-8") as file:
        return [match.groups() for match in map(LINE.match, file.read().splitlines()) if match]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, out, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    values, order, program_of = {}, [], {}
    for path in sorted(glob.glob(os.path.join(directory, "*.rows"))):
        program = os.path.basename(path).split(".")[0]
        for name, ns in read(path):
            if program_of.setdefault(name, program) != program:
                continue  # two programs have it: the first one's
            if name not in values:
                order.append(name)
            values.setdefault(name, []).append(float(ns))
    counts = os.path.join(directory, "instructions")
    instructions = {name: float(n) / 10 for name, n in read(counts)} if os.path.exists(counts) else {}
    rows = []
    for name in order:
        if len(values[name]) != repeats:
            sys.exit(f"micro.py: {len(values[name])} figures of {name}, not {repeats}")
        row = {"name": name, "ns": round(stats.median(values[name]), 3),
               "ns_ci95": [round(v, 3) for v in stats.bootstrap_ci(values[name])]}
        if name in instructions:
            row["instructions"] = instructions[name]
        rows.append(row)
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"schema": 1, "rows": rows, "repeats": repeats, "fingerprint": machine.fingerprint()}, file)
        file.write("\n")
    for row in rows:
        counted = f"{row['instructions']:10.1f} instructions" if "instructions" in row else ""
        print(f"{row['name']:24}{row['ns']:10.2f} ns   {row['ns_ci95'][0]:.2f} .. {row['ns_ci95'][1]:.2f}{counted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
