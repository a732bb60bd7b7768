/*
 * A log session: the window in which a client counts bytes. It begins at some byte of the log, and
 * the client may have asked for the time in front of each line.
 *
 * Nothing is kept for a session: its id says everything. So it lives as long as its log, and costs
 * nothing. An id from another log, or one that somebody made up, is told by a check value. Values
 * only; any thread.
 */
#pragma once

#include "base/base.h"

#define CWSD_LOG_ID_SIZE 56 /* "ls-", three numbers, NUL */

/* The time in front of a line: "2026-11-28T16:20:11.123456Z ". */
#define CWSD_LOG_STAMP_LEN 28

struct cwsd_log_session {
    uint64_t start; /* its first byte's offset in the log */
    uint64_t lines; /* how many lines of the log begin before that */
    bool whole;     /* a line begins there */
    bool timestamps;
};

/* `key` is the log's own, and random. */
void cwsd_log_session_format(const struct cwsd_log_session *session, uint64_t key,
                             char id[CWSD_LOG_ID_SIZE]);
/* False: `id` is not a session of the log with this key. */
bool cwsd_log_session_parse(const char *id, uint64_t key, struct cwsd_log_session *out_session);

/* How many bytes the session has before the log's byte `offset`, which is not before its start, and
 * before the time in front of that byte. `lines` of the log begin before it. */
uint64_t cwsd_log_session_bytes(const struct cwsd_log_session *session, uint64_t offset,
                                uint64_t lines);

/* Writes the time without a NUL. */
void cwsd_log_stamp(uint64_t time_us, char stamp[CWSD_LOG_STAMP_LEN]);
