/* sandbox/input: its owner need not be a command. The one here has what it types sent back to it,
 * by messages of its own kind. */
#include "support/exec_peer.h"

/* What it types comes back: an output and an input of a call that is no exec. */
struct typist {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_output output;
    struct cws_input input;
    struct cws_call *call;
    unsigned messages;
    bool failed;
};

static void typist_unref(struct typist *typist)
{
    if (!cws_ref_put(&typist->ref))
        return;
    cws_output_done(&typist->output);
    cws_input_done(&typist->input);
    cws_future_done(&typist->future);
    cws_free(typist);
}

static void typist_hold(struct cws_input *input)
{
    cws_ref_get(&cws_container_of(input, struct typist, input)->ref);
}

static void typist_drop(struct cws_input *input)
{
    typist_unref(cws_container_of(input, struct typist, input));
}

static struct cws_block *typist_message(const uint8_t *data, size_t len)
{
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    if (block)
        memcpy(block->data + CWS_FRAME_PREFIX, data, len);
    return block;
}

static struct cws_block *typist_end(void)
{
    return typist_message((const uint8_t *)"bye", 3);
}

static const struct cws_input_kind typist_kind = {typist_hold, typist_drop, 4, typist_message,
                                                  typist_end};

static void typist_hears(void *ctx, const uint8_t *data, size_t len)
{
    struct typist *typist = ctx;
    typist->messages++;
    assert_int_equal(cws_output_append(&typist->output, data, len), CWS_OK);
}

static void typist_ends(void *ctx, struct cws_grpc_status *status)
{
    struct typist *typist = ctx;
    typist->failed = status->code != CWS_GRPC_OK;
    cws_input_end(&typist->input, typist->failed, &typist->future);
    cws_output_end(&typist->output);
    typist_unref(typist); /* the call's */
}

static const struct cws_call_events typist_events = {.on_message = typist_hears,
                                                     .on_status = typist_ends};

static void assert_write(struct cws_write *write, enum cws_status how)
{
    assert_true(write_is_done(write));
    assert_int_equal(write->how, how);
    cws_write_unref(write);
}

static struct typist *typist_start(struct client_bed *bed, const char *path)
{
    const struct cws_call_options options = {.path = path, .deadline_ns = CWS_NO_DEADLINE};
    struct typist *typist = cws_calloc(1, sizeof(*typist));
    assert_non_null(typist);
    cws_ref_init(&typist->ref);
    cws_ref_get(&typist->ref); /* the call's */
    cws_future_init(&typist->future);
    cws_output_init(&typist->output);
    cws_input_init(&typist->input, &typist_kind, bed->loop);
    typist->call = cws_call_start(bed->channel, &options, &typist_events, typist);
    assert_non_null(typist->call);
    return typist;
}

static struct cws_write *typist_write(struct typist *typist, const char *text)
{
    struct cws_write *write = NULL;
    assert_int_equal(cws_input_write(&typist->input, (const uint8_t *)text, strlen(text), &write),
                     CWS_OK);
    return write;
}

static void test_the_input_of_another_call(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct typist *typist = typist_start(bed, ECHO_PATH);
    struct cws_write *early = typist_write(typist, "to be, or"), *end = NULL;
    settle(bed->loop);
    assert_false(write_is_done(early)); /* its owner is not ready */
    cws_input_open(&typist->input, typist->call);
    struct cws_write *later = typist_write(typist, " not");
    assert_int_equal(cws_input_close(&typist->input, &end), CWS_OK);
    WAIT_FOR(bed->loop, cws_future_is_done(&typist->future));
    assert_false(typist->failed);
    assert_int_equal(typist->messages, 5); /* "to b", "e, o", "r", " not", "bye" */
    assert_output(&typist->output, "to be, or notbye");
    assert_write(early, CWS_OK);
    assert_write(later, CWS_OK);
    assert_write(end, CWS_OK);
    typist_unref(typist);
    client_bed_close(bed);
}

static void test_another_call_is_lost(void **state)
{
    struct client_bed *bed = *state;
    struct cws_write *end = NULL, *none = NULL;
    client_bed_open(bed, NULL);
    struct typist *typist = typist_start(bed, HOLD_PATH);
    struct cws_write *write = typist_write(typist, "lost");
    assert_int_equal(cws_input_close(&typist->input, &end), CWS_OK);
    served_finish(wait_served(bed, 0), CWS_GRPC_UNAVAILABLE, "gone"); /* before it was ready */
    WAIT_FOR(bed->loop, cws_future_is_done(&typist->future));
    assert_true(typist->failed);
    assert_write(write, CWS_CLOSED);
    assert_write(end, CWS_CLOSED);
    assert_int_equal(cws_input_write(&typist->input, (const uint8_t *)"x", 1, &none),
                     CWS_CANCELLED);
    typist_unref(typist);
    client_bed_close(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(struct client_bed, test_the_input_of_another_call),
        TEST_WITH(struct client_bed, test_another_call_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
