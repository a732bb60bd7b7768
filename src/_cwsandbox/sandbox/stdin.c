#include "sandbox/stdin.h"

#include <string.h>

#include "base/alloc.h"
#include "io/guest.h"

/* ---- writes --------------------------------------------------------------------------------- */

static struct cws_write *write_new(struct cws_stdin *stdin_)
{
    struct cws_write *write = cws_calloc(1, sizeof(*write));
    if (!write)
        return NULL;
    cws_ref_init(&write->ref);
    cws_future_init(&write->future);
    write->stdin_ = stdin_;
    cws_list_init(&write->node);
    cws_list_init(&write->blocks);
    return write;
}

void cws_write_ref(struct cws_write *write)
{
    cws_ref_get(&write->ref);
}

void cws_write_unref(struct cws_write *write)
{
    if (!write || !cws_ref_put(&write->ref))
        return;
    struct cws_list *node;
    while ((node = cws_list_pop_front(&write->blocks)) != NULL)
        cws_free(cws_list_entry(node, struct cws_block, node));
    cws_future_done(&write->future);
    cws_free(write);
}

/* Done, and the queue's reference with it. */
static void write_complete(struct cws_write *write)
{
    /* Closing the input of an owner that has ended is not a failure; losing bytes is. */
    if (write->is_close && !write->stdin_->synced.lost)
        write->how = CWS_OK;
    cws_future_complete(&write->future);
    cws_write_unref(write);
}

static void on_block_settled(struct cws_block *block, enum cws_status how)
{
    struct cws_write *write = block->owner;
    cws_free(block);
    if (how != CWS_OK)
        write->how = CWS_CLOSED;
    if (--write->blocks_left > 0)
        return;
    if (write->how != CWS_OK && !write->stdin_->loop_only.ended)
        cws_list_push_back(&write->stdin_->loop_only.fallen, &write->node);
    else
        write_complete(write);
}

static bool add_block(struct cws_write *write, struct cws_block *block)
{
    if (!block)
        return false;
    block->settled = on_block_settled;
    block->owner = write;
    cws_list_push_back(&write->blocks, &block->node);
    write->blocks_left++;
    return true;
}

static bool cut_into_blocks(struct cws_write *write, const uint8_t *data, size_t len)
{
    const struct cws_stdin_kind *kind = write->stdin_->kind;
    while (len) {
        size_t n = len < kind->message_max ? len : kind->message_max;
        if (!add_block(write, kind->new_message(data, n)))
            return false;
        data += n;
        len -= n;
    }
    return true;
}

/* ---- any thread ----------------------------------------------------------------------------- */

/* Queues the write, with a reference of the queue's own, and sees that the loop thread looks. */
static enum cws_status enqueue(struct cws_stdin *stdin_, struct cws_write *write)
{
    enum cws_status status = CWS_OK;
    bool post = false;
    pthread_mutex_lock(&stdin_->synced.lock);
    if (stdin_->synced.failed) {
        status = CWS_CANCELLED;
        if (write->is_close) {
            if (stdin_->synced.lost && !stdin_->synced.closed)
                write->how = CWS_CLOSED;
            stdin_->synced.closed = true;
        }
    } else if (stdin_->synced.closed) {
        status = CWS_CLOSED;
    } else {
        stdin_->synced.closed = write->is_close;
        cws_write_ref(write);
        cws_list_push_back(&stdin_->synced.queue, &write->node);
        post = !stdin_->synced.posted;
        stdin_->synced.posted = true;
    }
    pthread_mutex_unlock(&stdin_->synced.lock);
    if (post) {
        stdin_->kind->hold(stdin_);
        cws_loop_post_here(stdin_->loop, &stdin_->task);
    }
    return status;
}

enum cws_status cws_stdin_write(struct cws_stdin *stdin_, const uint8_t *data, size_t len,
                                struct cws_write **out_write)
{
    struct cws_write *write = write_new(stdin_);
    if (!write)
        return CWS_NO_MEMORY;
    enum cws_status status =
        cut_into_blocks(write, data, len) ? enqueue(stdin_, write) : CWS_NO_MEMORY;
    if (status == CWS_OK)
        *out_write = write;
    else
        cws_write_unref(write);
    return status;
}

