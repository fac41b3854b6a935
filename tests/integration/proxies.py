# SPDX-License-Identifier: MIT
"""Headers of the PROXY protocol, as proxies send them."""

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE, DESTINATION = ("192.0.2.7", 51234), ("192.0.2.1", 7)
SOURCE6, DESTINATION6 = ("2001:db8::7", 51234), ("2001:db8::1", 7)
CRC32C = 0x82F63B78


def crc32c(data):
    """The checksum of RFC 3720 B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CRC32C if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def text(source=SOURCE, destination=DESTINATION):
    """A header of version 1."""
    family = 6 if ":" in source[0] else 4
    return (f"PROXY TCP{family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n"
            .encode())


def block(command, family, data):
    """A header of version 2 with anything in it."""
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(data)) + data


def binary(source=SOURCE, destination=DESTINATION, tlvs=b""):
    """A header of version 2."""
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    data = b"".join(socket.inet_pton(family, host) for host, _ in (source, destination))
    data += struct.pack(">HH", source[1], destination[1])
    return block(1, 0x21 if family == socket.AF_INET6 else 0x11, data + tlvs)


def checked(source=SOURCE, destination=DESTINATION, wrong=0):
    """A header of version 2 with a checksum, in which these bits are wrong."""
    header = binary(source, destination, b"\x03\0\4" + bytes(4))
    return header[:-4] + struct.pack(">I", crc32c(header) ^ wrong)


LOCAL = block(0, 0, b"")
UNKNOWN = b"PROXY UNKNOWN\r\n"
UNIX = block(1, 0x31, b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0"))
