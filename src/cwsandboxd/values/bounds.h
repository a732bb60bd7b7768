/* The daemon's fixed limits, each with its reason. */
#pragma once

#include <stddef.h>

#define CWSD_KIB ((size_t)1024)
#define CWSD_MIB (1024 * CWSD_KIB)

/* The kernel takes at most 128 KiB for one argument or variable, including its NUL
 * (MAX_ARG_STRLEN). */
#define CWSD_MAX_ARG_BYTES (128 * CWSD_KIB - 1)
/* argv and environment share the kernel's 2 MiB (a quarter of the usual 8 MiB stack), in which it
 * also counts a pointer for each word. What this limit leaves is for the program's path and for
 * what a script's first line adds. With a smaller stack the kernel takes less; the command's stderr
 * then says so. */
#define CWSD_ARG_POINTER_BYTES ((size_t)8)
#define CWSD_MAX_EXEC_BYTES    (2 * CWSD_MIB - 16 * CWSD_KIB)

#define CWSD_MAX_REQUEST_ID_BYTES 128
#define CWSD_MAX_NAME_BYTES       256
#define CWSD_MAX_PATH_BYTES       4095
#define CWSD_MAX_TAGS             100
#define CWSD_MAX_ANNOTATIONS      100
#define CWSD_MAX_ANNOTATION_BYTES (64 * CWSD_KIB)
#define CWSD_FILE_MODE            0444 /* of a mounted file whose mode is not given */
#define CWSD_MAX_FILES            1000
#define CWSD_MAX_FILE_BYTES       (64 * CWSD_MIB)
#define CWSD_MAX_RUNNER_IDS       100
#define CWSD_MAX_VOLUMES          32
#define CWSD_MAX_MOUNTS           100 /* of volumes, in a container */
#define CWSD_MAX_PART_BYTES       255 /* of a path, between two slashes */

/* Secrets of a container, the value of each, and the file of a store. */
#define CWSD_MAX_SECRETS            256
#define CWSD_MAX_SECRET_BYTES       (64 * CWSD_KIB)
#define CWSD_MAX_SECRET_STORE_BYTES CWSD_MIB

#define CWSD_MAX_SERVICES 16
/* HTTPS endpoints: how long an answer may take to begin. */
#define CWSD_DEFAULT_REQUEST_S 15
#define CWSD_MIN_REQUEST_S     15
#define CWSD_MAX_REQUEST_S     900
/* Connections to a service at a time. Each is a process in the sandbox. */
#define CWSD_MAX_FORWARDS 256
/* Such a connection ends when its client has taken nothing for so long of what waits for it; */
#define CWSD_FORWARD_STALL_S 60
/* and when nothing has moved for so long, if the client has ended its side, or speaks HTTP with an
 * endpoint. */
#define CWSD_FORWARD_IDLE_S 600
/* The same once the program has ended its side: most have ended the other with it. */
#define CWSD_FORWARD_LINGER_S 60

/* How long a create waits for its sandbox to run before it is answered anyway. */
#define CWSD_CREATE_PATIENCE_MS 2000

/* How often the connections of the data plane are looked through for those of ended sandboxes.
 * Until then their clients are told why, and sent back to the gateway. */
#define CWSD_DIRECT_SWEEP_S 5

/* How long a daemon that ends waits for clients to take the rest of what they were following. */
#define CWSD_FAREWELL_MS 1000

#define CWSD_DEFAULT_LIFETIME_S (24 * 60 * 60)
#define CWSD_MAX_LIFETIME_S     (30 * 24 * 60 * 60)
#define CWSD_MAX_GRACE_S        300
/* The grace period of a sandbox whose lifetime is over. */
#define CWSD_LIFETIME_GRACE_S 10
/* That of the other containers when the primary one has ended by itself. */
#define CWSD_SIDECAR_GRACE_S 10

#define CWSD_MAX_HOST_NAME    253
#define CWSD_MAX_EGRESS_RULES 64 /* and exceptions and ranges of ports of each */

/* Each is a box of its own. */
#define CWSD_MAX_CONTAINERS    16
#define CWSD_MAX_COMPOSE_BYTES (256 * CWSD_KIB)

