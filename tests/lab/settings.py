# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a lab lies and what it is called, from the environment."""

import hashlib
import os

HERE = os.path.dirname(os.path.realpath(__file__))
CACHE = "/var/cache/convene-lab"
LAB_DIR = os.path.realpath(os.environ.get("LAB_DIR", "/var/tmp/convene-lab"))
STORE = os.path.realpath(os.environ.get("LAB_STORE", LAB_DIR))
NAME = os.environ.get("LAB_CGROUP", "convene-lab-" + hashlib.sha256(LAB_DIR.encode()).hexdigest()[:8])
TIMEOUT = float(os.environ.get("LAB_TIMEOUT", "90"))
DISK_MB = int(os.environ.get("LAB_DISK_MB", "1024"))
