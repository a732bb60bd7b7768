/* cwsandboxd/unary: what the rows have in common, on a server with rows of this test's own. */
#include "support/server_peer.h"

#include "service/calls.h"
#include "service/methods.h"

#define PATH "/coreweave.sandbox.v1.SandboxService/GetSandbox"

static struct {
    unsigned handled, closed;
    struct cwsd_unary *open;
} seen;

struct held {
    struct cwsd_unary unary;
    unsigned zeroes[16];
};

static bool answer(struct cwsd_unary *unary, const char *id)
{
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    sandbox.sandbox_id = (char *)id;
    return cwsd_unary_answer(unary, &sandbox);
}

static bool handle_at_once(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_get_request *request = message;
    seen.handled++;
    if (strcmp(request->sandbox_id, "bad") == 0)
        return cwsd_fault_set_invalid(fault, "sandbox_id", "is bad");
    return answer(unary, request->sandbox_id);
}

static bool hold(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    struct held *held = cws_container_of(unary, struct held, unary);
    (void)message, (void)fault;
    for (size_t i = 0; i < CWS_ARRAY_LEN(held->zeroes); i++)
        assert_int_equal(held->zeroes[i]++, 0);
    seen.handled++;
    seen.open = unary;
    return true;
}

static void on_closed(struct cwsd_unary *unary)
{
    seen.closed++;
    if (unary == seen.open)
        seen.open = NULL;
}

static const struct cwsd_unary_row at_once = {
    .path = PATH, .handle = handle_at_once, .closed = on_closed};
static const struct cwsd_unary_row later = {
    .path = PATH, .handle = hold, .size = sizeof(struct held), .closed = on_closed};

/* ---- the server ----------------------------------------------------------------------------- */

struct row_bed {
    struct server_bed bed;
    struct cwsd_service service;
    struct cwsd_unary_method method;
    struct cws_server_method methods[1];
};

static void open_row(struct row_bed *rows, const struct cwsd_unary_row *row, const char *token)
{
    struct server_bed *bed = &rows->bed;
    memset(&seen, 0, sizeof(seen));
    memset(rows, 0, sizeof(*rows));
    bed->live = cws_alloc_live();
    bed->loop = loop_open();
    service_init(&bed->service);
    rows->service.token = token;
    rows->method.row = row;
    rows->method.types = protobuf_c_service_descriptor_get_method_by_name(
        &coreweave__sandbox__v1__sandbox_service__descriptor, "GetSandbox");
    rows->methods[0] = cwsd_unary_server_method(&rows->method);
    rows->methods[0].path = PATH;
    const struct cws_server_options options = {.admit = token ? cwsd_service_admit : NULL,
                                               .methods = rows->methods,
                                               .method_count = 1,
                                               .ctx = &rows->service};
    bed->server = cws_server_new(bed->loop, &options);
    assert_non_null(bed->server);
    bed_connect(bed, &MEMORY_SHAPES[0]);
}

static struct h2_record *ask(struct row_bed *rows)
{
    return bed_request(&rows->bed, PATH, NULL, NULL);
}

static void send_id(struct h2_record *client, const char *id)
{
    uint8_t packed[128];
    cwsd_pb_get_request request = COREWEAVE__SANDBOX__V1__GET_SANDBOX_REQUEST__INIT;
    request.sandbox_id = (char *)id;
    size_t len =
        coreweave__sandbox__v1__get_sandbox_request__pack(&request, packed + CWS_FRAME_PREFIX);
    cws_frame_prefix(packed, len);
    send_bytes(client, packed, CWS_FRAME_PREFIX + len);
}

/* ---- at once -------------------------------------------------------------------------------- */

static void a_request_is_answered(void **state)
{
    struct row_bed *rows = *state;
    open_row(rows, &at_once, NULL);
    struct h2_record *client = ask(rows);
    send_id(client, "sb-1");
    send_id(client, "bad"); /* one too many: changes nothing */
    cws_h2_stream_finish(client->stream);
    RUN_UNTIL(rows->bed.loop, client->closes);
    assert_says(client, "grpc-status=0;");
    assert_int_equal(client->data_len, CWS_FRAME_PREFIX + 2 + strlen("sb-1"));
    assert_int_equal(seen.handled, 1);
    assert_int_equal(seen.closed, 1);
    bed_close(&rows->bed);
}

