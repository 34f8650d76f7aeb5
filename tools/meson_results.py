#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""meson_results.py TESTLOG.json PREFIX: a line `name<TAB>exit status<TAB>seconds` for each test that meson ran
(77: skipped), and its output in the file PREFIX<name>.log."""
import json
import sys


def status_of(test):
    if test["result"] in ("OK", "EXPECTEDFAIL"):
        return 0
    if test["result"] == "SKIP":
        return 77
    return test["returncode"] or 1


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            test = json.loads(line)
            name = test["name"].split(" / ")[-1]
            with open(f"{sys.argv[2]}{name}.log", "w", encoding="utf-8") as log:
                log.write(test.get("stdout", ""))
                log.write(test.get("stderr", ""))
                if test["result"] == "TIMEOUT":
                    log.write("over its time limit\n")
            print(name, status_of(test), f"{test['duration']:.1f}", sep="\t")


if __name__ == "__main__":
    main()
