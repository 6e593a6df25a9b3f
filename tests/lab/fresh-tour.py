#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""fresh-tour.py - tests/readme.py, with what is typed and what is printed"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import readme  # noqa: E402

finish = readme.finish
last = None


def told(process, block):
    """A block that is typed again and again, while a watch waits for it, is shown once."""
    global last
    out = finish(process, block)
    if block != last:
        print("".join("    $ %s\n" % line for line in block.splitlines()) +
              "".join("    %s\n" % line for line in out.splitlines()), end="", flush=True)
    last = block
    return out


readme.finish = told
readme.main()
