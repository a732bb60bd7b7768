/*
 * For the tests of sandboxes with several containers: a pool, and the boxes and rooms of its
 * sandboxes, which the test plays itself.
 */
#pragma once

#include "sandboxes/pool.h"
#include "support/daemon_help.h"
#include "support/peer.h"
#include "support/played_boxes.h"

#define CONTAINERS 3
#define PRIMARY    1

/* In place of box/room.c. */
struct cwsd_room {
    unsigned boxes;
};

static unsigned rooms;
static struct cws_error room_refusal;

enum cws_status cwsd_room_new(const struct cwsd_host *host, unsigned boxes_in,
                              struct cwsd_room **out_room, struct cws_error *err)
{
    (void)host;
    if (room_refusal.status != CWS_OK) {
        *err = room_refusal;
        return err->status;
    }
    struct cwsd_room *room = cws_calloc(1, sizeof(*room));
    if (!room)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    room->boxes = boxes_in;
    rooms++;
    *out_room = room;
    return CWS_OK;
}

void cwsd_room_free(struct cwsd_room *room)
{
    rooms -= room != NULL;
    cws_free(room);
}

struct played_world {
    size_t live;
    struct cws_loop *loop;
    struct cwsd_pool *pool;
    struct cwsd_plan *plan; /* of the next sandbox, which takes it; NULL: all start at once */
    struct cwsd_fault fault;
    cwsd_pb_spec spec;
    cwsd_pb_container containers[CONTAINERS];
    cwsd_pb_container *list[CONTAINERS];
};

static int set_up(void **state)
{
    static const char *const names[CONTAINERS] = {"cache", "web", "db"};
    struct played_world *w = test_calloc(1, sizeof(*w));
    w->live = cws_alloc_live();
    w->loop = loop_open();
    const struct cwsd_pool_options options = {.loop = w->loop,
                                              .runner_id = "local-here",
                                              .max_sandboxes = 3,
                                              .log_dir = "/tmp",
                                              .log_bytes = 1 << 20};
    assert_int_equal(cwsd_pool_new(&options, &w->pool, NULL), CWS_OK);
    cws_list_init(&boxes);
    memset(&refusal, 0, sizeof(refusal));
    memset(&room_refusal, 0, sizeof(room_refusal));
    freed_boxes = freed_execs = boxes_until_refusal = 0;
    plain_spec(&w->spec, &w->containers[0], w->list);
    for (size_t i = 0; i < CONTAINERS; i++) {
        coreweave__sandbox__v1__container__init(&w->containers[i]);
        w->containers[i].name = (char *)names[i];
        w->containers[i].command = (char *)names[i];
        w->list[i] = &w->containers[i];
    }
    w->containers[PRIMARY]._primary_case = COREWEAVE__SANDBOX__V1__CONTAINER___PRIMARY_PRIMARY;
    w->containers[PRIMARY].primary = true;
    w->spec.n_containers = CONTAINERS;
    *state = w;
    return 0;
}

static struct cwsd_box *box_at(size_t at)
{
    struct cws_list *node = boxes.next;
    while (at--)
        node = node->next;
    return cws_list_entry(node, struct cwsd_box, node);
}

static void runs(size_t at)
{
    box_at(at)->events->on_running(box_at(at)->ctx);
}

static void exits(size_t at, int code)
{
    box_at(at)->events->on_exited(box_at(at)->ctx, code);
}

/* The box is freed with the sandbox only. */
static void goes(struct played_world *w, size_t at, const char *broken)
{
    struct cws_error err;
    if (broken)
        cws_error_set(&err, CWS_SYSTEM, "%s", broken);
    box_at(at)->events->on_gone(box_at(at)->ctx, broken ? &err : NULL);
    box_at(at)->gone = true;
    settle(w->loop);
}

static void all_go(struct played_world *w)
{
    while (!cws_list_is_empty(&boxes)) {
        size_t at = 0;
        while (box_at(at)->gone)
            at++;
        goes(w, at, NULL);
    }
}

static int tear_down(void **state)
{
    struct played_world *w = *state;
    cws_alloc_fail_at(0);
    all_go(w);
    settle(w->loop); /* logs of a sandbox that could not be made go on the loop */
    assert_int_equal(rooms, 0);
    cwsd_plan_free(w->plan);
    cwsd_pool_free(w->pool);
    loop_close(w->loop);
    size_t before = w->live;
    test_free(w);
    return before == cws_alloc_live() ? 0 : -1;
}

#define POOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* `fail_at`: the allocation of the pool's that fails; 0: none. */
static struct cwsd_sandbox *create_failing(struct played_world *w, size_t fail_at)
{
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    sandbox.spec = &w->spec;
    request.sandbox = &sandbox;
    w->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    cwsd_pb_create_request *copy = copy_of(&request);
    const struct cwsd_origin origin = {.digest = cwsd_digest_of(&copy->base), .plan = &w->plan};
    cws_alloc_fail_at(fail_at);
    struct cwsd_sandbox *made =
        cwsd_pool_create_from(w->pool, copy, w->plan ? &origin : NULL, &w->fault);
    cws_alloc_fail_at(0);
    cwsd_wire_free(copy);
    assert_int_equal(made != NULL, w->fault.code == CWS_GRPC_OK);
    return made;
}

static struct cwsd_sandbox *create(struct played_world *w)
{
    return create_failing(w, 0);
}

static inline struct cwsd_sandbox *create_running(struct played_world *w)
{
    struct cwsd_sandbox *sandbox = create(w);
    assert_non_null(sandbox);
    for (size_t i = 0; i < CONTAINERS; i++)
        runs(i);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
    return sandbox;
}

static int state_of(const struct cwsd_sandbox *sandbox, size_t at)
{
    return sandbox->record.rows[at].state;
}
