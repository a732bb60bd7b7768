/* Packs and parses the messages of StreamExec. Any thread. */
#pragma once

#include "base/block.h"

/* The most bytes of standard input in one message. */
#define CWS_EXEC_STDIN_MAX 65536

/* An environment variable, UTF-8. */
struct cws_exec_variable {
    const char *name;
    const char *value;
};

/* A terminal's size in characters. 0: not told. */
struct cws_exec_size {
    unsigned width;
    unsigned height;
};

struct cws_exec_wire_command {
    char **argv; /* UTF-8 */
    size_t argc;
    const char *container; /* NULL or "": the primary one */
    const struct cws_exec_variable *env;
    size_t env_count;
    bool tty;                  /* it gets a terminal … */
    struct cws_exec_size size; /* … of this size */
};

/* Packs the part of the init message that is known from the start. The caller owns *out_init, which
 * is from cws_malloc. CWS_NO_MEMORY. */
enum cws_status cws_exec_wire_init(const struct cws_exec_wire_command *command, uint8_t **out_init,
                                   size_t *out_len) CWS_MUST_CHECK;

/* The part that is known once the sandbox runs. */
struct cws_exec_wire_target {
    const char *sandbox_id;
    const char *cwd;     /* NULL: none was asked for */
    unsigned extensions; /* what the service can do: a set of enum cws_extension */
};

/* A block for cws_call_send: the request with this init message for this target. If the service
 * lacks the extension for cwd, the command becomes a shell that enters the directory and executes
 * the command. NULL when out of memory. */
struct cws_block *cws_exec_wire_init_block(const uint8_t *init, size_t init_len,
                                           const struct cws_exec_wire_target *target);
/* Blocks for cws_call_send: up to CWS_EXEC_STDIN_MAX bytes of input; the end of the input. NULL
 * when out of memory. */
struct cws_block *cws_exec_wire_stdin_block(const uint8_t *data, size_t len);
struct cws_block *cws_exec_wire_close_block(void);
/* A terminal's new size, likewise. */
struct cws_block *cws_exec_wire_resize_block(struct cws_exec_size size);

enum cws_exec_frame_kind {
    CWS_EXEC_FRAME_NONE, /* a kind that this side does not know: to be skipped */
    CWS_EXEC_FRAME_READY,
    CWS_EXEC_FRAME_STDOUT,
    CWS_EXEC_FRAME_STDERR,
    CWS_EXEC_FRAME_EXIT,
    CWS_EXEC_FRAME_ERROR,
};

struct cws_exec_frame {
    enum cws_exec_frame_kind kind;
    const uint8_t *data; /* STDOUT, STDERR */
    size_t len;
    int exit_code;       /* EXIT */
    const char *message; /* ERROR */
    const char *code;    /* ERROR, "" when none */
    void *unpacked;      /* the message that the pointers point into */
};

/* Parses the beginning of a message of `message_len` bytes. True: it is an output frame in the form
 * that every encoder writes, whose data reaches to the end of the message. *out_frame has the data
 * that has arrived, and needs no cws_exec_frame_done. False: wait for the whole message. */
bool cws_exec_frame_begin(const uint8_t *data, size_t len, size_t message_len,
                          struct cws_exec_frame *out_frame);

/* Parses a whole message. After CWS_OK call cws_exec_frame_done; the frame may view `data`.
 * CWS_PROTOCOL: the bytes are not such a message. CWS_NO_MEMORY. */
enum cws_status cws_exec_frame_parse(const uint8_t *data, size_t len,
                                     struct cws_exec_frame *out_frame) CWS_MUST_CHECK;
void cws_exec_frame_done(struct cws_exec_frame *frame);