static void a_fault_ends_the_call(void **state)
{
    struct row_bed *rows = *state;
    open_row(rows, &at_once, NULL);
    struct h2_record *client = ask(rows);
    send_id(client, "bad");
    RUN_UNTIL(rows->bed.loop, client->closes);
    assert_says(client, "grpc-status=3;");
    assert_says(client, "sandbox_id: is bad");
    assert_says(client, "grpc-status-details-bin=");
    assert_int_equal(seen.closed, 1);
    bed_close(&rows->bed);
}

static void what_never_reaches_the_handler(void **state)
{
    struct row_bed *rows = *state;
    static const struct {
        const char *bytes, *token, *status;
        size_t len;
    } cases[] = {
        {"", NULL, "grpc-status=3;", 0},                         /* no request at all */
        {"\0\0\0\0\2\xff\xff", NULL, "grpc-status=3;", 7},       /* it cannot be parsed */
        {"\0\0\0\0\4\x0a\2\xff\xfe", NULL, "grpc-status=3;", 9}, /* an id that is not UTF-8 */
        {"\0\0\0\0\0", "a-secret-token", "grpc-status=16;", 5},  /* without the token */
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        open_row(rows, &at_once, cases[i].token);
        struct h2_record *client = ask(rows);
        if (cases[i].len)
            send_bytes(client, cases[i].bytes, cases[i].len);
        cws_h2_stream_finish(client->stream);
        RUN_UNTIL(rows->bed.loop, client->closes);
        assert_says(client, cases[i].status);
        assert_int_equal(seen.handled, 0);
        bed_close(&rows->bed);
    }
}

/* ---- later ---------------------------------------------------------------------------------- */

static void an_answer_may_come_later(void **state)
{
    struct row_bed *rows = *state;
    for (int fails = 0; fails < 2; fails++) {
        open_row(rows, &later, NULL);
        struct h2_record *client = ask(rows);
        send_id(client, "sb-1");
        cws_h2_stream_finish(client->stream);
        RUN_UNTIL(rows->bed.loop, seen.open);
        settle(rows->bed.loop);
        assert_int_equal(client->closes, 0);
        struct cwsd_fault fault;
        cwsd_fault_set_memory(&fault);
        if (fails)
            cwsd_unary_fail(seen.open, &fault);
        else
            answer(seen.open, "sb-2");
        RUN_UNTIL(rows->bed.loop, client->closes);
        assert_says(client, fails ? "grpc-status=8;" : "grpc-status=0;");
        assert_int_equal(seen.closed, 1);
        bed_close(&rows->bed);
    }
}

static void a_client_that_leaves_is_heard_of(void **state)
{
    struct row_bed *rows = *state;
    open_row(rows, &later, NULL);
    struct h2_record *client = ask(rows);
    send_id(client, "sb-1");
    RUN_UNTIL(rows->bed.loop, seen.open);
    client->is_reset = true;
    cws_h2_stream_reset(client->stream, CWS_H2_CANCEL);
    client->stream = NULL;
    RUN_UNTIL(rows->bed.loop, seen.closed);
    assert_null(seen.open);
    bed_close(&rows->bed);
}

/* ---- the daemon's tables -------------------------------------------------------------------- */

static void every_row_is_a_method_of_the_service(void **state)
{
    (void)state;
    static const struct cwsd_unary_row *const tables[] = {
        cwsd_create_rows,    cwsd_exec_rows,    cwsd_file_rows,     cwsd_lifecycle_rows,
        cwsd_discovery_rows, cwsd_connect_rows, cwsd_settings_rows, cwsd_snapshot_rows,
        cwsd_template_rows,  cwsd_volume_rows};
    struct cwsd_methods all;
    size_t rows = 0, methods = 0;
    assert_int_equal(cwsd_methods_init(&all), CWS_OK);
    for (size_t i = 0; i < CWS_ARRAY_LEN(tables); i++)
        for (const struct cwsd_unary_row *row = tables[i]; row->path; row++)
            rows++;
    for (size_t i = 0; i < all.count; i++)
        methods += all.unary[i].row != NULL;
    assert_int_equal(methods, rows);
    cwsd_methods_done(&all);
}

static int setup(void **state)
{
    static struct row_bed rows;
    *state = &rows;
    return 0;
}

#define ROW_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW_TEST(a_request_is_answered),
        ROW_TEST(a_fault_ends_the_call),
        ROW_TEST(what_never_reaches_the_handler),
        ROW_TEST(an_answer_may_come_later),
        ROW_TEST(a_client_that_leaves_is_heard_of),
        ROW_TEST(every_row_is_a_method_of_the_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
