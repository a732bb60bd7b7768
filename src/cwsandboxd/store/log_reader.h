/*
 * One pass over a log, in the form in which a client gets it: from the line on that it asked for,
 * or from where it stopped before, with the time in front of each line if wanted. Any thread, one
 * at a time; may wait for the disk. The struct is the caller's memory.
 */
#pragma once

#include "store/log_session.h"
#include "store/ring.h"

/* The least room for cwsd_log_reader_fill. */
#define CWSD_LOG_LEAST_ROOM 64

struct cwsd_log_reader {
    struct cwsd_ring *ring;
    struct cwsd_log_session session; /* complete once it is `located` */
    bool located;
    bool lost;     /* nothing is kept of what there was */
    bool more;     /* the last fill ended for want of room */
    bool finished; /* the last bytes have been given out */

    uint64_t from_line; /* until it is located: lines before this one are passed over, */
    uint64_t since_us;  /* and so are those that are older */
    bool resumes;
    uint64_t end; /* nothing from this byte of the log on */

    struct cwsd_ring_place place; /* the next byte; `at` is the record that it is in */
    size_t within;                /* its place in the record */
    uint64_t given;               /* the session's bytes before `place` */
    uint64_t passed_over;         /* how many of the next bytes the client has already */
    uint8_t held[3];              /* the beginning of a character whose rest is not there yet */
    size_t held_len;
};

/* A new session. tail_lines 0: all lines; since_us 0: whatever their age. `end` is UINT64_MAX, or
 * the offset in the log where the reader finishes. */
void cwsd_log_reader_begin(struct cwsd_log_reader *reader, struct cwsd_ring *ring, bool timestamps,
                           uint32_t tail_lines, uint64_t since_us, uint64_t end);
/* A known session from its byte `given` on. */
void cwsd_log_reader_resume(struct cwsd_log_reader *reader, struct cwsd_ring *ring,
                            const struct cwsd_log_session *session, uint64_t given);

/* How many bytes the session has up to and with what has been given out. */
uint64_t cwsd_log_reader_offset(const struct cwsd_log_reader *reader);

/* Gives out the next bytes: `room` of them at most, cut behind a line if possible, and else never
 * within a character. *out_len is 0 if there are none for now; `ended` says that there will be no
 * more. *out_us is the time of the first one. CWS_CLOSED: they have been overwritten, or nothing is
 * kept at all. CWS_INVALID: the session has less bytes than it was to be resumed after. CWS_SYSTEM,
 * CWS_PROTOCOL: the log cannot be read. */
enum cws_status cwsd_log_reader_fill(struct cwsd_log_reader *reader, bool ended, uint8_t *into,
                                     size_t room, size_t *out_len, uint64_t *out_us,
                                     struct cws_error *err) CWS_MUST_CHECK;
