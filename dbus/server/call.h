/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Call
 *
 * A method call that the member has and has not answered yet.  Most reads are answered before call_submit() returns; then nothing of the
 * caller's message is copied.  What must wait keeps of the message only what an answer needs.
 */

#include "dbus/server/caller.h"
#include "dbus/server/options.h"

typedef struct Call Call;

/* Appends the answer's arguments; negative errno: it does not fit into a message. */
typedef int (*CallEncode)(sd_bus_message *reply, const Result *result);

/* Instead of an encoder, for calls whose answer is more than its encoding.  Inside an outward call of the member. */
typedef void (*CallDone)(Call *call, const Result *result);

struct Call {
        Call *next, *previous;          /* in its caller's list, or in Server.detached */
        Server *server;
        Caller *caller;                 /* NULL: gone, or the agent's own */
        Account *account;               /* charged; NULL: the agent's own */
        sd_bus_message *message;        /* NULL: nobody to answer */
        CallEncode encode;
        CallDone done;
        uint64_t bytes;                 /* charged */
        RequestOp op;
        char *path;                     /* of a call that waits: for error texts and watches */
        const char *path_now;           /* of one that does not: in the message */
        uint64_t watch;
        bool ephemeral;                 /* counted in the account as pending */
        bool changes_acls;              /* counted in the caller */
        bool detached;
        Call *main;                     /* one of the `parents` of this create */
        ConveneStatus parent_status;    /* why a parent of this create could not be made */
        void *plan;                     /* more, freed with plan_free */
        void (*plan_free)(void *plan);
};

/* The result of a method that answered, and of one that did not understand: see Method. */
#define METHOD_DONE 1

/* Who asks: fills in session or caller from the options.  1: go on; otherwise what the method returns. */
int call_identify(Caller *c, sd_bus_message *m, const Options *o, Request *r);

/* Validates, charges, submits.  Returns METHOD_DONE: every problem is an answer. */
int call_submit(Caller *c, sd_bus_message *m, const Request *r, const Options *o, CallEncode encode, CallDone done);

/* The steps of call_submit() for whoever needs more: NULL if the call was answered with an error instead. */
Call *call_new(Caller *c, sd_bus_message *m, const Request *r, CallEncode encode, CallDone done);
void call_start(Call *call, const Request *r, unsigned flags);

/* A call that must be heard to its end even if its caller leaves (`c` NULL: the agent's own); goes through the server's own client. */
Call *call_new_detached(Server *s, Caller *c, sd_bus_message *m, const Request *r, CallDone done);
void call_start_detached(Call *call, const Request *r);
/* So many bytes more are charged to who called.  False: that is more than it may, and it has been told. */
bool call_charge(Call *call, uint64_t bytes);
void call_start_change(Call *call, const MemberChange *change, Zxid base);
/* `done` hears of it when this member serves and has `zxid` (see member_wait()). */
void call_start_wait(Call *call, Zxid zxid);
void call_free(Call *call);
/* It waits from now on: keeps of its message no more than an answer needs. */
void call_settle(Call *call);

/* Answers: by encoder, or as an error. */
void call_answer(Call *call, const Result *result);
void call_return(Call *call, sd_bus_message *reply, uint64_t bytes);
sd_bus_message *call_new_reply(Call *call);     /* NULL: nobody waits for one */
void call_fail(Call *call, ConveneStatus status);

/* Front of the member. */
void call_on_reply(void *userdata, uint64_t tag, const Result *result);
void call_on_detached_reply(void *userdata, uint64_t tag, const Result *result);

void call_forget_caller(Caller *c);

/* Reads the options that end a message: 1: go on; otherwise what the method returns. */
int call_read_options(Caller *c, sd_bus_message *m, uint32_t known, Options *ret);
