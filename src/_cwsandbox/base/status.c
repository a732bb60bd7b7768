#include "base/status.h"

#include <stdarg.h>
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

enum cws_status cws_error_set(struct cws_error *err, enum cws_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        vsnprintf(err->text, sizeof(err->text), fmt, args);
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
        const char *text = describe(errnum, reason, sizeof(reason));
        va_list args;
        va_start(args, fmt);
        err->status = status;
        vsnprintf(err->text, sizeof(err->text), fmt, args);
        va_end(args);
        size_t len = strlen(err->text);
        snprintf(err->text + len, sizeof(err->text) - len, ": %s", text);
    }
    return status;
}

enum cws_status cws_error_wrap(struct cws_error *err, const char *fmt, ...)
{
    if (!err)
        return CWS_OK;
    char inner[sizeof(err->text)];
    memcpy(inner, err->text, sizeof(inner));
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof(err->text) - len, ": %s", inner);
    return err->status;
}
