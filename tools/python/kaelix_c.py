# SPDX-License-Identifier: BSD-3-Clause
"""Private to kaelix.py: the C library's structures and functions, as ctypes needs them."""

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, Union, c_bool, c_char_p, c_int, c_int32, c_uint8, c_uint16, c_uint32,
                    c_uint64, c_void_p)

# ---- structures of the C library; tests/python_layout.py holds them against the headers

class _Ip(Union):
    _fields_ = [("ip", c_uint8 * 16), ("ip64", c_uint64 * 2)]


class kx_addr(Structure):
    _anonymous_ = ["u"]
    _fields_ = [("u", _Ip), ("port", c_uint16), ("zero", c_uint16 * 3)]

class kx_text(Structure):
    _fields_ = [("buf", c_void_p), ("size", ctypes.c_size_t), ("len", ctypes.c_size_t), ("truncated", c_bool)]

class kx_key(Structure):
    _fields_ = [("bytes", c_uint8 * 64), ("len", c_uint32)]

class kx_event(Structure):
    _fields_ = [("type", c_int), ("result", c_int), ("code", c_uint32), ("partition", c_uint32), ("count", c_uint32),
                ("zero", c_uint32), ("first", c_uint64), ("last", c_uint64), ("client", c_void_p),
                ("producer", c_void_p), ("consumer", c_void_p)]

EVENT_FN = CFUNCTYPE(None, c_void_p, POINTER(kx_event))

class kx_client_opts(Structure):
    _fields_ = [("broker", kx_addr), ("principal", c_char_p), ("key", c_void_p), ("key_bytes", c_uint32),
                ("protect", c_int), ("connect_timeout_ns", c_uint64), ("producer_id", c_uint64), ("no_reconnect", c_bool),
                ("channels_max", c_uint32), ("producers_max", c_uint32),
                ("consumers_max", c_uint32), ("subscriptions_max", c_uint32), ("requests_max", c_uint32),
                ("on_event", EVENT_FN), ("user", c_void_p)]

class kx_udp_client(Structure):
    _fields_ = [("transport", c_void_p), ("hub", c_void_p), ("client", c_void_p)]

class kx_client_info(Structure):
    _fields_ = [("boot_id", c_uint64), ("producer_id", c_uint64), ("producer_epoch", c_uint32),
                ("config_generation", c_uint32), ("base_port", c_uint16), ("lcore_count", c_uint16),
                ("first_lcore", c_uint16), ("datagram_bytes", c_uint16), ("idle_timeout_ms", c_uint32),
                ("heartbeat_ms", c_uint32), ("durability", c_uint8), ("connected", c_bool), ("datagram_most_bytes", c_uint16),
                ("taken_over", c_bool), ("refused", c_uint32), ("refused_code", c_uint32)]

class kx_topic_info(Structure):
    _fields_ = [("name", c_char_p), ("partition_count", c_uint32), ("durability", c_uint8), ("overrun", c_uint8)]

TOPICS_FN = CFUNCTYPE(None, c_void_p, c_int, POINTER(kx_topic_info), c_uint32, c_bool)

class kx_completion(Structure):
    _fields_ = [("producer", c_void_p), ("user", c_uint64), ("first_seq", c_uint64), ("next_offset", c_uint64),
                ("sent_ns", c_uint64), ("partition", c_uint32), ("count", c_uint32), ("code", c_uint32),
                ("result", c_int), ("level", c_uint8), ("offset_exact", c_bool)]

COMPLETE_FN = CFUNCTYPE(None, c_void_p, POINTER(kx_completion))

class kx_producer_opts(Structure):
    _fields_ = [("topic", c_char_p), ("linger_ns", c_uint64), ("batch_bytes", c_uint32), ("send_slots", c_uint32),
                ("slot_bytes", c_uint32), ("large_bytes", c_uint32), ("partitions_max", c_uint32), ("level", c_uint8),
                ("on_complete", COMPLETE_FN), ("user", c_void_p), ("polled", c_bool)]

class kx_header_view(Structure):
    _fields_ = [("name", c_void_p), ("value", c_void_p), ("name_bytes", c_uint16), ("value_bytes", c_uint16)]

class kx_message(Structure):
    _fields_ = [("value", c_void_p), ("value_bytes", c_uint32), ("partition", c_int32), ("key", c_void_p),
                ("key_bytes", c_uint16), ("header_count", c_uint8), ("zero", c_uint8), ("zero2", c_uint32),
                ("headers", POINTER(kx_header_view)), ("timestamp_ns", c_uint64), ("stream_key", c_uint64),
                ("user", c_uint64)]

class kx_consumer_opts(Structure):
    _fields_ = [("topic", c_char_p), ("partition", c_int32), ("start_offset", c_uint64), ("window_bytes", c_uint32),
                ("hold_frames", c_uint32), ("hold_bytes", c_uint32), ("large_bytes", c_uint32),
                ("partitions_max", c_uint32), ("polled", c_bool), ("manual_ack", c_bool), ("on_batch", c_void_p),
                ("user", c_void_p)]