/* How many finished sandboxes can still be found. Both bounds hold. */
#define CWSD_MAX_FINISHED       10000
#define CWSD_MAX_FINISHED_BYTES (64 * CWSD_MIB)

/* Templates: how many there may be, and how large each. So many deleted ones can be looked at,
 * too. */
#define CWSD_MAX_TEMPLATES      1000
#define CWSD_MAX_TEMPLATE_BYTES (4 * CWSD_MIB)
/* Registered volumes. */
#define CWSD_MAX_REGISTERED 1000

/* The files of their logs take no more than this many full ones. */
#define CWSD_MAX_FINISHED_LOGS 64

#define CWSD_DEFAULT_PAGE 50
#define CWSD_MAX_PAGE     1000
/* A page of a list ends early rather than exceed this (clients refuse replies over 100 MiB). */
#define CWSD_MAX_PAGE_BYTES (16 * CWSD_MIB)

/* Unary Exec: how much of stdout, and of stderr, is kept by default and at most. */
#define CWSD_DEFAULT_OUTPUT_BYTES CWSD_MIB
#define CWSD_MAX_OUTPUT_BYTES     (32 * CWSD_MIB)

/* ReadFile and WriteFile: the largest file. Its message stays below the 100 MiB that clients and
 * this service take. */
#define CWSD_MAX_FILE_MESSAGE_BYTES (99 * CWSD_MIB)
/* ReadFile and WriteFile: how many a sandbox carries out at a time. Each is a process of its own.
 * Further ones wait. */
#define CWSD_MAX_FILE_OPS 64
/* ReadFile: how much all contents together may be that have not been sent yet, not counting those
 * of at most CWSD_STREAM_HIGH_WATER. One that does not fit in waits for so long. */
#define CWSD_MAX_UNSENT_FILE_BYTES (256 * CWSD_MIB)
#define CWSD_FILE_PATIENCE_MS      5000
/* The same for the contents that one sandbox is still sending: it may stop in the middle, and must
 * not keep the room from the others. */
#define CWSD_MAX_ARRIVING_FILE_BYTES (128 * CWSD_MIB)

/* StreamExec: how much output waits for a slow client before the command's pipes are no longer
 * read. */
#define CWSD_STREAM_HIGH_WATER (256 * CWSD_KIB)
/* StreamLogs: the same for a log, which is then not read. */
#define CWSD_LOG_HIGH_WATER (256 * CWSD_KIB)
/* StreamExec: how much input a command may leave unread before the client's window is no longer
 * opened. */
#define CWSD_STDIN_HIGH_WATER (64 * CWSD_KIB)
/* StreamExec: the size of the pipe to a command whose input has filled the usual 64 KiB. It is what
 * Linux allows everybody. */
#define CWSD_STDIN_PIPE CWSD_MIB
/* StreamExec: how many such pipes a sandbox may have at a time, one for each transfer of a client.
 * Root's pipes are not limited by Linux. */
#define CWSD_MAX_WIDE_PIPES 16

/* Snapshots: how many are made at a time; how many more may wait; how many there may be. */
#define CWSD_MAX_ARCHIVES_AT_ONCE 2
#define CWSD_MAX_WAITING_ARCHIVES 32
/* Of one sandbox, while it runs: one that is made and one that waits. */
#define CWSD_MAX_ARCHIVES_OF_ONE 2
#define CWSD_MAX_SNAPSHOTS       1000
/* How long making one, or restoring one, may take. Clients wait for ten minutes. */
#define CWSD_ARCHIVE_PATIENCE_S 600
/* How long its volume may hold it up while less than CWSA_STEP bytes pass. Packing as many takes
 * milliseconds. */
#define CWSD_ARCHIVE_STALL_MS 10000

/* Boxes that are asked what they use in one turn of the loop: two milliseconds. */
#define CWSD_MAX_ASKED_AT_ONCE 64

/* How long a certificate of the direct data plane is valid. Long enough that asking for one costs
 * nothing next to what it is used for, short enough that a lost one is soon worth nothing. */
#define CWSD_CERTIFICATE_S (60 * 60)
