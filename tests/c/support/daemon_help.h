/* For the tests of the daemon's own modules: messages to build on, and the leak check around
 * each test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "values/pb.h"
#include "values/wire.h"

static inline int live_before(void **state)
{
    size_t *live = test_malloc(sizeof(*live));
    *live = cws_alloc_live();
    *state = live;
    return 0;
}

static inline int nothing_leaked(void **state)
{
    size_t before = *(size_t *)*state;
    test_free(*state);
    cws_alloc_fail_at(0);
    return before == cws_alloc_live() ? 0 : -1;
}

#define CWSD_TEST(f) cmocka_unit_test_setup_teardown(f, live_before, nothing_leaked)

/* A copy in memory of its own, as if it had come over the wire. */
static inline void *copy_of(const void *message)
{
    const ProtobufCMessage *source = message;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    size_t len = protobuf_c_message_get_packed_size(source);
    uint8_t *bytes = test_malloc(len + 1);
    protobuf_c_message_pack(source, bytes);
    void *copy = cwsd_wire_unpack(source->descriptor, bytes, len, &fault);
    test_free(bytes);
    if (!copy)
        fail_msg("%s", fault.message);
    return copy;
}

/* A spec of one container; `containers` has room for it. */
static inline void plain_spec(cwsd_pb_spec *spec, cwsd_pb_container *container,
                              cwsd_pb_container **containers)
{
    coreweave__sandbox__v1__sandbox_spec__init(spec);
    coreweave__sandbox__v1__container__init(container);
    container->name = (char *)"main";
    container->image = (char *)"python:3.11";
    containers[0] = container;
    spec->n_containers = 1;
    spec->containers = containers;
}

static inline void assert_invalid(const struct cwsd_fault *fault, const char *field)
{
    assert_int_equal(fault->code, CWS_GRPC_INVALID_ARGUMENT);
    assert_string_equal(fault->field, field);
    assert_int_equal(strncmp(fault->message, field, strlen(field)), 0);
}