class kx_record(Structure):
    _fields_ = [("value", c_void_p), ("key", c_void_p), ("headers", c_void_p), ("timestamp_ns", c_uint64),
                ("value_bytes", c_uint32), ("key_bytes", c_uint16), ("header_count", c_uint8)]

class kx_polled(Structure):
    _fields_ = [("record", kx_record), ("offset", c_uint64), ("stream_key", c_uint64), ("append_time_ns", c_uint64),
                ("partition", c_uint32)]

STRUCTURES = [kx_addr, kx_text, kx_key, kx_event, kx_client_opts, kx_udp_client, kx_client_info, kx_topic_info, kx_completion,
              kx_producer_opts, kx_header_view, kx_message, kx_consumer_opts, kx_record, kx_polled]

# ---- the library

_P = c_void_p
FUNCTIONS = {  # name: (result, arguments)
    "kx_result_name": (c_char_p, [c_int]), "kx_result_text": (c_char_p, [c_int]),
    "kx_event_name": (c_char_p, [c_int]), "kx_code_text": (c_char_p, [c_uint32]), "kx_strerror": (c_char_p, [c_int]),
    "kx_key_load": (c_int, [c_char_p, POINTER(kx_key), POINTER(kx_text)]), "kx_key_wipe": (None, [POINTER(kx_key)]),
    "kx_clock_mono_ns": (c_uint64, []), "kx_addr_parse": (c_int, [c_char_p, c_uint16, POINTER(kx_addr)]),
    "kx_client_connect_udp": (c_int, [POINTER(kx_client_opts), POINTER(kx_udp_client)]),
    "kx_udp_client_close": (None, [POINTER(kx_udp_client)]), "kx_hub_poll": (ctypes.c_uint, [_P, c_uint64]),
    "kx_hub_fd": (c_int, [_P, POINTER(c_int)]), "kx_hub_arm": (c_int, [_P, c_uint64]),
    "kx_hub_wait": (c_int, [_P, c_uint64, c_uint64]), "kx_hub_wake": (None, [_P]),
    "kx_client_connected": (c_bool, [_P]), "kx_client_info": (None, [_P, POINTER(kx_client_info)]),
    "kx_client_topics": (c_int, [_P, c_uint64, c_uint64, TOPICS_FN, _P]),
    "kx_producer_open": (c_int, [_P, POINTER(kx_producer_opts), c_uint64, POINTER(_P)]),
    "kx_producer_close": (c_int, [_P, c_uint64]), "kx_producer_send": (c_int, [_P, POINTER(kx_message), c_uint64]),
    "kx_producer_claim": (c_int, [_P, c_uint32, c_uint64, c_uint32, c_uint32, POINTER(_P), POINTER(c_uint32)]),
    "kx_producer_commit": (c_int, [_P, c_uint64, c_uint64]), "kx_producer_cancel": (None, [_P]),
    "kx_producer_fit": (c_uint32, [_P, c_uint32]), "kx_producer_flush": (None, [_P, c_uint64]),
    "kx_producer_poll": (c_uint32, [_P, POINTER(kx_completion), c_uint32]), "kx_producer_pending": (c_uint64, [_P]),
    "kx_producer_room": (c_uint32, [_P]), "kx_producer_confirmed": (c_uint64, [_P, c_uint32, c_uint8]),
    "kx_producer_partitions": (c_uint32, [_P]),
    "kx_consumer_open": (c_int, [_P, POINTER(kx_consumer_opts), c_uint64, POINTER(_P)]),
    "kx_consumer_close": (c_int, [_P, c_uint64]), "kx_consumer_poll": (c_int, [_P, c_uint64, POINTER(kx_polled)]),
    "kx_consumer_seek": (c_int, [_P, c_int32, c_uint64, c_uint64]), "kx_consumer_pause": (c_int, [_P, c_int32]),
    "kx_consumer_resume": (c_int, [_P, c_int32, c_uint64]),
    "kx_consumer_ack": (c_int, [_P, c_uint32, c_uint64, c_uint64]),
    "kx_consumer_position": (c_uint64, [_P, c_uint32]), "kx_consumer_end": (c_uint64, [_P, c_uint32]),
    "kx_consumer_partitions": (c_uint32, [_P]),
    "kx_record_header": (c_bool, [POINTER(kx_record), ctypes.c_uint, POINTER(kx_header_view)]),
}


def _load():
    path = os.environ.get("KAELIX_LIBRARY") or "libkaelix.so.0"
    try:
        lib = ctypes.CDLL(path)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(lib, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as e:
        raise ImportError(f"{path}: {e}; install libkaelix or set KAELIX_LIBRARY to its path") from e
    return lib


lib = _load()
