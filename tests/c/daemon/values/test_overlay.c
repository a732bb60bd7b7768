/* values/overlay: what a partial spec has replaces what lies below it. */
#include "support/daemon_help.h"

#include "support/failing.h"
#include "values/overlay.h"

struct spec {
    cwsd_pb_partial_spec spec;
    cwsd_pb_partial_container container, *containers[1];
    cwsd_pb_network network;
    char *tags[2];
};

static cwsd_pb_partial_spec *fill(struct spec *into, const char *image, const char *tag)
{
    coreweave__sandbox__v1__partial_sandbox_spec__init(&into->spec);
    coreweave__sandbox__v1__partial_container__init(&into->container);
    coreweave__sandbox__v1__network_options__init(&into->network);
    into->container.image = (char *)image;
    into->containers[0] = &into->container;
    into->spec.containers = into->containers;
    into->spec.n_containers = image ? 1 : 0;
    into->tags[0] = into->tags[1] = (char *)tag;
    into->spec.tags = into->tags;
    into->spec.n_tags = tag ? 2 : 0;
    return &into->spec;
}

static cwsd_pb_spec *overlay(const cwsd_pb_partial_spec *lower, const cwsd_pb_partial_spec *upper)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    cwsd_pb_spec *spec = cwsd_overlay_spec(lower, upper, &fault);
    if (!spec)
        fail_msg("%s", fault.message);
    return spec;
}

static void nothing_over_it(void **state)
{
    (void)state;
    struct spec lower, upper;
    fill(&lower, "image", "tag");
    lower.spec.max_lifetime_seconds = 7;
    const cwsd_pb_partial_spec *const uppers[] = {NULL, fill(&upper, NULL, NULL)};
    for (size_t i = 0; i < CWS_ARRAY_LEN(uppers); i++) {
        cwsd_pb_spec *spec = overlay(&lower.spec, uppers[i]);
        assert_string_equal(spec->containers[0]->image, "image");
        assert_int_equal(spec->n_tags, 2);
        assert_int_equal(spec->max_lifetime_seconds, 7);
        assert_null(spec->network);
        cwsd_wire_free(spec);
    }
}

static void field_by_field(void **state)
{
    (void)state;
    struct spec lower, upper;
    fill(&lower, "lower", "low");
    fill(&upper, "upper", NULL);
    lower.spec.max_lifetime_seconds = 7;
    lower.spec.runtime_class = (char *)"r";
    lower.network._deny_egress_case =
        COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS___DENY_EGRESS_DENY_EGRESS;
    lower.network.deny_egress = true;
    lower.spec.network = &lower.network;
    upper.spec.max_lifetime_seconds = 300; /* two bytes of number */
    upper.spec.network = &upper.network;   /* empty, but there */
    lower.container.command = (char *)"gone";
    cwsd_pb_spec *spec = overlay(&lower.spec, &upper.spec);
    assert_int_equal(spec->n_containers, 1);
    assert_string_equal(spec->containers[0]->image, "upper");
    assert_string_equal(spec->containers[0]->command, "");
    assert_int_equal(spec->n_tags, 2);
    assert_string_equal(spec->tags[1], "low");
    assert_int_equal(spec->max_lifetime_seconds, 300);
    assert_string_equal(spec->runtime_class, "r");
    assert_non_null(spec->network);
    assert_int_equal(spec->network->_deny_egress_case, 0);
    cwsd_wire_free(spec);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct spec lower, upper;
    fill(&lower, "lower", "low");
    fill(&upper, "upper", NULL);
    for (size_t n = 1;; n++) {
        struct cwsd_fault fault = {.code = CWS_GRPC_OK};
        cws_alloc_fail_at(n);
        cwsd_pb_spec *spec = cwsd_overlay_spec(&lower.spec, &upper.spec, &fault);
        bool more = failing_was_reached(n);
        assert_true(spec || fault.code == CWS_GRPC_RESOURCE_EXHAUSTED);
        cwsd_wire_free(spec);
        if (!more)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {CWSD_TEST(nothing_over_it), CWSD_TEST(field_by_field),
                                       CWSD_TEST(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
