/* cwsandboxd/view: every state as clients see it, and what a sandbox was given. More:
 * test_registry.c. */
#include "support/unit.h"

#include "service/view.h"
#include "support/daemon_help.h"
#include "values/bounds.h"

struct subject {
    struct cwsd_record record;
    cwsd_pb_spec spec;
    cwsd_pb_container container;
    cwsd_pb_container *containers[1];
    cwsd_pb_resources limits;
    cwsd_pb_requirements requirements;
    struct cwsd_view view;
};

static void make(struct subject *subject)
{
    plain_spec(&subject->spec, &subject->container, subject->containers);
    cwsd_record_init(&subject->record, (struct timespec){100, 1});
    subject->record.spec = &subject->spec;
    subject->record.display_name = (char *)"my box";
}

/* The message as a client gets it, to be given to cwsd_wire_free. */
static cwsd_pb_sandbox *seen(struct subject *subject)
{
    cwsd_view_init(&subject->view, &subject->record, "runner-1");
    return copy_of(&subject->view.sandbox);
}

static void test_timestamps(void **state)
{
    (void)state;
    static const struct timespec times[] = {{0, 0}, {1, 999999999}, {253402300799, 1}, {-1, 5}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(times); i++) {
        cwsd_pb_timestamp timestamp = cwsd_view_timestamp(times[i]);
        assert_true(timestamp.seconds == times[i].tv_sec);
        assert_int_equal(timestamp.nanos, times[i].tv_nsec);
        assert_true(protobuf_c_message_check(&timestamp.base));
    }
}

static void test_names(void **state)
{
    (void)state;
    struct subject subject;
    make(&subject);
    cwsd_pb_sandbox *sandbox = seen(&subject);
    assert_string_equal(sandbox->sandbox_id, subject.record.id);
    assert_string_equal(sandbox->display_name, "my box");
    assert_string_equal(sandbox->status->runner_id, "runner-1");
    assert_string_equal(sandbox->status->runner_group_id, "local");
    assert_int_equal(sandbox->control, COREWEAVE__SANDBOX__V1__CONTROL__CONTROL_PLATFORM);
    assert_string_equal(sandbox->spec->containers[0]->image, "python:3.11");
    cwsd_wire_free(sandbox);
}

/* The container is in the state of its sandbox; an exit code is there only once there is one. */
static void test_a_life(void **state)
{
    (void)state;
    static const int states[] = {CWSD_STATE(CREATING), CWSD_STATE(RUNNING), CWSD_STATE(TERMINATING),
                                 CWSD_STATE(FAILED)};
    struct subject subject;
    make(&subject);
    for (size_t i = 0; i < CWS_ARRAY_LEN(states); i++) {
        if (i == 1)
            cwsd_record_running(&subject.record, (struct timespec){200, 2});
        else if (i == 2)
            cwsd_record_exited(&subject.record, 3);
        else if (i == 3)
            cwsd_record_gone(&subject.record, NULL, (struct timespec){300, 3});
        cwsd_pb_sandbox *sandbox = seen(&subject);
        const cwsd_pb_status *status = sandbox->status;
        assert_int_equal(status->state, states[i]);
        assert_int_equal(status->n_container_statuses, 1);
        assert_int_equal(status->container_statuses[0]->state, states[i]);
        assert_int_equal(status->_exit_code_case != 0, i >= 2);
        assert_int_equal(status->exit_code, i >= 2 ? 3 : 0);
        assert_int_equal(status->container_statuses[0]->exit_code, i >= 2 ? 3 : 0);
        assert_int_equal(status->start_time ? status->start_time->seconds : 0, i >= 1 ? 200 : 0);
        assert_int_equal(status->end_time ? status->end_time->seconds : 0, i >= 3 ? 300 : 0);
        assert_string_equal(status->state_reason,
                            i >= 3 ? "the main command ended with exit code 3" : "");
        cwsd_wire_free(sandbox);
    }
}

static void test_what_it_was_given(void **state)
{
    (void)state;
    struct subject subject;
    make(&subject);
    cwsd_pb_sandbox *sandbox = seen(&subject);
    assert_int_equal(sandbox->status->effective_max_lifetime_seconds, CWSD_DEFAULT_LIFETIME_S);
    assert_null(sandbox->status->effective_resources);
    assert_null(sandbox->status->effective_resource_requirements);
    cwsd_wire_free(sandbox);

    coreweave__sandbox__v1__resources__init(&subject.limits);
    coreweave__sandbox__v1__resource_requirements__init(&subject.requirements);
    subject.limits.cpu = (char *)"500m";
    subject.requirements.limits = &subject.limits;
    subject.container.resource_requirements = &subject.requirements;
    subject.container.name = (char *)"web";
    subject.spec.max_lifetime_seconds = 60;
    sandbox = seen(&subject);
    assert_int_equal(sandbox->status->effective_max_lifetime_seconds, 60);
    assert_null(sandbox->status->effective_resources);
    assert_string_equal(sandbox->status->effective_resource_requirements->limits->cpu, "500m");
    assert_string_equal(sandbox->status->container_statuses[0]->name, "web");
    cwsd_wire_free(sandbox);

    subject.container.resource_requirements = NULL;
    subject.container.resources = &subject.limits;
    sandbox = seen(&subject);
    assert_string_equal(sandbox->status->effective_resources->cpu, "500m");
    assert_null(sandbox->status->effective_resource_requirements);
    cwsd_wire_free(sandbox);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_timestamps),
    UNIT_TEST(test_names),
    UNIT_TEST(test_a_life),
    UNIT_TEST(test_what_it_was_given),
};

UNIT_MAIN(tests)
