/*
 * Status codes of the core's own functions, and the error value that carries the detail.
 *
 * A function that can fail returns `enum cws_status`; CWS_OK is 0. It also takes a `struct
 * cws_error *err` if there is a detail worth telling a person. *err is filled only on failure,
 * once, where the failure happened. Callers may put context in front of its text (cws_error_wrap).
 * `err` may be NULL. Values only: nothing to free; any thread.
 */
#pragma once

#include "base/base.h"

#define CWS_STATUS_MAP(X) \
    X(OK, "ok") \
    X(NO_MEMORY, "out of memory") \
    X(INVALID, "invalid argument") \
    X(CLOSED, "closed") \
    X(CANCELLED, "cancelled") \
    X(TIMED_OUT, "timed out") \
    X(TOO_LARGE, "too large") \
    X(IO, "input/output error") \
    X(RESOLVE, "name look-up failed") \
    X(CONNECT, "connection failed") \
    X(PROXY, "proxy refused") \
    X(TLS, "TLS failure") \
    X(PROTOCOL, "protocol violation") \
    X(SYSTEM, "system error")

enum cws_status {
#define CWS_STATUS_ENUM(name, text) CWS_##name,
    CWS_STATUS_MAP(CWS_STATUS_ENUM)
#undef CWS_STATUS_ENUM
};

struct cws_error {
    enum cws_status status;
    char text[240]; /* one line, no newline, always terminated; too long, it lacks its middle */
};

/* The status in words, such as "out of memory". Never NULL. */
const char *cws_status_text(enum cws_status status);

/* Fills *err (`err` may be NULL) and returns `status`, so that a failing function can `return
 * cws_error_set(...)`. */
enum cws_status cws_error_set(struct cws_error *err, enum cws_status status, const char *fmt, ...)
    CWS_PRINTF(3, 4);

/* As cws_error_set, with ": <strerror(errnum)>" appended; `errnum` is a positive errno. */
enum cws_status cws_error_set_errno(struct cws_error *err, enum cws_status status, int errnum,
                                    const char *fmt, ...) CWS_PRINTF(4, 5);

/* Puts the formatted context and ": " in front of the text of *err. Returns its status. */
enum cws_status cws_error_wrap(struct cws_error *err, const char *fmt, ...) CWS_PRINTF(2, 3);
