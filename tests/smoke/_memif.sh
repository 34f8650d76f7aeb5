# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after _broker.sh: broker and generator as two processes over memif, one CPU each. The broker is the zero-copy
# client where there are hugepages.

MEMIF_SOCKET=$KX_TMP/memif.sock
MEMIF_GEN=(--vdev "net_memif0,role=server,socket=$MEMIF_SOCKET,socket-abstract=no" --no-pci --file-prefix "$KX_ID-g")
if have_hugepages 600; then
  MEMIF_BROKER=(--vdev "net_memif0,role=client,socket=$MEMIF_SOCKET,socket-abstract=no,zero-copy=yes")
else
  MEMIF_BROKER=(--no-huge --vdev "net_memif0,role=client,socket=$MEMIF_SOCKET,socket-abstract=no")
  MEMIF_GEN+=(--no-huge -m 512)
  echo "no hugepages: memif without zero-copy"
fi

# memif_ini MORE: a broker with one data lcore and topic quick.
memif_ini() {
  broker_ini net_memif0 <<INI
[lcores]
data = 1
[memory]
log_bytes = 64M
[port @PORT@]
address = 10.77.0.1/24
[topic quick]
partitions = ${1:-1}
overrun = block
INI
}

# memif_broker: started first; it waits for the generator. Allocations of its data lcore are counted from 3 s on.
memif_broker() {
  # shellcheck disable=SC2034 # broker_start uses it
  BROKER_ENV=("LD_PRELOAD=$KX_BUILD/tests/helpers/liballoc_count.so" "KX_ALLOC_COUNT_FILE=$KX_TMP/alloc"
    "KX_ALLOC_COUNT_AFTER_S=3")
  broker_start --lcores '0@0,1@0' "${MEMIF_BROKER[@]}"
}

# memif_generator ARGS...: run kaelix-pktgen to its end; everything sent has to arrive, once and in order.
memif_generator() {
  "$KX_PKTGEN" --lcores '0@1,1@1' "${MEMIF_GEN[@]}" -- --quiet --json "$KX_TMP/result.json" "$@" ||
    fail "kaelix-pktgen: exit $?"
  python3 - "$KX_TMP/result.json" <<'PY'
import json
import sys
for r in json.load(open(sys.argv[1]))["results"]:
    bad = {k: r[k] for k in ("lost", "duplicated", "reordered", "corrupt") if r[k] != 0}
    if bad or not r["messages_per_s"] > 0:
        sys.exit(f"{r['name']}: {bad} at {r['messages_per_s']} messages/s")
PY
}

# memif_stop: clean stop, and no allocation on the data lcore after the warm-up.
memif_stop() {
  broker_stop TERM
  cat "$KX_TMP/alloc"
  grep -q '^alloc_count: armed=1 data_lcore_threads=1 allocations=0 ' "$KX_TMP/alloc" ||
    fail "the data lcore allocated after the warm-up"
}
