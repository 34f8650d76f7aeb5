#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""ratio.py DIR OUT PAIRS: the runs NAME.PAIR.PEER.json of bench/wire_ratio.sh as one result file and a table."""
import json
import os
import sys

import stats


def read(directory, name, pair, peer):
    return stats.load(os.path.join(directory, f"{name}.{pair}.{peer}.json"))


def summarize(directory, name, count):
    testpmd = [read(directory, name, i, "testpmd")["results"][0] for i in range(1, count + 1)]
    kaelix = [read(directory, name, i, "kaelix")["results"][0] for i in range(1, count + 1)]
    for a, b in zip(testpmd, kaelix):
        if a["frame_bytes"] != b["frame_bytes"]:
            raise ValueError(f"{name}: testpmd frames of {a['frame_bytes']} B, Kaelix frames of {b['frame_bytes']} B")
    ratios = [b["frames_per_s"] / a["frames_per_s"] for a, b in zip(testpmd, kaelix)]
    faults = {key: sum(r[key] for r in kaelix) for key in ("lost", "duplicated", "reordered", "corrupt", "failed")}
    return {
        "name": name,
        "frame_bytes": kaelix[0]["frame_bytes"],
        "testpmd_frames_per_s": stats.median([r["frames_per_s"] for r in testpmd]),
        "kaelix_frames_per_s": stats.median([r["frames_per_s"] for r in kaelix]),
        "kaelix_messages_per_s": stats.median([r["messages_per_s"] for r in kaelix]),
        "ratio": stats.median(ratios),
        "ratio_ci95": stats.bootstrap_ci(ratios),
        "pairs": count,
        "generator_echo_frames_per_s": max(r["frames_per_s"] for r in testpmd),
        "kaelix_faults": faults,
        "testpmd_lost": sum(r["lost"] for r in testpmd),
        "runs": [
            {"testpmd_frames_per_s": a["frames_per_s"], "kaelix_frames_per_s": b["frames_per_s"],
             "kaelix_messages_per_s": b["messages_per_s"], "testpmd_cpu_seconds": a["cpu_seconds"],
             "kaelix_cpu_seconds": b["cpu_seconds"], "ratio": r}
            for a, b, r in zip(testpmd, kaelix, ratios)
        ],
    }


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    pairs = [summarize(directory, name, count) for name in ("full", "single")]
    fingerprint = read(directory, "full", 1, "kaelix")["fingerprint"]
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"schema": 1, "fingerprint": fingerprint, "pairs": pairs}, file)
        file.write("\n")
    print(f"\n{'':8}{'frame B':>8}{'testpmd f/s':>14}{'kaelix f/s':>14}{'kaelix msg/s':>14}{'ratio':>8}   95 % interval")
    for p in pairs:
        print(f"{p['name']:8}{p['frame_bytes']:8}{p['testpmd_frames_per_s']:14,.0f}{p['kaelix_frames_per_s']:14,.0f}"
              f"{p['kaelix_messages_per_s']:14,.0f}{p['ratio']:8.3f}   {p['ratio_ci95'][0]:.3f} .. {p['ratio_ci95'][1]:.3f}")
        print(f"        the generator's own best in echo mode on this wire: {p['generator_echo_frames_per_s']:,.0f} frames/s; "
              f"faults in Kaelix's runs: {sum(p['kaelix_faults'].values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
