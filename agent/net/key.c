/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Key
 */

#include "agent/net/key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SSL_CTX, SSL_CTX_free)

struct NetKey {
        unsigned refs;
        EVP_PKEY *pkey;
        SSL_CTX *context;
        uint8_t pin[NET_PIN_BYTES];
};

static bool pin_of(X509_PUBKEY *key, uint8_t ret[static NET_PIN_BYTES]) {
        unsigned char *der = NULL;
        int size = i2d_X509_PUBKEY(key, &der);

        if (size <= 0)
                return false;

        SHA256(der, (size_t) size, ret);
        OPENSSL_free(der);
        return true;
}

/* It is valid for all time: wall clocks decide nothing between members. */
static X509 *self_signed(EVP_PKEY *pkey) {
        g_autoptr(X509) x = X509_new();
        X509_NAME *name;

        if (!x || !X509_set_version(x, X509_VERSION_3) || !ASN1_INTEGER_set(X509_get_serialNumber(x), 1) ||
            !ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "19700101000000Z") ||
            !ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") || !X509_set_pubkey(x, pkey))
                return NULL;

        name = X509_get_subject_name(x);
        if (!X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *) "convene member", -1, -1, 0) ||
            !X509_set_issuer_name(x, name) || !X509_sign(x, pkey, NULL))
                return NULL;

        return g_steal_pointer(&x);
}

/* In place of all of OpenSSL's looking at chains: there is no authority that could vouch for anybody.  That the other side holds
 * the key of its certificate is proved by the handshake itself. */
static int accept_any(X509_STORE_CTX *store, void *userdata) {
        return 1;
}

static SSL_CTX *make_context(EVP_PKEY *pkey, X509 *certificate) {
        g_autoptr(SSL_CTX) c = SSL_CTX_new(TLS_method());

        if (!c || !SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) || !SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) ||
            !SSL_CTX_use_certificate(c, certificate) || !SSL_CTX_use_PrivateKey(c, pkey) || !SSL_CTX_set_num_tickets(c, 0) ||
            !SSL_CTX_set_max_early_data(c, 0))
                return NULL;

        /* All of us have the same kind of key.  What others there are can cost milliseconds of the loop each, at a stranger's wish. */
        if (!SSL_CTX_set1_sigalgs_list(c, "ed25519") || !SSL_CTX_set1_groups_list(c, "X25519"))
                return NULL;

        /* Frames have lengths, so a connection cut short is as good as one closed. */
        SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                            SSL_OP_IGNORE_UNEXPECTED_EOF);
        SSL_CTX_set_read_ahead(c, 1);
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_cert_verify_callback(c, accept_any, NULL);
        /* A certificate like ours has some hundred bytes. */
        SSL_CTX_set_max_cert_list(c, 8192);
        return g_steal_pointer(&c);
}

/* Takes the pkey. */
static NetKey *from_pkey(EVP_PKEY *taken) {
        g_autoptr(EVP_PKEY) pkey = taken;
        g_autoptr(X509) certificate = self_signed(pkey);
        g_autoptr(SSL_CTX) context = certificate ? make_context(pkey, certificate) : NULL;
        NetKey *k;

        if (!context)
                return NULL;

        k = g_new0(NetKey, 1);
        k->refs = 1;
        if (!pin_of(X509_get_X509_PUBKEY(certificate), k->pin)) {
                g_free(k);
                return NULL;
        }
        k->pkey = g_steal_pointer(&pkey);
        k->context = g_steal_pointer(&context);
        return k;
}

NetKey *net_key_new(void) {
        EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

        return pkey ? from_pkey(pkey) : NULL;
}

int net_key_load(const char *path, NetKey **ret) {
        g_autoptr(EVP_PKEY) pkey = NULL;
        struct stat st;
        FILE *f;
        int fd;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 65536) {
                close(fd);
                return -EBADMSG;
        }
        if (st.st_mode & 077) {
                close(fd);
                return -EPERM;
        }

        f = fdopen(fd, "r");
        if (!f) {
                close(fd);
                return -ENOMEM;
        }
        pkey = PEM_read_PrivateKey(f, NULL, NULL, (void *) "");
        fclose(f);
        ERR_clear_error();
        if (!pkey || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519)
                return -EBADMSG;

        *ret = from_pkey(g_steal_pointer(&pkey));
        return *ret ? 0 : -EBADMSG;
}

static int sync_parent(const char *path) {
        g_autofree char *parent = g_path_get_dirname(path);
        int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        close(fd);
        return r;
}

static int write_key(const NetKey *k, const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), r = 0;
        FILE *f;

        if (fd < 0)
                return -errno;
        f = fdopen(fd, "w");
        if (!f) {
                close(fd);
                return -ENOMEM;
        }
        if (!PEM_write_PrivateKey(f, k->pkey, NULL, NULL, 0, NULL, NULL) || fflush(f) != 0 || fsync(fd) < 0)
                r = errno > 0 ? -errno : -EIO;
        if (fclose(f) != 0 && r == 0)
                r = -errno;
        return r;
}

int net_key_save(const NetKey *k, const char *path) {
        g_autofree char *beside = g_strconcat(path, ".new", NULL);
        int r;

        (void) unlink(beside);          /* of a start that was interrupted here */
        r = write_key(k, beside);
        if (r >= 0 && renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlink(beside);
                return r;
        }
        return sync_parent(path);
}

const uint8_t *net_key_pin(const NetKey *k) {
        return k->pin;
}

NetKey *net_key_ref(NetKey *k) {
        k->refs++;
        return k;
}

NetKey *net_key_unref(NetKey *k) {
        if (!k || --k->refs > 0)
                return NULL;

        SSL_CTX_free(k->context);
        EVP_PKEY_free(k->pkey);
        g_free(k);
        return NULL;
}

SSL_CTX *net_key_context(const NetKey *k) {
        return k->context;
}

bool net_peer_pin(SSL *ssl, uint8_t ret_pin[static NET_PIN_BYTES]) {
        X509 *x = SSL_get0_peer_certificate(ssl);

        return x && pin_of(X509_get_X509_PUBKEY(x), ret_pin);
}