enum cws_status cws_stdin_close(struct cws_stdin *stdin_, struct cws_write **out_write)
{
    struct cws_write *write = write_new(stdin_);
    if (!write)
        return CWS_NO_MEMORY;
    write->is_close = true;
    if (!add_block(write, stdin_->kind->new_end())) {
        cws_write_unref(write);
        return CWS_NO_MEMORY;
    }
    if (enqueue(stdin_, write) != CWS_OK)
        cws_future_complete(&write->future); /* nothing is left to be done */
    *out_write = write;
    return CWS_OK;
}

bool cws_stdin_is_closed(struct cws_stdin *stdin_)
{
    pthread_mutex_lock(&stdin_->synced.lock);
    bool closed = stdin_->synced.closed;
    pthread_mutex_unlock(&stdin_->synced.lock);
    return closed;
}

void cws_stdin_set_failed(struct cws_stdin *stdin_)
{
    pthread_mutex_lock(&stdin_->synced.lock);
    stdin_->synced.failed = true;
    pthread_mutex_unlock(&stdin_->synced.lock);
}

/* ---- loop thread ---------------------------------------------------------------------------- */

static void give_to_call(struct cws_stdin *stdin_, struct cws_write *write)
{
    bool is_close = write->is_close;
    if (write->blocks_left == 0) { /* an empty write sends nothing */
        write_complete(write);
        return;
    }
    /* The last block that settles ends the write, perhaps from inside cws_call_send. */
    struct cws_list blocks;
    cws_list_init(&blocks);
    cws_list_splice(&blocks, &write->blocks);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&blocks)) != NULL)
        cws_call_send(stdin_->loop_only.call, cws_list_entry(node, struct cws_block, node));
    if (is_close)
        cws_call_half_close(stdin_->loop_only.call);
}

static void drain(struct cws_stdin *stdin_)
{
    struct cws_list writes;
    cws_list_init(&writes);
    pthread_mutex_lock(&stdin_->synced.lock);
    cws_list_splice(&writes, &stdin_->synced.queue);
    pthread_mutex_unlock(&stdin_->synced.lock);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&writes)) != NULL)
        give_to_call(stdin_, cws_list_entry(node, struct cws_write, node));
}

static void run_task(struct cws_task *task)
{
    struct cws_stdin *stdin_ = cws_container_of(task, struct cws_stdin, task);
    pthread_mutex_lock(&stdin_->synced.lock);
    stdin_->synced.posted = false;
    pthread_mutex_unlock(&stdin_->synced.lock);
    if (stdin_->loop_only.call)
        drain(stdin_);
    stdin_->kind->drop(stdin_);
}

void cws_stdin_open(struct cws_stdin *stdin_, struct cws_call *call)
{
    stdin_->loop_only.call = call;
    drain(stdin_);
}

void cws_stdin_end(struct cws_stdin *stdin_, bool lost, struct cws_future *owner)
{
    struct cws_list writes;
    cws_list_init(&writes);
    stdin_->loop_only.call = NULL;
    stdin_->loop_only.ended = true;
    cws_list_splice(&writes, &stdin_->loop_only.fallen);
    pthread_mutex_lock(&stdin_->synced.lock);
    stdin_->synced.failed = true;
    stdin_->synced.lost = lost;
    cws_list_splice(&writes, &stdin_->synced.queue);
    cws_future_complete(owner);
    pthread_mutex_unlock(&stdin_->synced.lock);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&writes)) != NULL) {
        struct cws_write *write = cws_list_entry(node, struct cws_write, node);
        write->how = CWS_CLOSED;
        write_complete(write);
    }
}

void cws_stdin_init(struct cws_stdin *stdin_, const struct cws_stdin_kind *kind,
                    struct cws_loop *loop)
{
    memset(stdin_, 0, sizeof(*stdin_));
    pthread_mutex_init(&stdin_->synced.lock, NULL);
    cws_list_init(&stdin_->synced.queue);
    cws_list_init(&stdin_->loop_only.fallen);
    stdin_->task.run = run_task;
    stdin_->loop = loop;
    stdin_->kind = kind;
}

void cws_stdin_done(struct cws_stdin *stdin_)
{
    assert(cws_list_is_empty(&stdin_->synced.queue) &&
           cws_list_is_empty(&stdin_->loop_only.fallen));
    pthread_mutex_destroy(&stdin_->synced.lock);
}
