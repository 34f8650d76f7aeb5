#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""kx_client.h says of each function which thread may call it; doc/client.md names every result and every event."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    header = (ROOT / "lib/client/kx_client.h").read_text()
    page = (ROOT / "doc/client.md").read_text()
    wrong, functions = [], 0
    for m in re.finditer(r"^[a-z][\w ]*[ *](kx_\w+)\(", header, re.M):
        if header[:m.start()].endswith("typedef ") or "static inline" in m.group(0):
            continue
        functions += 1
        comment = header[:m.start()].rpartition("/**")[2]
        if not comment.rstrip().endswith("*/") or not re.search(r"Thread:[\s*]*(any|owner)", comment):
            wrong.append(f"{m.group(1)}: no word on threads in kx_client.h")
    results = re.findall(r"^\tX\((\w+),", header, re.M)
    events = re.findall(r"^\tKX_EVENT_(\w+)", header, re.M)
    wrong += [f"KX_{r}: not in doc/client.md" for r in results if f"| KX_{r} |" not in page]
    wrong += [f"event {e}: not in doc/client.md" for e in events if f"| {e} |" not in page]
    for w in wrong:
        print("FAIL:", w)
    print(f"{functions} functions, {len(results)} results, {len(events)} events, {len(wrong)} without a word")
    return 1 if wrong or functions < 40 or len(results) < 20 or len(events) < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
