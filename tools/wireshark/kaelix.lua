-- SPDX-License-Identifier: BSD-3-Clause
-- Wireshark dissector of KXP, what Kaelix's clients and brokers say to each other (doc/protocol.md).
--
--   wireshark -X lua_script:tools/wireshark/kaelix.lua capture.pcap
--   tshark -X lua_script:tools/wireshark/kaelix.lua -r capture.pcap -Y 'kxp.type == "NAK"'
--
-- or copy it into the personal plugin folder. UDP ports 9000 to 9255 are taken for KXP (preference kxp.ports); on
-- other ports a heuristic takes what has a header with the right check value. The data CRCs of batches and fragments
-- are looked at when the preference kxp.data_crcs is on. The layouts below are those of lib/wire/kx_wire.h, by the
-- same names: structure s, field f is kxp.s.f; tests/wireshark.sh compares them.

local kxp = Proto("kxp", "Kaelix protocol")

-- ---- numbers and their names

local TYPES = {
  [0x01] = "HELLO", [0x02] = "COOKIE", [0x03] = "AUTH", [0x04] = "ACCEPT", [0x05] = "REFUSE", [0x06] = "RESET",
  [0x07] = "CLOSE", [0x08] = "PING", [0x09] = "PONG", [0x0a] = "HEARTBEAT", [0x10] = "METADATA_REQ",
  [0x11] = "METADATA", [0x12] = "TOPICS_REQ", [0x13] = "TOPICS", [0x14] = "SUBSCRIBE", [0x15] = "SUBSCRIBED",
  [0x16] = "UNSUBSCRIBE", [0x17] = "UNSUBSCRIBED", [0x18] = "NOTICE", [0x19] = "NOT_OWNER",
  [0x1a] = "PRODUCE_REFUSED", [0x20] = "PRODUCE", [0x21] = "DELIVER", [0x22] = "PRODUCE_FRAG",
  [0x23] = "DELIVER_FRAG", [0x28] = "RX_ACK", [0x29] = "COMMIT_ACK", [0x2a] = "NAK", [0x2b] = "CREDIT",
  [0x30] = "RESUME", [0x31] = "RESUMED", [0x34] = "PATH_CHALLENGE", [0x35] = "PATH_RESPONSE",
  [0x36] = "MTU_PROBE", [0x37] = "MTU_PROBED",
}

local ENUMS = {
  code = {
    [0] = "OK", "VERSION", "SESSIONS_FULL", "AUTH", "UNKNOWN_TOPIC", "UNKNOWN_PARTITION", "NOT_OWNER", "SUBS_FULL",
    "PRODUCERS_FULL", "TOO_LARGE", "FOREIGN_PRODUCER", "STOPPING", "OFFSET_OUT_OF_RANGE", "BAD_REQUEST", "FENCED",
    "DENIED", "IDLE", "SUB_UNKNOWN", "LOST", "UNKNOWN_FATE", "RESYNC", "BUSY", "UNPROTECTED", "PRINCIPAL_FULL",
  },
  method = {[0] = "NONE", "HMAC_SHA256", "TICKET"},
  protect = {[0] = "PLAIN", "MAC", "AEAD"},
  durability = {"MEMORY", "WRITTEN", "SYNCED", "REPLICATED"},
  blocked = {[0] = "NO", "LOG", "MEMORY", "QUOTA", "WAL", "DISK"},
  nak = {[0] = "PKTS", "OFFSETS", "BYTES"},
  notice = {"OFFSET_TRIMMED", "OFFSET_TRUNCATED", "CLOSED"},
  overrun = {[0] = "trim", "block"},
}

-- ---- layouts: `field:kind` in order, without gaps; u8, u16, u32, u64 integers, x64 in hexadecimal, bN bytes, sN text
-- padded with zeros, zN reserved; `=name` behind it is an enumeration above

