/*
 * A request to an init, from its creation until line.c has sent it. It is embedded in the object
 * that it is about. So a request that must not fail, such as a kill, needs no allocation. It owns
 * its block and its descriptors. Loop thread only.
 */
#pragma once

#include "base/list.h"
#include "box/script.h"
#include "box/string_list.h"
#include "cwsandbox-init/protocol.h"

struct cwsd_request {
    struct cws_list node; /* in the line's queue */
    struct cwsi_request packet;
    void *block; /* the packet's second part, packet.size bytes; NULL: none */
    int fds[CWSI_MAX_FDS];
    unsigned fd_count;
    uint64_t queued_ns; /* since when it has been waiting to be sent */
    void *owner;        /* for `refused`, where the request is not embedded in what it is about */
    /* May be NULL. Called once, when the request has been sent or dropped; its memory may be freed
     * then. */
    void (*settled)(struct cwsd_request *request);
    /* May be NULL. Called if the request is given up because the kernel would not take its
     * descriptors. The request is off the queue; call cwsd_request_done. */
    void (*refused)(struct cwsd_request *request, const struct cws_error *err);
};

void cwsd_request_init(struct cwsd_request *request, enum cwsi_op op, uint32_t id);
/* Takes it off the queue, frees its block and closes its descriptors. Harmless if repeated. */
void cwsd_request_done(struct cwsd_request *request);

/* Sets the block of CWSI_SETUP: the scripts one after the other. CWS_SYSTEM, or the status of a
 * script that failed. */
enum cws_status cwsd_request_set_scripts(struct cwsd_request *request,
                                         const struct cwsd_script *const *scripts, size_t count,
                                         struct cws_error *err) CWS_MUST_CHECK;

/* Sets the block of CWSI_START. CWS_NO_MEMORY, CWS_SYSTEM; CWS_INVALID: the command has no words,
 * or more than the kernel takes. */
enum cws_status cwsd_request_set_command(struct cwsd_request *request,
                                         const struct cwsd_string_list *argv,
                                         const struct cwsd_string_list *environment,
                                         const char *working_dir,
                                         struct cws_error *err) CWS_MUST_CHECK;

/* The same for an idle main command. CWS_NO_MEMORY, CWS_SYSTEM. */
enum cws_status cwsd_request_set_idle(struct cwsd_request *request, const char *working_dir,
                                      struct cws_error *err) CWS_MUST_CHECK;

/* Sets the block of CWSI_READ_FILE and CWSI_WRITE_FILE. CWS_NO_MEMORY, CWS_SYSTEM. */
enum cws_status cwsd_request_set_file(struct cwsd_request *request, uint64_t size,
                                      const char *working_dir, const char *path,
                                      struct cws_error *err) CWS_MUST_CHECK;

/* Sets the block of CWSI_CONNECT. CWS_NO_MEMORY. */
enum cws_status cwsd_request_set_port(struct cwsd_request *request, uint16_t port,
                                      struct cws_error *err) CWS_MUST_CHECK;

/* Adds a descriptor for `flag` and takes it over. Call it after the block is set, in the order
 * CWSI_STDIN, CWSI_STDOUT, CWSI_STDERR. */
void cwsd_request_add_fd(struct cwsd_request *request, uint32_t flag, int fd);
