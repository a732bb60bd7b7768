#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *cws_status_text(enum cws_status status)
{
    static const char *const texts[] = {
#define CWS_STATUS_TEXT(name, text) [CWS_##name] = (text),
        CWS_STATUS_MAP(CWS_STATUS_TEXT)
#undef CWS_STATUS_TEXT
    };
    return (size_t)status < CWS_ARRAY_LEN(texts) ? texts[status] : "unknown status";
}

/* A path and what is said about it. */
#define WHOLE_BYTES 4608
/* Stands for what there is no room for. */
#define GAP "..."

static bool is_inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80; /* of UTF-8 */
}

/* What is too long lacks its middle: a long path must not push out what is wrong with it. */
static void set_text(struct cws_error *err, const char *whole)
{
    size_t len = strlen(whole), room = sizeof(err->text) - sizeof(GAP);
    size_t head = room / 2, tail = len - (room - room / 2);
    if (len < sizeof(err->text)) {
        memcpy(err->text, whole, len + 1);
        return;
    }
    while (head > 0 && is_inside_character(whole[head]))
        head--;
    while (tail < len && is_inside_character(whole[tail]))
        tail++;
    snprintf(err->text, sizeof(err->text), "%.*s" GAP "%s", (int)head, whole, whole + tail);
}

/* `reason` may be NULL, or the present text. */
static void fill(struct cws_error *err, const char *fmt, va_list args, const char *reason)
{
    char whole[WHOLE_BYTES];
    int len = vsnprintf(whole, sizeof(whole), fmt, args);
    size_t at = len < 0 ? 0 : (size_t)len < sizeof(whole) ? (size_t)len : sizeof(whole) - 1;
    if (reason)
        snprintf(whole + at, sizeof(whole) - at, ": %s", reason);
    set_text(err, whole);
}

enum cws_status cws_error_set(struct cws_error *err, enum cws_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        fill(err, fmt, args, NULL);
        va_end(args);
    }
    return status;
}

/* What the errno means, in `reason` or not. */
static const char *describe(int errnum, char *reason, size_t size)
{
#ifdef __GLIBC__
    return strerror_r(errnum, reason, size);
#else
    return strerror_r(errnum, reason, size) == 0 ? reason : "unknown error";
#endif
}

enum cws_status cws_error_set_errno(struct cws_error *err, enum cws_status status, int errnum,
                                    const char *fmt, ...)
{
    if (err) {
        char reason[96];
        va_list args;
        va_start(args, fmt);
        err->status = status;
        fill(err, fmt, args, describe(errnum, reason, sizeof(reason)));
        va_end(args);
    }
    return status;
}

enum cws_status cws_error_wrap(struct cws_error *err, const char *fmt, ...)
{
    if (!err)
        return CWS_OK;
    va_list args;
    va_start(args, fmt);
    fill(err, fmt, args, err->text);
    va_end(args);
    return err->status;
}