local STRUCTS = {
  ext = "type:u8 words:u8 flags:u8 zero:z1 value:u32",
  hello = "client_nonce:b16 version_min:u8 version_max:u8 zero:z6 client_time:x64",
  cookie = "client_nonce:b16 cookie:b32 broker_nonce:b16 client_time:x64 boot_id:x64",
  auth = "client_nonce:b16 cookie:b32 broker_nonce:b16 method:u8=method principal_bytes:u8 datagram_bytes:u16 " ..
    "protect:u8=protect zero:z3 mac:b32 ticket:b80 principal:s64 producer_id:x64",
  accept = "client_nonce:b16 conn_id:x64 boot_id:x64 producer_id:x64 producer_epoch:u32 config_generation:u32 " ..
    "base_port:u16 lcore_count:u16 lcore_index:u16 datagram_bytes:u16 idle_timeout_ms:u32 heartbeat_ms:u32 " ..
    "limit_pkt:u64 limit_bytes:u64 durability:u8=durability protect:u8=protect zero:z6 ticket:b80 mac:b32 " ..
    "principal_id:u32 zero2:z4",
  refuse = "client_nonce:b16 code:u32=code request_id:u32 mac:b32",
  reset = "boot_id:x64 pkt_no:u64",
  close = "code:u32=code zero:z4",
  ping = "token:x64 client_time:x64",
  pong = "token:x64 client_time:x64 residence_ns:u32 lcore_index:u16 zero:z2",
  receipt = "next_pkt:u64 largest_pkt:u64 limit_pkt:u64 limit_bytes:u64 ack_delay_ns:u32 range_count:u8 " ..
    "blocked:u8=blocked entry_count:u16",
  ack_range = "start:u32 count:u32",
  commit_entry = "partition:u32 level:u8=durability zero:z3 log_epoch:u32 producer_epoch:u32 next_seq:u64 next_offset:u64",
  path_token = "token:b32",
  mtu = "size:u16 proven_bytes:u16 zero:z4",
  credit_entry = "sub_id:u32 zero:z4 next_offset:u64 limit_bytes:u64 done_offset:u64",
  heartbeat_entry = "sub_id:u32 log_epoch:u32 sent_offset:u64",
  nak = "entry_count:u32 zero:z4",
  nak_entry = "handle:u32 kind:u32=nak first:u64 last:u64",
  metadata_req = "request_id:u32 first_index:u16 topic_bytes:u8 zero:z1 topic:s64",
  metadata = "request_id:u32 code:u32=code partition_count:u16 first_index:u16 entry_count:u16 durability:u8=durability " ..
    "overrun:u8=overrun max_message_bytes:u32 config_generation:u32",
  metadata_entry = "partition:u32 owner_port:u16 index:u16 log_epoch:u32 zero:z4 first_offset:u64 committed_offset:u64 " ..
    "next_offset:u64",
  topics_req = "request_id:u32 first_index:u32",
  topics = "request_id:u32 topic_count:u32 first_index:u32 entry_count:u32",
  topics_entry = "partition_count:u16 durability:u8=durability overrun:u8=overrun zero:z3 name_bytes:u8 name:s64",
  subscribe = "request_id:u32 partition:u32 start_offset:u64 limit_bytes:u64 sub_id:u32 zero:z4",
  subscribed = "request_id:u32 code:u32=code sub_id:u32 partition:u32 log_epoch:u32 zero:z4 start_offset:u64 next_offset:u64",
  unsubscribe = "request_id:u32 sub_id:u32",
  notice = "code:u32=notice log_epoch:u32 offset:u64",
  not_owner = "pkt_no:u64 partition:u32 owner_port:u16 zero:z2",
  produce_refused = "pkt_no:u64 partition:u32 code:u32=code first_seq:u64 detail:u64",
  resume = "boot_id:x64 producer_id:x64 producer_epoch:u32 request_id:u32 entry_count:u32 zero:z4",
  resume_entry = "partition:u32 log_epoch:u32 next_seq:u64 next_offset:u64 level:u32=durability zero:z4",
  resumed = "request_id:u32 entry_count:u32",
  resumed_entry = "partition:u32 code:u32=code next_seq:u64 next_offset:u64",
  frag = "partition:u32 batch_bytes:u32 frag_offset:u32 frag_bytes:u32 first:u64 frag_crc:u32 part_bytes:u32",
  batch_hdr = "header_crc:u32 log_epoch:u32 base_offset:u64 append_time_ns:u64 data_crc:u32 batch_bytes:u32 format:u8 " ..
    "attrs:u8 record_count:u16 partition:u32 producer_id:x64 producer_epoch:u32 zero:z4 first_seq:u64 stream_key:x64",
  record_hdr = "value_bytes:u32 key_bytes:u16 flags:u8 header_count:u8",
  rec_headers = "total_bytes:u32 zero:z4",
}

