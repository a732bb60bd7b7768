#include "sandbox/input.h"

#include <string.h>

#include "base/alloc.h"
#include "io/guest.h"

/* ---- writes --------------------------------------------------------------------------------- */

static struct cws_write *write_new(struct cws_input *input)
{
    struct cws_write *write = cws_calloc(1, sizeof(*write));
    if (!write)
        return NULL;
    cws_ref_init(&write->ref);
    cws_future_init(&write->future);
    write->input = input;
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
    if (write->is_close && !write->input->synced.lost)
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
    if (write->how != CWS_OK && !write->input->synced.ended)
        cws_list_push_back(&write->input->loop_only.fallen, &write->node);
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
    const struct cws_input_kind *kind = write->input->kind;
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

/* The lock is held. True: `post` must be called once it is not. */
static bool must_post_lock_held(struct cws_input *input)
{
    bool must = !input->synced.posted;
    input->synced.posted = true;
    return must;
}

static void post(struct cws_input *input)
{
    input->kind->hold(input);
    cws_loop_post_here(input->loop, &input->task);
}

/* Queues the write, with a reference of the queue's own, and sees that the loop thread looks. */
static enum cws_status enqueue(struct cws_input *input, struct cws_write *write)
{
    enum cws_status status = CWS_OK;
    bool must_post = false;
    pthread_mutex_lock(&input->synced.lock);
    if (input->synced.failed) {
        status = CWS_CANCELLED;
        if (write->is_close) {
            if (input->synced.lost && !input->synced.closed)
                write->how = CWS_CLOSED;
            input->synced.closed = true;
        }
    } else if (input->synced.closed) {
        status = CWS_CLOSED;
    } else {
        input->synced.closed = write->is_close;
        cws_write_ref(write);
        cws_list_push_back(&input->synced.queue, &write->node);
        must_post = must_post_lock_held(input);
    }
    pthread_mutex_unlock(&input->synced.lock);
    if (must_post)
        post(input);
    return status;
}

enum cws_status cws_input_write(struct cws_input *input, const uint8_t *data, size_t len,
                                struct cws_write **out_write)
{
    struct cws_write *write = write_new(input);
    if (!write)
        return CWS_NO_MEMORY;
    enum cws_status status =
        cut_into_blocks(write, data, len) ? enqueue(input, write) : CWS_NO_MEMORY;
    if (status == CWS_OK)
        *out_write = write;
    else
        cws_write_unref(write);
    return status;
}

enum cws_status cws_input_close(struct cws_input *input, struct cws_write **out_write)
{
    struct cws_write *write = write_new(input);
    if (!write)
        return CWS_NO_MEMORY;
    write->is_close = true;
    if (!add_block(write, input->kind->new_end())) {
        cws_write_unref(write);
        return CWS_NO_MEMORY;
    }
    if (enqueue(input, write) != CWS_OK)
        cws_future_complete(&write->future); /* nothing is left to be done */
    *out_write = write;
    return CWS_OK;
}

void cws_input_control(struct cws_input *input, struct cws_block *message)
{
    struct cws_block *dropped = message;
    bool must_post = false;
    pthread_mutex_lock(&input->synced.lock);
    if (!input->synced.ended && !input->synced.closed) {
        dropped = input->synced.control;
        input->synced.control = message;
        must_post = must_post_lock_held(input);
    }
    pthread_mutex_unlock(&input->synced.lock);
    cws_free(dropped);
    if (must_post)
        post(input);
}

bool cws_input_is_closed(struct cws_input *input)
{
    pthread_mutex_lock(&input->synced.lock);
    bool closed = input->synced.closed;
    pthread_mutex_unlock(&input->synced.lock);
    return closed;
}

void cws_input_set_failed(struct cws_input *input)
{
    pthread_mutex_lock(&input->synced.lock);
    input->synced.failed = true;
    pthread_mutex_unlock(&input->synced.lock);
}

/* ---- loop thread ---------------------------------------------------------------------------- */

static void give_to_call(struct cws_input *input, struct cws_write *write)
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
        cws_call_send(input->loop_only.call, cws_list_entry(node, struct cws_block, node));
    if (is_close)
        cws_call_half_close(input->loop_only.call);
}

