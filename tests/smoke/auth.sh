#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Keys with real processes over veth: who has none or a wrong one stays outside, topics that a principal may not use are
# denied or not there, protected frames pass, audit lines say so, and a key is changed by two restarts without a gap.
# timeout: 300
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"
# shellcheck source=tests/smoke/_broker.sh
. "$(dirname "$0")/_broker.sh"
# shellcheck source=tests/smoke/_veth.sh
. "$(dirname "$0")/_veth.sh"
veth_up

for name in desk desk2 feed stranger; do
  "$KX_CLI" keygen "$KX_TMP/$name.key" || fail "keygen: exit $?"
done
assert_eq 600 "$(stat -c %a "$KX_TMP/desk.key")" "mode of a new key file"
if "$KX_CLI" keygen "$KX_TMP/desk.key" 2>"$KX_TMP/err"; then fail "keygen wrote over a key"; fi
grep -q 'exists already' "$KX_TMP/err" || fail "keygen: $(cat "$KX_TMP/err")"

# ini DESK-KEY NEXT-KEY
ini() {
  broker_ini net_af_packet0 <<INI
[auth]
anonymous = off
[lcores]
data = 1
[memory]
log_bytes = 64M
[port @PORT@]
address = 10.77.0.1/24, fd77::1/64
[topic orders]
[topic fills]
[topic vault]
[principal desk]
key_file = $1
next_key_file = $2
produce = orders
consume = *, !vault
[principal feed]
key_file = $KX_TMP/feed.key
frames = mac
produce = *
consume = *
INI
}
start() {
  broker_start --no-huge --lcores '0@0,1@1' --vdev "net_af_packet0,iface=$VETH"
}
# as NAME KEY COMMAND...: kaelix-cli as that principal
as() {
  in_ns host "$KX_CLI" -b 10.77.0.1 --timeout 5000 --principal "$1" --key-file "$KX_TMP/$2.key" "${@:3}"
}
# refused PATTERN CODE COMMAND...
refused() {
  local rc=0
  "${@:3}" >"$KX_TMP/out" 2>"$KX_TMP/err" </dev/null || rc=$?
  assert_eq "$2" "$rc" "exit code of ${*:3}"
  grep -q "$1" "$KX_TMP/err" || fail "instead of '$1': $(cat "$KX_TMP/err")"
}
audit() {
  wait_for "grep -q '$1' '$KX_TMP/broker.log'" 5
}

# A key file that others can read is known before anything is started.
ini "$KX_TMP/desk.key" none
chmod 640 "$KX_TMP/desk.key"
refused 'desk.key: has mode 0640.*chmod 600.*(principal desk, section in line [0-9]*)' 2 "$KX_BROKER" --no-huge --lcores '0@0,1@1' \
  --vdev "net_af_packet0,iface=$VETH" -- --config "$BROKER_INI"
refused '^kaelix: .*:[0-9]*: \[principal desk\] key_file: .*desk.key: has mode 0640' 2 "$KX_BROKER" -- --config "$BROKER_INI" --check
chmod 600 "$KX_TMP/desk.key"
# So is one that is no key at all.
key_refused() {
  ini "$KX_TMP/bad.key" none
  refused "bad.key: $1.*(principal desk, section in line [0-9]*)" 2 "$KX_BROKER" --no-huge --lcores '0@0,1@1' \
    --vdev "net_af_packet0,iface=$VETH" -- --config "$BROKER_INI"
  refused "^kaelix: .*:[0-9]*: .principal desk. key_file: .*bad.key: $1" 2 "$KX_BROKER" -- --config "$BROKER_INI" --check
  rm -rf "$KX_TMP/bad.key"
}
key_refused 'cannot be opened: No such file'
mkdir "$KX_TMP/bad.key" && key_refused 'is a directory'
mkfifo -m 600 "$KX_TMP/bad.key" && key_refused 'is no regular file'
ln -s "$KX_TMP/desk.key" "$KX_TMP/bad.key" && key_refused 'is a symbolic link'
install -m 600 /dev/null "$KX_TMP/bad.key" && key_refused 'is empty'
(umask 077 && head -c 63 "$KX_TMP/desk.key" >"$KX_TMP/bad.key") && key_refused 'has 63 digits'
# All that cannot be used are told at once; a key that two principals have is nobody's.
mv "$KX_TMP/feed.key" "$KX_TMP/feed.away"
ini "$KX_TMP/bad.key" none
refused 'principal desk. key_file: .*bad.key: cannot be opened' 2 "$KX_BROKER" -- --config "$BROKER_INI" --check
grep -q 'principal feed. key_file: .*feed.key: cannot be opened' "$KX_TMP/err" || fail "not all key files: $(cat "$KX_TMP/err")"
grep -q '^kaelix: .*names 2 key files that cannot be used$' "$KX_TMP/err" || fail "not how many: $(cat "$KX_TMP/err")"
cp -p "$KX_TMP/desk.key" "$KX_TMP/feed.key"
ini "$KX_TMP/desk.key" none
refused 'principals desk and feed have the same key' 2 "$KX_BROKER" -- --config "$BROKER_INI" --check
refused 'principals desk and feed have the same key' 2 "$KX_BROKER" --no-huge --lcores '0@0,1@1' \
  --vdev "net_af_packet0,iface=$VETH" -- --config "$BROKER_INI"