-- What a frame's body is: a structure, then `entries` as many times as its field `count` says.
local BODIES = {
  HELLO = {"hello", padded = true},
  COOKIE = {"cookie"},
  AUTH = {"auth", padded = true},
  ACCEPT = {"accept"},
  REFUSE = {"refuse"},
  RESET = {"reset"},
  CLOSE = {"close"},
  PING = {"ping"},
  PONG = {"pong"},
  HEARTBEAT = {"receipt", entries = "heartbeat_entry", count = "entry_count"},
  METADATA_REQ = {"metadata_req"},
  METADATA = {"metadata", entries = "metadata_entry", count = "entry_count"},
  TOPICS_REQ = {"topics_req"},
  TOPICS = {"topics", entries = "topics_entry", count = "entry_count"},
  SUBSCRIBE = {"subscribe"},
  SUBSCRIBED = {"subscribed"},
  UNSUBSCRIBE = {"unsubscribe"},
  UNSUBSCRIBED = {"unsubscribe"},
  NOTICE = {"notice"},
  NOT_OWNER = {"not_owner"},
  PRODUCE_REFUSED = {"produce_refused"},
  PRODUCE = {batches = true},
  DELIVER = {batches = true},
  PRODUCE_FRAG = {"frag", part = true},
  DELIVER_FRAG = {"frag", part = true},
  RX_ACK = {"receipt", entries = "ack_range", count = "range_count"},
  COMMIT_ACK = {"receipt", entries = "commit_entry", count = "entry_count"},
  NAK = {"nak", entries = "nak_entry", count = "entry_count"},
  CREDIT = {"receipt", entries = "credit_entry", count = "entry_count"},
  RESUME = {"resume", entries = "resume_entry", count = "entry_count"},
  RESUMED = {"resumed", entries = "resumed_entry", count = "entry_count"},
  PATH_CHALLENGE = {"path_token"},
  PATH_RESPONSE = {"path_token"},
  MTU_PROBE = {"mtu", padded = true},
  MTU_PROBED = {"mtu", padded = true},
}

-- ---- fields

local F = {
  version = ProtoField.uint8("kxp.version", "Version"),
  type = ProtoField.uint8("kxp.type", "Type", base.HEX, TYPES),
  flags = ProtoField.uint8("kxp.flags", "Flags", base.HEX),
  mac = ProtoField.bool("kxp.flags.mac", "MAC", 8, nil, 0x01),
  aead = ProtoField.bool("kxp.flags.aead", "AEAD", 8, nil, 0x02),
  more = ProtoField.bool("kxp.flags.more", "More at once", 8, nil, 0x04),
  ext_words = ProtoField.uint8("kxp.ext_words", "Extension words"),
  check = ProtoField.uint32("kxp.check", "Check value", base.HEX),
  conn_id = ProtoField.uint64("kxp.conn_id", "Connection id", base.HEX),
  pkt_no = ProtoField.uint64("kxp.pkt_no", "Packet number"),
  floor_delta = ProtoField.uint32("kxp.floor_delta", "Floor delta"),
  floor = ProtoField.uint64("kxp.floor", "Floor"),
  handle = ProtoField.uint32("kxp.handle", "Handle"),
  bytes = ProtoField.uint32("kxp.bytes", "Frame bytes"),
  body_bytes = ProtoField.uint32("kxp.body_bytes", "Body bytes"),
  batches = ProtoField.uint32("kxp.batches", "Batches"),
  records = ProtoField.uint32("kxp.records", "Records"),
  ext_words_data = ProtoField.bytes("kxp.ext_data", "Further words"),
  padding = ProtoField.bytes("kxp.padding", "Padding"),
  part = ProtoField.bytes("kxp.part", "Part of the batch"),
  timestamp = ProtoField.uint64("kxp.record.timestamp_ns", "Timestamp"),
  key = ProtoField.bytes("kxp.record.key", "Key"),
  value = ProtoField.bytes("kxp.record.value", "Value"),
  header_name = ProtoField.string("kxp.record.header.name", "Name"),
  header_value = ProtoField.bytes("kxp.record.header.value", "Value"),
  encrypted = ProtoField.bytes("kxp.encrypted", "Encrypted body"),
  tag = ProtoField.bytes("kxp.tag", "Tag"),
}

