/* Boxes and execs that the test plays itself, in place of box/box.c and box/exec.c. */
#pragma once

#include "box/box.h"
#include "box/exec.h"
#include "box/host.h"
#include "store/record.h"
#include "support/unit.h"
#include "values/bounds.h"

struct cwsd_box {
    struct cws_list node;
    const struct cwsd_box_events *events;
    void *ctx;
    char id[CWSD_ID_SIZE];
    char command[200]; /* words joined by '|' */
    char environment[200];
    char file[100]; /* content of the first one */
    uint64_t grace_ms;
    unsigned stops;
    unsigned asked; /* what it uses */
    bool started;   /* set by the test, as is the next */
    bool gone;
};

struct cwsd_exec {
    const struct cwsd_exec_events *events;
    void *ctx;
    char command[200];
    char environment[200];
    bool with_stdin;
};

static struct cws_list boxes;
static struct cwsd_exec *last_exec;
static struct cws_error refusal;                             /* of the next box or exec */
static unsigned boxes_until_refusal __attribute__((unused)); /* these boxes are not refused yet */
static unsigned freed_boxes, freed_execs;

static void join(char *into, const struct cwsd_string_list *list)
{
    into[0] = '\0';
    for (size_t i = 0; i < list->count; i++)
        sprintf(into + strlen(into), "%s%s", i ? "|" : "", list->items[i]);
    assert_true(list->count == 0 || !list->items[list->count]);
}

/* In place of box/host.c: where boxes are played there is no host. */
uint64_t cwsd_host_volume_bytes(const struct cwsd_host *host)
{
    (void)host;
    return UINT64_MAX;
}

enum cws_status cwsd_box_new(struct cws_loop *loop, const struct cwsd_host *host,
                             const struct cwsd_box_options *options,
                             const struct cwsd_box_events *events, void *ctx,
                             struct cwsd_box **out_box, struct cws_error *err)
{
    (void)loop, (void)host;
    if (refusal.status != CWS_OK && boxes_until_refusal == 0) {
        *err = refusal;
        return refusal.status;
    }
    boxes_until_refusal -= boxes_until_refusal > 0;
    struct cwsd_box *box = cws_calloc(1, sizeof(*box));
    if (!box)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    box->events = events;
    box->ctx = ctx;
    snprintf(box->id, sizeof(box->id), "%s", options->id);
    join(box->command, &options->command);
    join(box->environment, &options->environment);
    if (options->file_count)
        memcpy(box->file, options->files[0].data, options->files[0].len);
    cws_list_push_back(&boxes, &box->node);
    *out_box = box;
    return CWS_OK;
}

void cwsd_box_stop(struct cwsd_box *box, uint64_t grace_ms)
{
    box->stops++;
    box->grace_ms = grace_ms;
}

struct cwsd_box_execs cwsd_box_execs(const struct cwsd_box *box)
{
    return (struct cwsd_box_execs){.running = box->stops, .started = box->asked};
}

void cwsd_box_go(struct cwsd_box *box)
{
    (void)box;
}

bool cwsd_box_ask_usage(struct cwsd_box *box)
{
    box->asked++;
    return true;
}

void cwsd_box_free(struct cwsd_box *box)
{
    if (!box)
        return;
    freed_boxes++;
    cws_list_remove(&box->node);
    cws_free(box);
}

enum cws_status cwsd_exec_start(struct cwsd_box *box, const struct cwsd_exec_options *options,
                                const struct cwsd_exec_events *events, void *ctx,
                                struct cwsd_exec **out_exec, struct cws_error *err)
{
    assert_non_null(box);
    if (refusal.status != CWS_OK) {
        *err = refusal;
        return refusal.status;
    }
    struct cwsd_exec *exec = cws_calloc(1, sizeof(*exec));
    if (!exec)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    exec->events = events;
    exec->ctx = ctx;
    exec->with_stdin = options->with_stdin;
    join(exec->command, &options->command);
    join(exec->environment, &options->environment);
    *out_exec = last_exec = exec;
    return CWS_OK;
}

void cwsd_exec_free(struct cwsd_exec *exec)
{
    freed_execs++;
    if (exec == last_exec)
        last_exec = NULL;
    cws_free(exec);
}

enum cws_status cwsd_exec_write(struct cwsd_exec *exec, const uint8_t *data, size_t len)
{
    (void)exec, (void)data, (void)len;
    return CWS_OK;
}

size_t cwsd_exec_stdin_pending(const struct cwsd_exec *exec)
{
    (void)exec;
    return 0;
}

void cwsd_exec_close_stdin(struct cwsd_exec *exec)
{
    (void)exec;
}

void cwsd_exec_pause(struct cwsd_exec *exec, bool paused)
{
    (void)exec, (void)paused;
}

void cwsd_exec_resize(struct cwsd_exec *exec, const struct cwsd_exec_size *size)
{
    (void)exec, (void)size;
}

void cwsd_exec_hang_up(struct cwsd_exec *exec)
{
    (void)exec;
}
