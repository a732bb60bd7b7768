/*
 * Reading or writing one file in a running box. A child of the box's init does it, so paths mean
 * what they mean in there, and whatever holds it up holds up nothing else. Loop thread only.
 *
 * Any of these functions may be called from inside an event.
 */
#pragma once

#include "box/box.h"

struct cwsd_file_op;

struct cwsd_file_op_failure {
    /* An errno, or one of CWSI_FILE_...: what the operation met inside the box. 0: err says why it
     * could not be carried out. */
    int number;
    /* CWS_CLOSED: the box went down. CWS_SYSTEM, CWS_PROTOCOL: its init broke, could not start the
     * operation, or its child was killed. CWS_TOO_LARGE: the kernel would not pass the pipe
     * on, or the box's other reads took all the room there is for one box. */
    struct cws_error err;
    uint64_t size; /* CWSI_FILE_TOO_LARGE: what is known of the file's size */
};

struct cwsd_file_op_events {
    /* Reading, once the box may be sending so much: call cwsd_file_op_give, now or later, with
     * memory for content; for `len` more bytes, as far as is known. Until then nothing is read. */
    void (*on_need)(void *ctx, size_t len);
    /* The last event. Reading: `len` bytes of content are in the memory given. */
    void (*on_done)(void *ctx, size_t len);
    /* The last event instead of on_done. After a failed write the file is as it was. */
    void (*on_failed)(void *ctx, const struct cwsd_file_op_failure *failure);
};

/* A box carries out CWSD_MAX_FILE_OPS of them at a time; further ones wait for their turn, in
 * order. `path` must stay valid until the last event or cwsd_file_op_free. A relative one begins at
 * the box's working directory. A file with more than `max` bytes fails as CWSI_FILE_TOO_LARGE.
 * After CWS_OK events follow, never from inside this call. CWS_CLOSED: the box does not run.
 * CWS_TOO_LARGE: too many commands at a time. CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_file_op_read(struct cwsd_box *box, const char *path, size_t max,
                                  const struct cwsd_file_op_events *events, void *ctx,
                                  struct cwsd_file_op **out_op,
                                  struct cws_error *err) CWS_MUST_CHECK;

/* Memory for the content that comes next. It must stay valid until the next on_need, the last
 * event, or cwsd_file_op_free. */
void cwsd_file_op_give(struct cwsd_file_op *op, uint8_t *memory, size_t len);

/* The same for a file that is created or replaced. The content must stay valid until the last event
 * or cwsd_file_op_free. */
enum cws_status cwsd_file_op_write(struct cwsd_box *box, const char *path, const uint8_t *content,
                                   size_t len, const struct cwsd_file_op_events *events, void *ctx,
                                   struct cwsd_file_op **out_op,
                                   struct cws_error *err) CWS_MUST_CHECK;

/* Gives up a read, and a write whose content has not all been taken yet; after that it is carried
 * out. No more events come. Frees the operation, once the kernel and the init are done with it;
 * must also be called after the last event. */
void cwsd_file_op_free(struct cwsd_file_op *op);
