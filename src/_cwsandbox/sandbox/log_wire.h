/* Packs and parses the messages of StreamLogs. Any thread. */
#pragma once

#include "base/block.h"
#include "grpc/status.h"

/* A moment, as in struct timespec. */
struct cws_log_time {
    int64_t s;
    int32_t ns;
};

/* Which part of the log is asked for. */
struct cws_log_window {
    int32_t tail_lines; /* 0: all */
    bool has_since;
    struct cws_log_time since;
    bool timestamps; /* the service puts one in front of each line */
};

struct cws_log_request {
    const char *sandbox_id;
    const char *container; /* "": the primary one */
    bool follow;
    struct cws_log_window window; /* not sent when `session` is given */
    const char *session;          /* the session to go on with; NULL: none */
    uint64_t offset;              /* … from here */
};

/* The request as a block for cws_call_send. NULL when out of memory. */
struct cws_block *cws_log_wire_request(const struct cws_log_request *request);

struct cws_log_entry {
    const uint8_t *data;
    size_t len;
    const char *session; /* not NUL-terminated; session_len 0: not given */
    size_t session_len;
    uint64_t next_offset; /* 0: not given */
    bool has_time;
    struct cws_log_time time; /* when the service got its first byte */
    const char *code;         /* of an error that ends the stream; NULL: it is no error */
    const char *message;      /* of that error */
    void *unpacked;           /* the message that the pointers point into; NULL: it is `data` */
};

/* Parses a message. After CWS_OK call cws_log_entry_done; the entry may point into `data`. An error
 * without a code does not count as one. CWS_PROTOCOL: the bytes are not such a message.
 * CWS_NO_MEMORY. */
enum cws_status cws_log_entry_parse(const uint8_t *data, size_t len,
                                    struct cws_log_entry *out_entry) CWS_MUST_CHECK;
void cws_log_entry_done(struct cws_log_entry *entry);

/* What the details of a failed call say about trying again. */
struct cws_log_advice {
    bool is_final;     /* another try would fail, too: the sandbox itself is the reason */
    bool lost_session; /* the session belongs to another part of the service */
    bool is_elsewhere; /* nothing was done: this endpoint no longer serves the sandbox */
    uint64_t delay_ns; /* how long the service asks to wait; 0: it does not */
};

/* Ignores details that cannot be decoded, and those for which there is no memory. */
struct cws_log_advice cws_log_wire_advice(const struct cws_grpc_status *status);
