/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages
 *
 * Identifiers of the journal messages that programs and people look for (`journalctl MESSAGE_ID=...`).  Each is a whole
 * field for sd_journal_send(), and has an entry in units/convene.catalog, which names the further fields it carries.
 * An id is never used for another meaning.
 */

#define CONVENE_MESSAGE_READY             "MESSAGE_ID=363fed7673594b1ca885f98791a04f49"
#define CONVENE_MESSAGE_ROLE_CHANGED      "MESSAGE_ID=f2ac4bfc0d8a452b8f2d271d2dcddce3"
#define CONVENE_MESSAGE_DISK_FULL         "MESSAGE_ID=3b0930d75af04381be0491602eb1363d"
#define CONVENE_MESSAGE_DISK_ROOM_AGAIN   "MESSAGE_ID=c8780d7329e842ad87703d9a64ec5f97"
#define CONVENE_MESSAGE_IO_ERROR          "MESSAGE_ID=b10226b9905044b2826d8de37b3615da"
#define CONVENE_MESSAGE_STORE_DAMAGED     "MESSAGE_ID=df72ed26288d42f5aa8c92761d55efdf"
#define CONVENE_MESSAGE_TORN_TAIL_CUT     "MESSAGE_ID=d67a883759f94dc3b7e8767a95f01a19"
#define CONVENE_MESSAGE_SESSION_EXPIRED   "MESSAGE_ID=009bfe5228e442cb8cc4d45084b542c7"
#define CONVENE_MESSAGE_PRESENCE_CREATED  "MESSAGE_ID=be06432ee23f4988a2e30569766da458"
#define CONVENE_MESSAGE_PRESENCE_REMOVED  "MESSAGE_ID=3ff3b2c5ce70482eb6e9416502277f66"
#define CONVENE_MESSAGE_QUOTA_EXCEEDED    "MESSAGE_ID=02d42ce5ecb946ad85e02ce155dcb01a"
#define CONVENE_MESSAGE_CONFIGURATION     "MESSAGE_ID=d494659bdb6341c4999fbe47fb67d180"
#define CONVENE_MESSAGE_LIMIT_REACHED     "MESSAGE_ID=5265b0493018443ca419cdd38bd91e56"
