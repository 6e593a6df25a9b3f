/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Fd store
 *
 * Descriptors that outlive the agent in systemd's keeping (FDSTORE=1, FDNAME=, FDSTOREREMOVE=1): the agent's ends of
 * descriptor-bound sessions.  Names are "convene-<session, 16 hex digits>", and "-<milliseconds>" if the descriptor must not stay
 * open for longer than that from a start on until the session is found again.
 *
 * systemd keeps them over `systemctl restart` and over a crash followed by Restart=, not over `systemctl stop`; it drops by itself
 * what hangs up because the other end was closed.
 */

#include <stdint.h>

typedef struct FdStore FdStore;

/* Takes over the stored descriptors handed to this process (sd_listen_fds_with_names); listening sockets are left
 * for the caller.  Without $NOTIFY_SOCKET everything works, and nothing survives a restart. */
FdStore *fd_store_new(void);
FdStore *fd_store_free(FdStore *s);

/* Keeps a copy with systemd.  `grace_msec` 0: it may stay open.  Returns 0 or -errno. */
int fd_store_push(FdStore *s, uint64_t session, uint32_t grace_msec, int fd);
void fd_store_remove(FdStore *s, uint64_t session);

/* The descriptor inherited for a session, now the caller's; -ENOENT if there is none. */
int fd_store_take(FdStore *s, uint64_t session);
/* Of each that nobody took yet; `each` must not take any. */
void fd_store_foreach(const FdStore *s, void (*each)(void *userdata, uint64_t session, uint32_t grace_msec), void *userdata);
/* What nobody took: closed and removed from systemd's store. */
void fd_store_drop_rest(FdStore *s);

/* Listening sockets by FileDescriptorName; -ENOENT. */
int fd_store_take_socket(FdStore *s, const char *name);
