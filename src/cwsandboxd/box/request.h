/*
 * A request to an init, from where it is made until line.c has sent it. Embedded in what it is
 * about, so that one that must not fail, like a kill, needs no memory. Owns its block and
 * descriptors. Loop thread only.
 */
#pragma once

#include "base/list.h"
#include "box/script.h"
#include "box/string_list.h"
#include "cwsandbox-init/protocol.h"

struct cwsd_request {
    struct cws_list node; /* in the line's queue */
    struct cwsi_request packet;
    void *block; /* the packet's second part, of packet.size bytes; NULL: it has none */
    int fds[CWSI_MAX_FDS];
    unsigned fd_count;
    uint64_t queued_ns; /* since when it has been waiting to be sent */
    /* NULL, or told once that the request was sent or dropped, and its memory may go. */
    void (*settled)(struct cwsd_request *request);
    /* NULL, or told why the request is given up: the kernel would not take its descriptors. It is
     * out of the queue, and cwsd_request_done is up to this. */
    void (*refused)(struct cwsd_request *request, const struct cws_error *err);
};

void cwsd_request_init(struct cwsd_request *request, enum cwsi_op op, uint32_t id);
/* Takes it out of the queue, frees and closes what it holds. Harmless when repeated. */
void cwsd_request_done(struct cwsd_request *request);

/* The block of CWSI_SETUP: the scripts one after the other. CWS_SYSTEM, or what is wrong with a
 * script. */
enum cws_status cwsd_request_set_scripts(struct cwsd_request *request,
                                         const struct cwsd_script *const *scripts, size_t count,
                                         struct cws_error *err) CWS_MUST_CHECK;

/* The block of CWSI_START. CWS_NO_MEMORY, CWS_SYSTEM, or CWS_INVALID for a command of no words, or
 * of more than the kernel takes. */
enum cws_status cwsd_request_set_command(struct cwsd_request *request,
                                         const struct cwsd_string_list *argv,
                                         const struct cwsd_string_list *environment,
                                         const char *working_dir,
                                         struct cws_error *err) CWS_MUST_CHECK;

/* The same for a main command that only waits. CWS_NO_MEMORY, CWS_SYSTEM. */
enum cws_status cwsd_request_set_idle(struct cwsd_request *request, const char *working_dir,
                                      struct cws_error *err) CWS_MUST_CHECK;

/* Adds a descriptor for `flag`: CWSI_STDIN, then CWSI_STDOUT, then CWSI_STDERR; after the block.
 * Takes it over. */
void cwsd_request_add_fd(struct cwsd_request *request, uint32_t flag, int fd);
