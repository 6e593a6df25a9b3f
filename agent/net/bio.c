/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * BIO
 */

#include "agent/net/bio.h"

#include <errno.h>
#include <sys/socket.h>

#include <glib.h>

static bool again(void) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == EINPROGRESS || errno == ENOTCONN;
}

static int bio_write(BIO *bio, const char *data, int size) {
        NetBio *s = BIO_get_data(bio);
        ssize_t n;

        BIO_clear_retry_flags(bio);
        n = send(s->fd, data, (size_t) size, MSG_NOSIGNAL);
        if (n < 0 && again())
                BIO_set_retry_write(bio);
        return (int) n;
}

static int bio_read(BIO *bio, char *ret_data, int size) {
        NetBio *s = BIO_get_data(bio);
        ssize_t n;

        BIO_clear_retry_flags(bio);
        if (s->limited && s->left == 0) {
                errno = EMSGSIZE;
                return -1;
        }

        n = recv(s->fd, ret_data, s->limited ? MIN((size_t) size, s->left) : (size_t) size, 0);
        if (n < 0 && again())
                BIO_set_retry_read(bio);
        else if (n > 0 && s->limited)
                s->left -= (size_t) n;
        if (n == 0)
                BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        return (int) n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
        switch (command) {
        case BIO_CTRL_FLUSH:            /* nothing is kept here */
                return 1;
        case BIO_CTRL_EOF:
                return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
        default:
                return 0;
        }
}

static BIO_METHOD *method(void) {
        static gsize once = 0;

        if (g_once_init_enter(&once)) {
                BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "member socket");

                if (!m || !BIO_meth_set_write(m, bio_write) || !BIO_meth_set_read(m, bio_read) ||
                    !BIO_meth_set_ctrl(m, bio_ctrl))
                        g_error("OpenSSL refuses a BIO method");
                g_once_init_leave(&once, (gsize) m);
        }
        return (BIO_METHOD *) once;
}

BIO *net_bio_new(NetBio *state) {
        BIO *bio = BIO_new(method());

        if (!bio)
                return NULL;

        BIO_set_data(bio, state);
        BIO_set_init(bio, 1);
        return bio;
}
