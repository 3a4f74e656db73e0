#!/usr/bin/env python3
"""Writes the seeds: one DNS message a file."""

import struct
from pathlib import Path

HERE = Path(__file__).parent
TYPES = {"a": 1, "ns": 2, "cname": 5, "soa": 6, "txt": 16, "aaaa": 28, "https": 65, "ixfr": 251, "axfr": 252, "any": 255, "caa": 257}


def name(text):
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def message(question, rtype, flags=0x0100, counts=(1, 0, 0, 0), qclass=1, rest=b""):
    return struct.pack("!6H", 4711, flags, *counts) + question + struct.pack("!2H", rtype, qclass) + rest


def opt(options=b"", payload=1232, version=0, do=0):
    return b"\0" + struct.pack("!HHBBHH", 41, payload, 0, version, do << 15, len(options)) + options


def option(code, data):
    return struct.pack("!2H", code, len(data)) + data


def subnet(family, source, scope, address):
    return option(8, struct.pack("!HBB", family, source, scope) + bytes(address))


EDGE = name("edge.test")
seeds = {f"type-{rtype}": message(EDGE, number) for rtype, number in TYPES.items()}
seeds |= {f"name-{label.replace('*', 'star')}": message(name(f"{label}.edge.test"), 1)
          for label in ("www", "loop", "x.wild", "x.sub", "none", "a.b.c.d.e.f", "*")}
seeds |= {f"edns-{label}": message(EDGE, 1, counts=(1, 0, 0, 1), rest=rest) for label, rest in {
    "plain": opt(), "do": opt(do=1), "version-1": opt(version=1), "payload-0": opt(payload=0),
    "subnet-24": opt(subnet(1, 24, 0, [192, 0, 2])), "subnet-0": opt(subnet(1, 0, 0, [])),
    "subnet-56": opt(subnet(2, 56, 0, [0x20, 1, 0xD, 0xB8, 0, 0, 1])), "subnet-family": opt(subnet(3, 8, 0, [1])),
    "subnet-long": opt(subnet(1, 33, 0, [1, 2, 3, 4, 128])), "subnet-bits": opt(subnet(1, 20, 0, [1, 2, 255])),
    "subnet-scope": opt(subnet(1, 24, 24, [1, 2, 3])), "cookie": opt(option(10, bytes(8))),
    "cookie-server": opt(option(10, bytes(24))), "cookie-short": opt(option(10, bytes(4))),
    "option-cut": opt(b"\0\x08\0\xff\0"), "unknown": opt(option(65001, b"x")),
}.items()}
seeds |= {
    "edns-two": message(EDGE, 1, counts=(1, 0, 0, 2), rest=opt() + opt()),
    "pointer-to-self": message(b"\xc0\x0c", 1),
    "pointer-loop": message(b"\x01a\xc0\x0c", 1),
    "pointer-ahead": message(b"\xc0\x20", 1),
    "label-63": message(b"\x3f" + b"x" * 63 + EDGE, 1),
    "label-64": message(b"\x40" + b"x" * 64 + EDGE, 1),
    "name-255": message((b"\x3f" + b"x" * 63) * 3 + b"\x35" + b"x" * 53 + EDGE[-9:], 1),
    "case": message(name("eDgE.TeSt"), 1),
    "root": message(b"\0", 2),
    "class-ch": message(name("version.bind"), 16, qclass=3),
    "response": message(EDGE, 1, flags=0x8000),
    "notify": message(EDGE, 6, flags=0x2400),
    "update": message(EDGE, 6, flags=0x2800),
    "no-question": struct.pack("!6H", 1, 0, 0, 0, 0, 0),
    "two-questions": message(EDGE, 1, counts=(2, 0, 0, 0), rest=EDGE + b"\0\1\0\1"),
    "counts-lie": message(EDGE, 1, counts=(1, 0xFFFF, 0xFFFF, 0xFFFF)),
    "long-txt": message(name("long.edge.test"), 16),
    "short": b"\0\1\0\0",
}

for seed, content in seeds.items():
    (HERE / seed).write_bytes(content)