/* The lock is held. The message is the caller's from now on. */
static struct cws_block *take_control_lock_held(struct cws_input *input)
{
    struct cws_block *message = input->synced.control;
    input->synced.control = NULL;
    return message;
}

static void on_control_settled(struct cws_block *block, enum cws_status how)
{
    struct cws_input *input = block->owner;
    bool must_post = false;
    cws_free(block);
    if (--input->loop_only.controls_out > 0 || how != CWS_OK)
        return;
    pthread_mutex_lock(&input->synced.lock);
    if (input->synced.control)
        must_post = must_post_lock_held(input);
    pthread_mutex_unlock(&input->synced.lock);
    if (must_post)
        post(input);
}

static void drain(struct cws_input *input)
{
    struct cws_list writes;
    struct cws_block *control = NULL;
    cws_list_init(&writes);
    pthread_mutex_lock(&input->synced.lock);
    cws_list_splice(&writes, &input->synced.queue);
    /* Until the call has let one pass, a newer one can still replace the next. So a peer that does
     * not read does not make them pile up. */
    if (input->loop_only.controls_out == 0 || !cws_list_is_empty(&writes))
        control = take_control_lock_held(input);
    pthread_mutex_unlock(&input->synced.lock);
    if (control) {
        control->settled = on_control_settled;
        control->owner = input;
        input->loop_only.controls_out++;
        cws_call_send(input->loop_only.call, control);
    }
    struct cws_list *node;
    while ((node = cws_list_pop_front(&writes)) != NULL)
        give_to_call(input, cws_list_entry(node, struct cws_write, node));
}

static void run_task(struct cws_task *task)
{
    struct cws_input *input = cws_container_of(task, struct cws_input, task);
    pthread_mutex_lock(&input->synced.lock);
    input->synced.posted = false;
    pthread_mutex_unlock(&input->synced.lock);
    if (input->loop_only.call)
        drain(input);
    input->kind->drop(input);
}

void cws_input_open(struct cws_input *input, struct cws_call *call)
{
    input->loop_only.call = call;
    drain(input);
}

void cws_input_end(struct cws_input *input, bool lost, struct cws_future *owner)
{
    struct cws_list writes;
    struct cws_block *control;
    cws_list_init(&writes);
    input->loop_only.call = NULL;
    cws_list_splice(&writes, &input->loop_only.fallen);
    pthread_mutex_lock(&input->synced.lock);
    input->synced.failed = true;
    input->synced.lost = lost;
    input->synced.ended = true;
    control = take_control_lock_held(input);
    cws_list_splice(&writes, &input->synced.queue);
    cws_future_complete(owner);
    pthread_mutex_unlock(&input->synced.lock);
    cws_free(control);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&writes)) != NULL) {
        struct cws_write *write = cws_list_entry(node, struct cws_write, node);
        write->how = CWS_CLOSED;
        write_complete(write);
    }
}

void cws_input_init(struct cws_input *input, const struct cws_input_kind *kind,
                    struct cws_loop *loop)
{
    memset(input, 0, sizeof(*input));
    pthread_mutex_init(&input->synced.lock, NULL);
    cws_list_init(&input->synced.queue);
    cws_list_init(&input->loop_only.fallen);
    input->task.run = run_task;
    input->loop = loop;
    input->kind = kind;
}

void cws_input_done(struct cws_input *input)
{
    assert(cws_list_is_empty(&input->synced.queue) && cws_list_is_empty(&input->loop_only.fallen));
    assert(!input->synced.control);
    pthread_mutex_destroy(&input->synced.lock);
}
