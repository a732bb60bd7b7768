/*
 * For the tests of what acts in sandboxes: a pool with one sandbox, without isolation.
 *
 * A test's own world has a struct pool_world as its first member. Its set-up and tear-down check
 * that nothing is left of it all.
 */
#pragma once

#include "sandboxes/pool.h"
#include "support/box_world.h"
#include "support/daemon_help.h"

struct pool_world {
    size_t live; /* allocations before all this */
    struct cws_loop *loop;
    struct cwsd_host *host;
    struct cwsd_pool *pool;
    struct cwsd_sandbox *sandbox;
    char id[CWSD_ID_SIZE];
    bool empty;
    struct cwsd_fault fault;
};

static inline void pool_on_empty(void *ctx)
{
    struct pool_world *world = ctx;
    world->empty = true;
    uv_stop(cws_loop_uv(world->loop)); /* told before the loop waits, which it then must not do */
}

static inline void pool_create(struct pool_world *world)
{
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    char *args[] = {(char *)"-c", (char *)KEEP_ALIVE};
    plain_spec(&spec, &container, containers);
    container.command = (char *)"/bin/sh";
    container.args = args;
    container.n_args = 2;
    sandbox.spec = &spec;
    request.sandbox = &sandbox;
    cwsd_pb_create_request *copy = copy_of(&request);
    world->sandbox = cwsd_pool_create(world->pool, copy, &world->fault);
    cwsd_wire_free(copy);
    if (!world->sandbox)
        fail_msg("%s", world->fault.message);
    strcpy(world->id, world->sandbox->record.id);
}

/* A sandbox that was asked for and does not run yet. */
static inline int pool_set_up(void **state, size_t size)
{
    struct cws_error err = {CWS_OK, ""};
    struct pool_world *world = test_calloc(1, size);
    alarm(UNIT_SECONDS);
    world->live = cws_alloc_live();
    if (cws_loop_new(&world->loop, &err) != CWS_OK)
        fail_msg("%s", err.text);
    world->host = probe_host(CWSD_ISOLATION_NONE);
    const struct cwsd_pool_options options = {.loop = world->loop,
                                              .host = world->host,
                                              .runner_id = "runner-1",
                                              .max_sandboxes = 1,
                                              .log_dir = "/tmp",
                                              .log_bytes = 1 << 20,
                                              .on_empty = pool_on_empty,
                                              .ctx = world};
    assert_int_equal(cwsd_pool_new(&options, &world->pool, NULL), CWS_OK);
    assert_non_null(world->pool);
    pool_create(world);
    assert_int_equal(world->sandbox->record.state, CWSD_STATE(CREATING));
    *state = world;
    return 0;
}

static inline void pool_await_created(struct pool_world *world)
{
    RUN_UNTIL(world, world->sandbox->record.state != CWSD_STATE(CREATING));
}

static inline int pool_tear_down(void **state)
{
    struct pool_world *world = *state;
    cws_alloc_fail_at(0);
    cwsd_pool_drain(world->pool, 0);
    RUN_UNTIL(world, world->empty);
    cwsd_pool_free(world->pool);
    cwsd_host_free(world->host);
    cws_loop_free(world->loop);
    alarm(0);
    size_t before = world->live, live = cws_alloc_live();
    test_free(world);
    return live == before ? 0 : -1;
}

static inline void assert_fault(const struct cwsd_fault *fault, enum cws_grpc_code code,
                                const char *reason, const char *text)
{
    assert_int_equal(fault->code, code);
    assert_string_equal(fault->reason, reason);
    if (!strstr(fault->message, text))
        fail_msg("\"%s\" does not say \"%s\"", fault->message, text);
}

static inline void assert_not_running(const struct pool_world *world, const char *text)
{
    assert_fault(&world->fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING,
                 text);
    assert_non_null(strstr(world->fault.message, world->id));
    assert_int_equal(world->fault.metadata_count, 1);
    assert_string_equal(world->fault.metadata[0].key, "sandbox_id");
    assert_string_equal(world->fault.metadata[0].value, world->id);
}
