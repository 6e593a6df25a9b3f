#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A seed is a run: the same seeds in processes with other addresses and other garbage in their memory, and in another
number of processes, leave the same traces."""

import os
import subprocess
import sys


def hashes(sim, profile, perturb, jobs, seeds):
    env = dict(os.environ, MALLOC_PERTURB_=str(perturb))
    out = subprocess.run([sim, '--hash', '--profile', profile, '--seeds', str(seeds), '--jobs', str(jobs)], env=env,
                         check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = sorted(line for line in out.splitlines() if line[:1].isdigit())
    if len(lines) != seeds:
        sys.exit(f'{len(lines)} traces of {seeds} seeds')
    return lines


def main():
    sim, seeds = sys.argv[1], int(sys.argv[2])
    for profile in 'fast', 'slow-disk', 'recipes':
        first = hashes(sim, profile, 0, 1, seeds)
        for perturb, jobs in (85, 1), (170, 3):
            again = hashes(sim, profile, perturb, jobs, seeds)
            for a, b in zip(first, again):
                if a != b:
                    sys.exit(f'{profile}: seed and trace {a} became {b} with MALLOC_PERTURB_={perturb}')
        print(f'{profile}: {seeds} seeds, three runs each, the same traces')


if __name__ == '__main__':
    main()
