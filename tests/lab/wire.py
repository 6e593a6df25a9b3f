# SPDX-License-Identifier: LGPL-2.1-or-later
"""A wire in user space that holds frames back, for kernels without netem.

    wire.py HOST MILLISECONDS JITTER

It runs inside the switch's network namespace, between the port wHOST and the tap HOST.
"""

import errno
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import sys
import time


def wire(h, ms, jitter):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", h.encode(), 0x0002 | 0x1000))
    os.set_blocking(tap, False)
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.bind(("w" + h, 0))
    raw.setblocking(False)
    queue, seq, last = [], 0, [0.0, 0.0]
    delay, jit = ms / 1e3, jitter / 1e3
    poll = select.poll()
    poll.register(tap, select.POLLIN)
    poll.register(raw, select.POLLIN)
    while True:
        wait = None if not queue else max(0.0, (queue[0][0] - time.monotonic()) * 1e3)
        if wait is not None and wait < 1:   # poll's unit is coarse: sleep out the rest
            time.sleep(wait / 1e3)
            wait = 0
        for fd, ev in poll.poll(wait):
            try:
                while True:
                    if fd == tap:
                        frame, way = os.read(tap, 65536), 0
                    else:
                        frame, addr = raw.recvfrom(65536)
                        way = 1
                        if addr[2] == socket.PACKET_OUTGOING:
                            continue
                    # Jitter does not reorder: a frame never overtakes the one before it.
                    t = max(time.monotonic() + delay + random.uniform(0, jit), last[way])
                    last[way] = t
                    heapq.heappush(queue, (t, seq, way, frame))
                    seq += 1
            except BlockingIOError:
                pass
            except OSError as e:
                if e.errno not in (errno.ENETDOWN, errno.EIO):
                    raise
                time.sleep(0.01)
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, way, frame = heapq.heappop(queue)
            try:
                raw.send(frame) if way == 0 else os.write(tap, frame)
            except OSError as e:
                if e.errno not in (errno.ENETDOWN, errno.ENOBUFS, errno.EIO, errno.EAGAIN,
                                   errno.EMSGSIZE):
                    raise


if __name__ == "__main__":
    wire(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
