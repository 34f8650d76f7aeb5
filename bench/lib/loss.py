#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What bench/loss.sh reads and computes.

  loss.py counters PREFIX FILE     the counters of the running broker with this EAL file prefix
  loss.py rate FRACTION FILE...    that fraction of the median rate of these results, in whole messages a second
  loss.py table DIR ROUNDS FRACTION OUT LOSS...   all runs DIR/LOSS.ROUND.json as a result file, a table and verdicts
"""
import json
import os
import socket
import sys

import stats

# The least goodput_ratio that is asked for, by loss; and the most frames sent again for each that was lost.
TARGETS = {0.001: 0.97, 0.01: 0.85}
TARGET_AGAIN = 1.3


def ask(prefix, command):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(5)
        s.connect(f"{os.environ.get('RUNTIME_DIRECTORY', '/var/run')}/dpdk/{prefix}/dpdk_telemetry.v2")
        s.recv(16384)
        s.send(command.encode())
        return json.loads(s.recv(65536))[command.split(",")[0]]


def counters(prefix, out):
    broker = ask(prefix, "/kaelix/lcore/stats,1")
    ports = [ask(prefix, f"/kaelix/port/stats,{port}") for port in ask(prefix, "/kaelix/port/list")["ports"]]
    # Frames with data are filled (1370 bytes), acknowledgements have a few hundred bytes at most.
    broker["data_lost"] = sum(p["impair_lost_large"] + p["impair_tx_lost_large"] for p in ports)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(broker, file)


def rates(files):
    return [stats.load(f)["results"][0]["messages_per_s"] for f in files]


def read_run(directory, loss, number):
    """Of one run: goodput, and the frames with data that were sent again and that were lost, of both directions."""
    path = os.path.join(directory, f"{loss}.{number}.json")
    result = stats.load(path)["results"][0]
    broker = stats.load(path + ".broker")
    again = result["retransmitted_frames"] + broker["repaired_frames"]
    faults = sum(result[key] for key in ("lost", "duplicated", "reordered", "corrupt", "failed"))
    return {"messages_per_s": result["messages_per_s"], "again": again, "lost": broker["data_lost"], "faults": faults,
            "congestions": broker["congestions"], "deferred": broker["repairs_deferred"]}


def summarize(directory, rounds, losses, fraction):
    runs = {loss: [read_run(directory, loss, i) for i in range(1, rounds + 1)] for loss in losses}
    rows = []
    for loss in losses:
        ratios = [r["messages_per_s"] / n["messages_per_s"] for r, n in zip(runs[loss], runs[losses[0]])]
        again = [r["again"] / r["lost"] if r["lost"] > 0 else 0.0 for r in runs[loss]]
        rows.append({"loss": float(loss), "offered_fraction": fraction, "goodput_ratio": stats.median(ratios),
                     "retransmitted_per_lost": stats.median(again),
                     "goodput_ratio_ci95": stats.bootstrap_ci(ratios), "rounds": rounds,
                     "messages_per_s": stats.median([r["messages_per_s"] for r in runs[loss]]),
                     "faults": sum(r["faults"] for r in runs[loss])})
    return rows


def verdicts(row):
    """What is asked for of this row, and whether it was met."""
    said = []
    if row["loss"] in TARGETS:
        target = TARGETS[row["loss"]]
        said.append(f"goodput >= {target}: {'met' if row['goodput_ratio'] >= target else 'missed'}")
    if row["loss"] > 0:
        said.append(f"again per lost < {TARGET_AGAIN}: {'met' if row['retransmitted_per_lost'] < TARGET_AGAIN else 'missed'}")
    if row["faults"] > 0:
        said.append(f"{row['faults']} messages lost, repeated, out of order or corrupt")
    return ", ".join(said)


def table(directory, rounds, fraction, out, losses):
    rows = summarize(directory, rounds, losses, fraction)
    first = stats.load(os.path.join(directory, f"{losses[0]}.1.json"))
    limit = stats.load(os.path.join(directory, "limit.1.json"))["results"][0]["messages_per_s"]
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"schema": 1, "fingerprint": first["fingerprint"], "loss_free_messages_per_s": limit, "rows": rows}, file)
        file.write("\n")
    print(f"\n{'loss':>7}{'offered':>9}{'goodput':>9}   95 % interval {'messages/s':>14}{'again/lost':>12}")
    for r in rows:
        low, high = r["goodput_ratio_ci95"]
        print(f"{r['loss']:7.3f}{r['offered_fraction']:9.2f}{r['goodput_ratio']:9.3f}   {low:.3f} .. {high:.3f} "
              f"{r['messages_per_s']:14,.0f}{r['retransmitted_per_lost']:12.2f}   {verdicts(r)}")
    return 1 if any("missed" in verdicts(r) or r["faults"] for r in rows) else 0


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "counters":
        counters(sys.argv[2], sys.argv[3])
    elif len(sys.argv) >= 4 and sys.argv[1] == "rate":
        print(int(float(sys.argv[2]) * stats.median(rates(sys.argv[3:]))))
    elif len(sys.argv) >= 7 and sys.argv[1] == "table":
        return table(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5], sys.argv[6:])
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