local E = {
  check = ProtoExpert.new("kxp.bad_check", "The check value is wrong", expert.group.CHECKSUM, expert.severity.ERROR),
  crc = ProtoExpert.new("kxp.bad_crc", "A CRC is wrong", expert.group.CHECKSUM, expert.severity.ERROR),
  short = ProtoExpert.new("kxp.short", "Shorter than its counts say", expert.group.MALFORMED, expert.severity.ERROR),
  long = ProtoExpert.new("kxp.long", "Bytes behind the frame's end", expert.group.MALFORMED, expert.severity.ERROR),
  reserved = ProtoExpert.new("kxp.reserved", "A reserved field is not 0", expert.group.PROTOCOL, expert.severity.WARN),
  type = ProtoExpert.new("kxp.bad_type", "Unknown frame type", expert.group.PROTOCOL, expert.severity.ERROR),
}

local INT_FIELDS = {u8 = ProtoField.uint8, u16 = ProtoField.uint16, u32 = ProtoField.uint32, u64 = ProtoField.uint64}
local INT_BYTES = {u8 = 1, u16 = 2, u32 = 4, u64 = 8, x64 = 8}

-- "f:kind=enum" -> {name, kind, bytes, field}; a structure's table also has its size and fields by name.
local function compile(struct, text)
  local out = {bytes = 0}
  for name, kind, enum in text:gmatch("([%w_]+):(%w+)=?(%w*)") do
    local abbreviation = "kxp." .. struct .. "." .. name
    local letter, field = kind:sub(1, 1), nil
    local bytes = INT_BYTES[kind] or tonumber(kind:sub(2))
    if kind == "x64" then
      field = ProtoField.uint64(abbreviation, name, base.HEX)
    elseif letter == "u" then
      local values = enum ~= "" and ENUMS[enum] or nil
      field = INT_FIELDS[kind](abbreviation, name, base.DEC, values)
    elseif letter == "s" then
      field = ProtoField.stringz(abbreviation, name)
    else
      field = ProtoField.bytes(abbreviation, name)
    end
    local entry = {name = name, kind = letter, int = INT_BYTES[kind] ~= nil, at = out.bytes, bytes = bytes, field = field,
      enum = enum ~= "" and ENUMS[enum] or nil}
    out[#out + 1] = entry
    out[name] = entry
    out.bytes = out.bytes + bytes
    F[abbreviation] = field
  end
  return out
end

for name, text in pairs(STRUCTS) do
  STRUCTS[name] = compile(name, text)
end

local all_fields, all_experts = {}, {}
for _, field in pairs(F) do
  all_fields[#all_fields + 1] = field
end
for _, expert_field in pairs(E) do
  all_experts[#all_experts + 1] = expert_field
end
kxp.fields = all_fields
kxp.experts = all_experts

kxp.prefs.ports = Pref.range("UDP ports", "9000-9255", "Ports of data lcores: base_port and those that follow", 65535)
kxp.prefs.data_crcs = Pref.bool("Check data CRCs", false, "Compute the CRCs of batches and fragments too")

-- ---- CRC32C

local bits = bit32 or bit
local band, bxor, rshift = bits.band, bits.bxor, bits.rshift
local crc_table = {}
for n = 0, 255 do
  local c = n
  for _ = 1, 8 do
    c = band(c, 1) == 1 and bxor(rshift(c, 1), 0x82F63B78) or rshift(c, 1)
  end
  crc_table[n] = c
end

local function crc_update(crc, text)
  for i = 1, #text do
    crc = bxor(crc_table[band(bxor(crc, text:byte(i)), 0xFF)], rshift(crc, 8))
  end
  return crc
end

local function crc_end(crc)
  return bxor(crc, 0xFFFFFFFF) % 0x100000000
end

local function crc32c(text)
  return crc_end(crc_update(0xFFFFFFFF, text))
end

local function le32(n)
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, math.floor(n / 16777216) % 256)
end

-- Header (with the length where the check value stands) and as much as the type says. `head`: header and extensions.
local function check_value(tvb, head, name)
  local covered = tvb:len()
  if name == "PRODUCE" or name == "DELIVER" then
    covered = head
  elseif name == "PRODUCE_FRAG" or name == "DELIVER_FRAG" then
    covered = math.min(head + STRUCTS.frag.bytes, covered)
  end
  local crc = crc_update(0xFFFFFFFF, tvb:raw(0, 4))
  crc = crc_update(crc, le32(tvb:len()))
  return crc_end(crc_update(crc, tvb:raw(8, covered - 8)))
end

-- ---- bodies

-- Adds a structure and returns its subtree, or nil when it does not fit.
local function add_struct(name, tvb, at, tree, title)
  local struct = STRUCTS[name]
  if tvb:len() - at < struct.bytes then
    tree:add_proto_expert_info(E.short)
    return nil
  end
  local sub = tree:add(kxp, tvb(at, struct.bytes), title or name)
  for _, f in ipairs(struct) do
    local range = tvb(at + f.at, f.bytes)
    local item = f.int and sub:add_le(f.field, range) or sub:add(f.field, range)
    if f.kind == "z" and range:bytes():tohex():find("[^0]") then
      item:add_proto_expert_info(E.reserved)
    end
  end
  return sub
end

local function get(name, field, tvb, at)
  local f = STRUCTS[name][field]
  return tvb(at + f.at, f.bytes):le_uint()
end

local function get64(name, field, tvb, at)
  local f = STRUCTS[name][field]
  return tostring(tvb(at + f.at, f.bytes):le_uint64())
end

local function align8(n)
  return math.floor((n + 7) / 8) * 8
end

-- One record; returns where the next begins, or nil.
local function add_record(tvb, at, limit, tree, number)
  if limit - at < 8 then
    return nil
  end
  local value_bytes = get("record_hdr", "value_bytes", tvb, at)
  local key_bytes = get("record_hdr", "key_bytes", tvb, at)
  local flags = get("record_hdr", "flags", tvb, at)
  local header_count = get("record_hdr", "header_count", tvb, at)
  local p = at + 8 + (band(flags, 2) ~= 0 and 8 or 0)
  local key_at = p
  p = p + (band(flags, 1) ~= 0 and align8(key_bytes) or 0)
  local headers_at, headers_bytes = p, 0
  if band(flags, 4) ~= 0 then
    if limit - p < 8 then
      return nil
    end
    headers_bytes = get("rec_headers", "total_bytes", tvb, p)
    p = p + align8(headers_bytes)
  end
  if p + align8(value_bytes) > limit then
    return nil
  end
  local sub = tree:add(kxp, tvb(at, p + align8(value_bytes) - at), string.format("record %d, %d bytes", number, value_bytes))
  add_struct("record_hdr", tvb, at, sub)
  if band(flags, 2) ~= 0 then
    sub:add_le(F.timestamp, tvb(at + 8, 8))
  end
  if band(flags, 1) ~= 0 and key_bytes > 0 then
    sub:add(F.key, tvb(key_at, key_bytes))
  end
  if headers_bytes >= 8 then
    add_struct("rec_headers", tvb, headers_at, sub)
    local h, stop = headers_at + 8, headers_at + headers_bytes
    for _ = 1, header_count do
      if stop - h < 4 then
        return nil
      end
      local name_bytes, bytes = tvb(h, 2):le_uint(), tvb(h + 2, 2):le_uint()
      if h + 4 + name_bytes + bytes > stop then
        return nil
      end
      local item = sub:add(kxp, tvb(h, 4 + name_bytes + bytes), "header")
      item:add(F.header_name, tvb(h + 4, name_bytes))
      if bytes > 0 then
        item:add(F.header_value, tvb(h + 4 + name_bytes, bytes))
      end
      h = h + 4 + name_bytes + bytes
    end
  end
  if value_bytes > 0 then
    sub:add(F.value, tvb(p, value_bytes))
  end
  return p + align8(value_bytes)
end

-- One batch; returns where the next begins and its record count, or nil.
local function add_batch(tvb, at, tree, stamped)
  local rest = tvb:len() - at
  local sub = add_struct("batch_hdr", tvb, at, tree, "batch")
  if sub == nil then
    return nil
  end
  local bytes = get("batch_hdr", "batch_bytes", tvb, at)
  local count = get("batch_hdr", "record_count", tvb, at)
  sub:append_text(string.format(", partition %d, %d records from %s %s", get("batch_hdr", "partition", tvb, at), count,
    stamped and "offset" or "sequence", get64("batch_hdr", stamped and "base_offset" or "first_seq", tvb, at)))
  if bytes < STRUCTS.batch_hdr.bytes or bytes > rest then
    sub:add_proto_expert_info(E.short)
    return nil
  end
  sub:set_len(bytes)
  if kxp.prefs.data_crcs then
    local good = crc32c(tvb:raw(at + 28, bytes - 28)) == get("batch_hdr", "data_crc", tvb, at)
    if stamped then
      good = good and crc32c(tvb:raw(at + 4, 28)) == get("batch_hdr", "header_crc", tvb, at)
    end
    if not good then
      sub:add_proto_expert_info(E.crc)
    end
  end
  local p = at + STRUCTS.batch_hdr.bytes
  for number = 1, count do
    p = add_record(tvb, p, at + bytes, sub, number)
    if p == nil then
      sub:add_proto_expert_info(E.short)
      return at + bytes, count
    end
  end
  return at + bytes, count
end

local function add_batches(tvb, at, tree, stamped)
  local batches, records = 0, 0
  while at ~= nil and at < tvb:len() do
    local next_at, count = add_batch(tvb, at, tree, stamped)
    if next_at == nil then
      break
    end
    batches, records, at = batches + 1, records + count, next_at
  end
  tree:add(F.batches, batches):set_generated()
  tree:add(F.records, records):set_generated()
  return string.format("%d records in %d batches", records, batches)
end

local function add_part(tvb, at, tree)
  if add_struct("frag", tvb, at, tree) == nil then
    return ""
  end
  local part_at = at + STRUCTS.frag.bytes
  local bytes = math.min(get("frag", "frag_bytes", tvb, at), tvb:len() - part_at)
  if bytes > 0 then
    local item = tree:add(F.part, tvb(part_at, bytes))
    if kxp.prefs.data_crcs and crc32c(tvb:raw(part_at, bytes)) ~= get("frag", "frag_crc", tvb, at) then
      item:add_proto_expert_info(E.crc)
    end
  end
  return string.format("partition %d, bytes %d..%d of %d", get("frag", "partition", tvb, at), get("frag", "frag_offset",
    tvb, at), get("frag", "frag_offset", tvb, at) + bytes - 1, get("frag", "batch_bytes", tvb, at))
end

-- What of a body is worth a place in the summary.
local function summary(name, tvb, at)
  local out = {}
  for _, f in ipairs(STRUCTS[name]) do
    if f.enum and f.enum ~= ENUMS.durability and f.enum ~= ENUMS.overrun then
      local value = tvb(at + f.at, f.bytes):le_uint()
      if f.name ~= "blocked" or value ~= 0 then
        out[#out + 1] = (f.name == "code" and "" or f.name .. " ") .. (f.enum[value] or value)
      end
    end
  end
  if name == "receipt" then
    out[#out + 1] = "next_pkt " .. get64(name, "next_pkt", tvb, at)
  end
  return table.concat(out, ", ")
end

local function add_body(name, tvb, at, tree)
  local body = BODIES[name]
  if body.batches then
    return add_batches(tvb, at, tree, name == "DELIVER")
  end
  if body.part then
    return add_part(tvb, at, tree)
  end
  local struct = body[1]
  if add_struct(struct, tvb, at, tree) == nil then
    return ""
  end
  local p = at + STRUCTS[struct].bytes
  if body.entries then
    for i = 1, get(struct, body.count, tvb, at) do
      if add_struct(body.entries, tvb, p, tree, body.entries .. " " .. i) == nil then
        break
      end
      p = p + STRUCTS[body.entries].bytes
    end
  end
  if p < tvb:len() then
    local item = tree:add(F.padding, tvb(p))
    if not body.padded then
      item:add_proto_expert_info(E.long)
    elseif tvb(p):bytes():tohex():find("[^0]") then
      item:add_proto_expert_info(E.reserved)
    end
  end
  return summary(struct, tvb, at)
end

-- ---- frame

local HEADER_BYTES, TAG_BYTES = 32, 16

local function add_header(tvb, tree)
  tree:add(F.version, tvb(0, 1))
  local type_item = tree:add(F.type, tvb(1, 1))
  local flags = tree:add(F.flags, tvb(2, 1))
  flags:add(F.mac, tvb(2, 1))
  flags:add(F.aead, tvb(2, 1))
  flags:add(F.more, tvb(2, 1))
  tree:add(F.ext_words, tvb(3, 1))
  local check = tree:add_le(F.check, tvb(4, 4))
  tree:add_le(F.conn_id, tvb(8, 8))
  tree:add_le(F.pkt_no, tvb(16, 8))
  tree:add_le(F.floor_delta, tvb(24, 4))
  tree:add(F.floor, tvb(24, 4), tvb(16, 8):le_uint64() - UInt64(tvb(24, 4):le_uint())):set_generated()
  tree:add_le(F.handle, tvb(28, 4))
  return type_item, check
end

local function add_extensions(tvb, stop, tree)
  local p = HEADER_BYTES
  while p < stop do
    local bytes = tvb(p + 1, 1):uint() * 8
    if bytes == 0 or p + bytes > stop then
      tree:add_proto_expert_info(E.short)
      return
    end
    local item = add_struct("ext", tvb, p, tree, "extension")
    if bytes > 8 then
      item:add(F.ext_words_data, tvb(p + 8, bytes - 8))
    end
    p = p + bytes
  end
end

function kxp.dissector(tvb, pinfo, root)
  if tvb:len() < HEADER_BYTES or tvb(0, 1):uint() ~= 1 then
    return 0
  end
  local name = TYPES[tvb(1, 1):uint()]
  local flags = tvb(2, 1):uint()
  local head = HEADER_BYTES + 8 * tvb(3, 1):uint()
  local tree = root:add(kxp, tvb(), "Kaelix protocol, " .. (name or "unknown type"))
  pinfo.cols.protocol = "KXP"
  pinfo.cols.info = name or string.format("type 0x%02x", tvb(1, 1):uint())
  local type_item, check = add_header(tvb, tree)
  tree:add(F.bytes, tvb:len()):set_generated()
  if name == nil then
    type_item:add_proto_expert_info(E.type)
    return tvb:len()
  end
  if head > tvb:len() then
    tree:add_proto_expert_info(E.short)
    return tvb:len()
  end
  add_extensions(tvb, head, tree)
  local inner = tvb
  if band(flags, 3) ~= 0 then
    if tvb:len() < head + TAG_BYTES then
      tree:add_proto_expert_info(E.short)
      return tvb:len()
    end
    tree:add(F.tag, tvb(tvb:len() - TAG_BYTES, TAG_BYTES))
    inner = tvb(0, tvb:len() - TAG_BYTES):tvb()
  elseif check_value(tvb, head, name) ~= tvb(4, 4):le_uint() then
    check:add_proto_expert_info(E.check)
  end
  tree:add(F.body_bytes, inner:len() - head):set_generated()
  local text
  if band(flags, 2) ~= 0 then
    if inner:len() > head then
      tree:add(F.encrypted, tvb(head, inner:len() - head))
    end
    text = string.format("encrypted, %d bytes", inner:len() - head)
  else
    text = add_body(name, inner, head, tree)
  end
  if tvb(16, 8):le_uint64() ~= UInt64(0) then
    pinfo.cols.info:append(" #" .. tostring(tvb(16, 8):le_uint64()))
  end
  if text ~= "" then
    pinfo.cols.info:append(" " .. text)
  end
  return tvb:len()
end

-- ---- where it is looked for

-- A plain frame shows by its check value; a protected one has none and has to look right in every bit there is.
local function heuristic(tvb, pinfo, root)
  if tvb:len() < HEADER_BYTES + 8 or tvb(0, 1):uint() ~= 1 then
    return false
  end
  local name, flags = TYPES[tvb(1, 1):uint()], tvb(2, 1):uint()
  local head = HEADER_BYTES + 8 * tvb(3, 1):uint()
  if name == nil or flags > 6 or head > tvb:len() then
    return false
  end
  if band(flags, 3) ~= 0 then
    if band(flags, 3) == 3 or tvb:len() < head + 8 + TAG_BYTES or tvb(4, 4):le_uint() ~= 0 or
      tvb(8, 8):le_uint64() == UInt64(0) or tvb(16, 8):le_uint64() == UInt64(0) then
      return false
    end
  elseif check_value(tvb, head, name) ~= tvb(4, 4):le_uint() then
    return false
  end
  kxp.dissector(tvb, pinfo, root)
  return true
end

local udp_ports = DissectorTable.get("udp.port")
local ports = kxp.prefs.ports
udp_ports:add(ports, kxp)
kxp:register_heuristic("udp", heuristic)

function kxp.prefs_changed()
  if ports ~= kxp.prefs.ports then
    udp_ports:remove(ports, kxp)
    ports = kxp.prefs.ports
    udp_ports:add(ports, kxp)
  end
end
