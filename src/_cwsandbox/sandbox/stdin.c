#include "sandbox/stdin.h"

#include <string.h>

#include "base/alloc.h"
#include "io/guest.h"
#include "sandbox/exec_wire.h"

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
    /* Closing the input of a command that has ended is no failure; bytes it never got are. */
    if (write->is_close && !write->stdin_->lost)
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
    if (write->how != CWS_OK && !write->stdin_->ended)
        cws_list_push_back(&write->stdin_->fallen, &write->node);
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
    while (len) {
        size_t n = len < CWS_EXEC_STDIN_MAX ? len : CWS_EXEC_STDIN_MAX;
        if (!add_block(write, cws_exec_wire_stdin_block(data, n)))
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
    pthread_mutex_lock(&stdin_->lock);
    if (stdin_->failed) {
        status = CWS_CANCELLED;
        if (write->is_close) {
            if (stdin_->lost && !stdin_->closed)
                write->how = CWS_CLOSED;
            stdin_->closed = true;
        }
    } else if (stdin_->closed) {
        status = CWS_CLOSED;
    } else {
        stdin_->closed = write->is_close;
        cws_write_ref(write);
        cws_list_push_back(&stdin_->queue, &write->node);
        post = !stdin_->posted;
        stdin_->posted = true;
    }
    pthread_mutex_unlock(&stdin_->lock);
    if (post) {
        stdin_->hold(stdin_);
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
    if (!add_block(write, cws_exec_wire_close_block())) {
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
    pthread_mutex_lock(&stdin_->lock);
    bool closed = stdin_->closed;
    pthread_mutex_unlock(&stdin_->lock);
    return closed;
}

void cws_stdin_set_failed(struct cws_stdin *stdin_)
{
    pthread_mutex_lock(&stdin_->lock);
    stdin_->failed = true;
    pthread_mutex_unlock(&stdin_->lock);
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
        cws_call_send(stdin_->call, cws_list_entry(node, struct cws_block, node));
    if (is_close)
        cws_call_half_close(stdin_->call);
}

static void drain(struct cws_stdin *stdin_)
{
    struct cws_list writes;
    cws_list_init(&writes);
    pthread_mutex_lock(&stdin_->lock);
    cws_list_splice(&writes, &stdin_->queue);
    pthread_mutex_unlock(&stdin_->lock);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&writes)) != NULL)
        give_to_call(stdin_, cws_list_entry(node, struct cws_write, node));
}

static void run_task(struct cws_task *task)
{
    struct cws_stdin *stdin_ = cws_container_of(task, struct cws_stdin, task);
    pthread_mutex_lock(&stdin_->lock);
    stdin_->posted = false;
    pthread_mutex_unlock(&stdin_->lock);
    if (stdin_->call)
        drain(stdin_);
    stdin_->drop(stdin_);
}

void cws_stdin_open(struct cws_stdin *stdin_, struct cws_call *call)
{
    stdin_->call = call;
    drain(stdin_);
}

void cws_stdin_end(struct cws_stdin *stdin_, bool lost, struct cws_future *command)
{
    struct cws_list writes;
    cws_list_init(&writes);
    stdin_->call = NULL;
    stdin_->ended = true;
    cws_list_splice(&writes, &stdin_->fallen);
    pthread_mutex_lock(&stdin_->lock);
    stdin_->failed = true;
    stdin_->lost = lost;
    cws_list_splice(&writes, &stdin_->queue);
    cws_future_complete(command);
    pthread_mutex_unlock(&stdin_->lock);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&writes)) != NULL) {
        struct cws_write *write = cws_list_entry(node, struct cws_write, node);
        write->how = CWS_CLOSED;
        write_complete(write);
    }
}

void cws_stdin_init(struct cws_stdin *stdin_, struct cws_loop *loop,
                    void (*hold)(struct cws_stdin *), void (*drop)(struct cws_stdin *))
{
    memset(stdin_, 0, sizeof(*stdin_));
    pthread_mutex_init(&stdin_->lock, NULL);
    cws_list_init(&stdin_->queue);
    cws_list_init(&stdin_->fallen);
    stdin_->task.run = run_task;
    stdin_->loop = loop;
    stdin_->hold = hold;
    stdin_->drop = drop;
}

void cws_stdin_done(struct cws_stdin *stdin_)
{
    assert(cws_list_is_empty(&stdin_->queue) && cws_list_is_empty(&stdin_->fallen));
    pthread_mutex_destroy(&stdin_->lock);
}
