/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Key
 *
 * A member's own key pair (Ed25519) and what others know it by: its pin, the SHA-256 of the public key as a
 * SubjectPublicKeyInfo in DER.  TLS wants a certificate; it gets one signed by the key itself, which nobody looks at but for
 * the public key in it.
 *
 * Source: reliability 5.2.
 */

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#define NET_PIN_BYTES 32

typedef struct NetKey NetKey;

/* Makes a new key; NULL if the system has no randomness. */
NetKey *net_key_new(void);

/* Reads the key from a PEM file.  -ENOENT if there is none, -EPERM if others may read the file, -EBADMSG if it holds no Ed25519
 * key, -errno. */
int net_key_load(const char *path, NetKey **ret);

/* Writes it to a new file with mode 0600, durable on return, and never half of it: it is made under the name with ".new" behind
 * it.  -EEXIST if the file is there already, -errno. */
int net_key_save(const NetKey *k, const char *path);

const uint8_t *net_key_pin(const NetKey *k);    /* NET_PIN_BYTES */

NetKey *net_key_ref(NetKey *k);
NetKey *net_key_unref(NetKey *k);               /* NULL allowed, returns NULL */

/* The TLS set-up that goes with it: TLS 1.3 alone, a certificate demanded from both sides, no tickets, no early data.
 * Which keys are welcome is decided after the handshake, by pin. */
SSL_CTX *net_key_context(const NetKey *k);

/* The pin of the other side after a handshake; false if it showed no certificate. */
bool net_peer_pin(SSL *ssl, uint8_t ret_pin[static NET_PIN_BYTES]);
