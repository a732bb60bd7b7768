#include "store/log_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIMESTAMPS 1u
#define WHOLE      2u

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

static uint64_t check_value(uint64_t start, uint64_t lines, unsigned flags, uint64_t key)
{
    return mix(mix(mix(mix(key, start), lines), flags), key);
}

void cwsd_log_session_format(const struct cwsd_log_session *session, uint64_t key,
                             char id[CWSD_LOG_ID_SIZE])
{
    unsigned flags = (session->timestamps ? TIMESTAMPS : 0) | (session->whole ? WHOLE : 0);
    snprintf(id, CWSD_LOG_ID_SIZE, "ls-%u%016" PRIx64 "%016" PRIx64 "%016" PRIx64, flags,
             session->start, session->lines,
             check_value(session->start, session->lines, flags, key));
}

bool cwsd_log_session_parse(const char *id, uint64_t key, struct cwsd_log_session *out_session)
{
    char again[CWSD_LOG_ID_SIZE];
    unsigned flags = 0;
    uint64_t start = 0, lines = 0;
    if (sscanf(id, "ls-%1u%16" SCNx64 "%16" SCNx64, &flags, &start, &lines) != 3 ||
        flags > (TIMESTAMPS | WHOLE))
        return false;
    *out_session = (struct cwsd_log_session){start, lines, flags & WHOLE, flags & TIMESTAMPS};
    cwsd_log_session_format(out_session, key, again);
    return strcmp(id, again) == 0;
}

uint64_t cwsd_log_session_bytes(const struct cwsd_log_session *session, uint64_t offset,
                                uint64_t lines)
{
    uint64_t bytes = offset - session->start;
    if (!session->timestamps)
        return bytes;
    /* A window that begins within a line has the time in front of what is left of it, too. */
    uint64_t stamps = lines - session->lines + (!session->whole && bytes > 0);
    return bytes + stamps * CWSD_LOG_STAMP_LEN;
}

void cwsd_log_stamp(uint64_t time_us, char stamp[CWSD_LOG_STAMP_LEN])
{
    char text[64];
    struct tm parts;
    time_t seconds = (time_t)(time_us / 1000000);
    gmtime_r(&seconds, &parts);
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + len, sizeof(text) - len, ".%06uZ ", (unsigned)(time_us % 1000000));
    memcpy(stamp, text, CWSD_LOG_STAMP_LEN);
}