mv "$KX_TMP/feed.away" "$KX_TMP/feed.key"
# And a list that leaves open what it means: file and line, nothing started.
ini "$KX_TMP/desk.key" none
sed -i 's/^consume = .*/consume = !fills/' "$BROKER_INI"
refused ':[0-9]*: \[principal .*\] consume: only denies, which is ambiguous' 2 "$KX_BROKER" -- --config "$BROKER_INI" --check
ini "$KX_TMP/desk.key" none

start
refused 'principal' 3 in_ns host "$KX_CLI" ping -b 10.77.0.1 --timeout 5000
refused 'principal' 3 as desk stranger ping
refused 'principal' 3 as stranger stranger ping
audit '^audit .* refused principal=anonymous remote=10.77.0.2:.* reason="anonymous clients may not connect'
audit '^audit .* refused principal=desk remote=10.77.0.2:.* reason="wrong key"'
audit '^audit .* refused principal=stranger (unknown) .* reason="no such principal"'
refused 'principal desk needs --key-file' 2 in_ns host "$KX_CLI" ping -b 10.77.0.1 --principal desk
# kaelix-cli does not send such a claim; another program may.
refused 'principal' 1 in_ns host env PYTHONPATH="$KX_ROOT/tools/python" PYTHONDONTWRITEBYTECODE=1 \
  KAELIX_LIBRARY="$KX_BUILD/drivers/transport/udp/libkaelix.so" \
  python3 -c 'import kaelix; kaelix.Client("10.77.0.1:9000", principal="desk", reconnect=False)'
audit '^audit .* refused principal=desk remote=10.77.0.2:.* reason="came without a key'

as desk desk ping --count 3
audit '^audit .* accepted principal=desk .* key=current'
printf 'one\ntwo\n' | as desk desk produce -t orders
assert_eq $'one\ntwo' "$(as desk desk consume -t orders --count 2 --idle-exit 5000)" "lines of orders"
echo three | as feed feed produce -t fills
echo four | as feed feed produce -t vault --producer-id 0 2>"$KX_TMP/feed.err"
feed_id=$(sed -n 's/.*producer \([0-9]*\), epoch 1$/\1/p' "$KX_TMP/feed.err")
refused "not permitted to this principal: --producer-id $feed_id may be another principal's" 3 \
  as desk desk produce -t orders --producer-id "$feed_id"
assert_eq three "$(as desk desk consume -t fills --count 1 --idle-exit 5000)" "line of fills"
assert_eq four "$(as feed feed consume -t vault --count 1 --idle-exit 5000 --frames aead)" "line of vault"
refused 'not permitted' 1 bash -c "$(declare -f as in_ns ns); $(declare -p KX_ID KX_TMP KX_CLI)
  echo x | as desk desk produce -t fills"
refused 'topic' 1 as desk desk consume -t vault --count 1
audit '^audit .* denied principal=desk .* topic=fills'
assert_eq $'fills\norders' "$(as desk desk topics | grep -ow 'orders\|fills\|vault' | sort)" "topics that desk sees"
stats=$(telemetry "$BROKER_PREFIX" /kaelix/principal/stats,desk)
for key in accepted refused denied; do
  [ "$(in_json /kaelix/principal/stats "$key" <<<"$stats")" -gt 0 ] || fail "$key of desk is 0: $stats"
done
broker_stop

# Both keys are valid, then only the new one.
ini "$KX_TMP/desk.key" "$KX_TMP/desk2.key"
start
as desk desk ping --count 1
as desk desk2 ping --count 1
audit '^audit .* accepted principal=desk .* key=next'

# A producer whose key is withdrawn hears why it may not come back, also when its time for waiting is over first.
mkfifo "$KX_TMP/lines"
exec 8<>"$KX_TMP/lines"
# shellcheck disable=SC2016 # for the shell inside
run_bg old_key in_ns host bash -c 'exec "$@" <"$0"' "$KX_TMP/lines" "$KX_CLI" -b 10.77.0.1 --timeout 5000 --principal desk \
  --key-file "$KX_TMP/desk.key" produce -t orders --producer-id 0
old_key=$BG_PID
wait_for "grep -q ', epoch 1' '$KX_TMP/old_key.log'" 10
broker_stop
ini "$KX_TMP/desk2.key" none
start
wait_bg "$old_key" 30
assert_eq 3 "$BG_RC" "exit code of the producer whose key is withdrawn"
grep -q 'cannot connect to 10.77.0.1: principal, MAC or ticket not accepted' "$KX_TMP/old_key.log" || fail "it does not say why"
exec 8>&-
as desk desk2 ping --count 1
refused 'principal' 3 as desk desk ping
broker_stop

# Refusals to a broker whose output nobody reads: it stops all the same.
mkfifo "$KX_TMP/unread"
exec 7<>"$KX_TMP/unread"
python3 -c 'import fcntl; fcntl.fcntl(7, 1031, 4096)' # F_SETPIPE_SZ
# shellcheck disable=SC2016 # for the shell inside
run_bg unread "$BASH" -c 'exec "$@" >&7' unread "$KX_BROKER" --no-huge --lcores '0@0,1@1' --vdev "net_af_packet0,iface=$VETH" \
  -- --config "$BROKER_INI" --log-file "$KX_TMP/eal.log"
wait_for "telemetry '$BROKER_PREFIX' /kaelix/info" 60
refused 'principal' 3 as desk desk ping
stop_bg "$BG_PID" TERM 20
assert_eq 0 "$BG_RC" "exit code of a broker whose output nobody reads"
exec 7>&-
