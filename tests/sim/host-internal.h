/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Host, inside: host.c has the driver and the machine, host-serve.c what is read back and checkpoints.
 */

#include "tests/sim/world.h"

/* Effects of the member; `userdata` is the host. */
void host_read_log(void *userdata, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max);
void host_open_snapshot(void *userdata, uint64_t request);
void host_read_snapshot(void *userdata, uint64_t request);
void host_close_snapshot(void *userdata, uint64_t request);

void host_drop_reads(Host *h);
void host_drop_slices(Host *h);
