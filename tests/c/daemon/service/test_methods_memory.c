/* service/methods: every method, and each of its allocations that fails in turn. The call ends with
 * an answer or a fault, nothing is lost, and the service goes on. What sandboxes do is played. */
#include "support/server_peer.h"

#include "service/calls.h"
#include "service/methods.h"
#include "store/schema.h"
#include "support/failing.h"
#include "support/own_folder.h"
#include "support/played_operations.h"

/* A macro in musl, a field of messages here. */
#undef stdin

#define MOST_TURNS 2000 /* of the loop, until a call has ended */

struct world {
    struct server_bed bed;
    struct cwsd_database *database;
    struct cwsd_claims claims;
    struct cwsd_pool *pool;
    struct cwsd_service service;
    struct cwsd_methods methods;
    char sandbox_id[CWSD_ID_SIZE]; /* one that runs */
};

/* How a call is made and carried on. */
struct method {
    const char *path;
    const void *request;
    void (*play)(struct world *w); /* what happens meanwhile; NULL: nothing */
    const char *code;              /* that its status may have instead of 0 */
    const void *const *more;       /* further messages of a stream, up to NULL; NULL: none */
};

static void on_empty(void *ctx)
{
    (void)ctx;
}

/* ---- sandboxes ------------------------------------------------------------------------------ */

static struct cwsd_box *newest_box(void)
{
    return cws_list_entry(boxes.prev, struct cwsd_box, node);
}

/* The oldest box that has not gone, but for the first sandbox's; NULL: none. */
static struct cwsd_box *next_box(bool (*wanted)(const struct cwsd_box *box))
{
    for (struct cws_list *node = boxes.next->next; node != &boxes; node = node->next) {
        struct cwsd_box *box = cws_list_entry(node, struct cwsd_box, node);
        if (!box->gone && wanted(box))
            return box;
    }
    return NULL;
}

static bool any(const struct cwsd_box *box)
{
    (void)box;
    return true;
}

static bool is_stopped(const struct cwsd_box *box)
{
    return box->stops > 0;
}

static bool is_new(const struct cwsd_box *box)
{
    return !box->started;
}

/* The box is freed with the last one of its sandbox. */
static void box_goes(struct world *w, struct cwsd_box *box)
{
    box->gone = true;
    box->events->on_gone(box->ctx, NULL);
    settle(w->bed.loop);
}

static void end_boxes(struct world *w)
{
    for (struct cwsd_box *box; (box = next_box(any)) != NULL;)
        box_goes(w, box);
    assert_ptr_equal(boxes.next, boxes.prev);
}

/* Also those that others wait for. Those that are stopped, since another has failed, go. */
static void start_boxes(struct world *w)
{
    for (struct cwsd_box *box; (box = next_box(is_new)) != NULL;) {
        box->started = true;
        if (!is_stopped(box))
            box->events->on_running(box->ctx);
        settle(w->bed.loop);
    }
    for (struct cwsd_box *box; (box = next_box(is_stopped)) != NULL;)
        box_goes(w, box);
}

static void make_sandbox(struct world *w)
{
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    plain_spec(&spec, &container, containers);
    sandbox.spec = &spec;
    request.sandbox = &sandbox;
    cwsd_pb_create_request *copy = copy_of(&request);
    struct cwsd_sandbox *made = cwsd_pool_create(w->pool, copy, &fault);
    cwsd_wire_free(copy);
    assert_non_null(made);
    strcpy(w->sandbox_id, made->record.id);
    newest_box()->events->on_running(newest_box()->ctx);
    settle(w->bed.loop);
}

/* ---- the world ------------------------------------------------------------------------------ */

static void open_pool(struct world *w)
{
    struct cws_error err;
    const struct cwsd_pool_options options = {.loop = w->bed.loop,
                                              .runner_id = "local-here",
                                              .max_sandboxes = 100,
                                              .log_dir = own_folder,
                                              .log_bytes = 1 << 16,
                                              .claims = &w->claims,
                                              .database = w->database,
                                              .on_empty = on_empty,
                                              .ctx = w};
    assert_int_equal(cwsd_database_open(NULL, &cwsd_schema, &w->database, &err), CWS_OK);
    if (cwsd_claims_open(&w->claims, own_folder, NULL, w->database, &err) != CWS_OK ||
        cwsd_pool_new(&options, &w->pool, &err) != CWS_OK)
        fail_msg("%s", err.text);
    w->service.pool = w->pool;
    w->service.database = w->database;
    w->service.claims = &w->claims;
    cws_allowance_init(&w->service.unsent_files, w->bed.loop, 1 << 20, 0, CWS_NS_PER_S);
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    strcpy(own_folder, "/tmp/cwsd-test-XXXXXX");
    assert_non_null(mkdtemp(own_folder));
    cws_list_init(&boxes);
    last_exec = NULL;
    last_file_op = NULL;
    w->bed.live = cws_alloc_live();
    w->bed.loop = loop_open();
    service_init(&w->bed.service);
    open_pool(w);
    assert_int_equal(cwsd_methods_init(&w->methods), CWS_OK);
    const struct cws_server_options options = {
        .methods = w->methods.entries, .method_count = w->methods.count, .ctx = &w->service};
    w->bed.server = cws_server_new(w->bed.loop, &options);
    assert_non_null(w->bed.server);
    bed_connect(&w->bed, &MEMORY_SHAPES[0]);
    make_sandbox(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command[100];
    cws_alloc_fail_at(0);
    cws_server_free(w->bed.server);
    settle(w->bed.loop);
    h2_side_done(&w->bed.client);
    end_boxes(w);
    box_goes(w, newest_box());
    cwsd_pool_free(w->pool);
    cwsd_claims_close(&w->claims);
    cwsd_database_close(w->database);
    cwsd_methods_done(&w->methods);
    service_done(&w->bed.service);
    loop_close(w->bed.loop);
    size_t before = w->bed.live, left = cws_alloc_live();
    test_free(w);
    snprintf(command, sizeof(command), "rm -rf %s", own_folder);
    if (left != before)
        print_error("%zu blocks before the test, %zu after it\n", before, left);
    return left != before || system(command);
}

#define METHODS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* ---- calls ---------------------------------------------------------------------------------- */

static void send_packed(struct h2_record *client, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    assert_non_null(block);
    cws_frame_prefix(block->data, len);
    protobuf_c_message_pack(message, block->data + CWS_FRAME_PREFIX);
    cws_h2_stream_send(client->stream, block);
}

/* The client's connection may have been what had no memory. */
static void reconnect(struct world *w)
{
    if (w->bed.client.conn && w->bed.client.closed == 0)
        return;
    h2_side_done(&w->bed.client);
    settle(w->bed.loop);
    bed_connect(&w->bed, &MEMORY_SHAPES[0]);
}

static bool has_status(const struct h2_record *client, const char *code)
{
    char field[40];
    snprintf(field, sizeof(field), "grpc-status=%s;", code);
    return strstr(client->fields, field) != NULL;
}

/* Makes the call with the n-th allocation failing (0: none). False: there is no n-th. */
static bool try_call(struct world *w, const struct method *method, size_t n)
{
    reconnect(w);
    struct h2_record *client = bed_request(&w->bed, method->path, NULL, NULL);
    send_packed(client, method->request);
    for (const void *const *more = method->more; more && *more; more++)
        send_packed(client, *more);
    cws_h2_stream_finish(client->stream);
    cws_alloc_fail_at(n);
    settle(w->bed.loop);
    if (method->play)
        method->play(w);
    for (int turn = 0; !client->closes; turn++) {
        if (turn == MOST_TURNS)
            fail_msg("%s with allocation %zu failing does not end", method->path, n);
        pump(w->bed.loop);
    }
    bool more = n > 0 && failing_was_reached(n);
    bool good = has_status(client, "0") || (method->code && has_status(client, method->code));
    bool refused = has_status(client, "8") || client->lost[0] || client->end.code;
    if (!good && !(more && refused))
        fail_msg("%s with allocation %zu failing: '%s'", method->path, n, client->fields);
    settle(w->bed.loop);
    end_boxes(w);
    return more;
}

static void sweep(struct world *w, const struct method *method)
{
    for (size_t n = 1; try_call(w, method, n); n++)
        ;
    try_call(w, method, 0);
    assert_null(last_exec);
    assert_null(last_file_op);
}

/* The id of what a method has made last. */
static const char *newest_resource(struct world *w)
{
    static char id[64];
    struct cwsd_statement statement = {0};
    struct cws_error err;
    bool found;
    assert_int_equal(cwsd_statement_init(&statement, w->database,
                                         "SELECT id FROM resources ORDER BY number DESC LIMIT 1",
                                         &err),
                     CWS_OK);
    assert_int_equal(cwsd_statement_step(&statement, &found, &err), CWS_OK);
    assert_true(found);
    snprintf(id, sizeof(id), "%s", cwsd_statement_text(&statement, 0));
    cwsd_statement_done(&statement);
    return id;
}

/* ---- sandboxes ------------------------------------------------------------------------------ */

static void creating(void **state)
{
    struct world *w = *state;
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    char *tags[] = {(char *)"one", (char *)"two"};
    plain_spec(&spec, &container, containers);
    spec.tags = tags;
    spec.n_tags = 2;
    sandbox.spec = &spec;
    request.sandbox = &sandbox;
    const struct method method = {CWSD_SANDBOX_SERVICE "CreateSandbox", &request, start_boxes, NULL,
                                  NULL};
    sweep(w, &method);
}

static void from_a_file(void **state)
{
    struct world *w = *state;
    static const char text[] =
        "services:\n  web:\n    image: python:3.11\n    command: [sleep, '9']\n"
        "  db:\n    image: python:3.11\n    environment: {A: b}\n";
    Coreweave__Sandbox__V1__CreateSandboxFromFileRequest request =
        COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_FROM_FILE_REQUEST__INIT;
    request.type = COREWEAVE__SANDBOX__V1__SANDBOX_FILE_TYPE__SANDBOX_FILE_TYPE_COMPOSE;
    request.contents = (ProtobufCBinaryData){sizeof(text) - 1, (uint8_t *)text};
    request.primary_service = (char *)"web";
    const struct method method = {CWSD_SANDBOX_SERVICE "CreateSandboxFromFile", &request,
                                  start_boxes, NULL, NULL};
    sweep(w, &method);
}

static void looking_and_deleting(void **state)
{
    struct world *w = *state;
    cwsd_pb_get_request get = COREWEAVE__SANDBOX__V1__GET_SANDBOX_REQUEST__INIT;
    cwsd_pb_list_request list = COREWEAVE__SANDBOX__V1__LIST_SANDBOXES_REQUEST__INIT;
    cwsd_pb_delete_request delete = COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_REQUEST__INIT;
    get.sandbox_id = delete.sandbox_id = w->sandbox_id;
    const struct method methods[] = {
        {CWSD_SANDBOX_SERVICE "GetSandbox", &get, NULL, NULL, NULL},
        {CWSD_SANDBOX_SERVICE "ListSandboxes", &list, NULL, NULL, NULL},
        {CWSD_SANDBOX_SERVICE "DeleteSandbox", &delete, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(methods); i++)
        sweep(w, &methods[i]);
}

/* ---- commands ------------------------------------------------------------------------------- */

#define PLAY(w, event, ...) \
    do { \
        if (last_exec) \
            last_exec->events->event(last_exec->ctx, ##__VA_ARGS__); \
        settle((w)->bed.loop); \
    } while (0)

static void play_command(struct world *w)
{
    static const uint8_t out[2000] = "some output";
    PLAY(w, on_started);
    PLAY(w, on_output, false, out, sizeof(out));
    PLAY(w, on_output, true, out, 7);
    PLAY(w, on_exited, 3);
}

static void commands(void **state)
{
    struct world *w = *state;
    cwsd_pb_exec_request exec = COREWEAVE__SANDBOX__V1__EXEC_REQUEST__INIT;
    cwsd_pb_stream_request stream = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__INIT;
    cwsd_pb_stream_init init = COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__INIT;
    char *command[] = {(char *)"echo", (char *)"hello"};
    exec.sandbox_id = init.sandbox_id = w->sandbox_id;
    exec.command = init.command = command;
    exec.n_command = init.n_command = 2;
    exec.cwd = init.cwd = (char *)"/tmp";
    stream.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_INIT;
    stream.init = &init;
    const struct method methods[] = {
        {CWSD_SANDBOX_SERVICE "Exec", &exec, play_command, NULL, NULL},
        {CWSD_SANDBOX_SERVICE "StreamExec", &stream, play_command, NULL, NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(methods); i++)
        sweep(w, &methods[i]);
}

/* What is sent before the command runs, and the end of it. */
static void input(void **state)
{
    struct world *w = *state;
    cwsd_pb_stream_request messages[4];
    cwsd_pb_stream_init init = COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__INIT;
    cwsd_pb_stream_resize resize = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESIZE__INIT;
    Coreweave__Sandbox__V1__ExecStreamClose close = COREWEAVE__SANDBOX__V1__EXEC_STREAM_CLOSE__INIT;
    const void *const more[] = {&messages[1], &messages[2], &messages[3], NULL};
    char *command[] = {(char *)"cat"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(messages); i++)
        coreweave__sandbox__v1__exec_stream_request__init(&messages[i]);
    init.sandbox_id = w->sandbox_id;
    init.command = command;
    init.n_command = 1;
    init.tty = true;
    init.tty_width = 80;
    init.tty_height = 25;
    messages[0].message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_INIT;
    messages[0].init = &init;
    messages[1].message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_STDIN;
    messages[1].stdin = (ProtobufCBinaryData){5, (uint8_t *)"hello"};
    resize.width = 100;
    resize.height = 30;
    messages[2].message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_RESIZE;
    messages[2].resize = &resize;
    messages[3].message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_CLOSE;
    messages[3].close = &close;
    const struct method method = {.path = CWSD_SANDBOX_SERVICE "StreamExec",
                                  .request = &messages[0],
                                  .play = play_command,
                                  .more = more};
    sweep(w, &method);
}

static void logs(void **state)
{
    struct world *w = *state;
    cwsd_pb_logs_request request = COREWEAVE__SANDBOX__V1__STREAM_LOGS_REQUEST__INIT;
    request.sandbox_id = w->sandbox_id;
    const struct method method = {CWSD_SANDBOX_SERVICE "StreamLogs", &request, NULL, NULL, NULL};
    sweep(w, &method);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void play_read(struct world *w)
{
    if (last_file_op)
        last_file_op->events->on_need(last_file_op->ctx, 5);
    settle(w->bed.loop);
    if (!last_file_op)
        return;
    assert_true(last_file_op->room >= 5);
    memcpy(last_file_op->memory, "hello", 5);
    last_file_op->events->on_done(last_file_op->ctx, 5);
}

static void play_write(struct world *w)
{
    (void)w;
    if (last_file_op)
        last_file_op->events->on_done(last_file_op->ctx, 0);
}

static void files(void **state)
{
    struct world *w = *state;
    cwsd_pb_read_file_request read = COREWEAVE__SANDBOX__V1__READ_FILE_REQUEST__INIT;
    cwsd_pb_write_file_request write = COREWEAVE__SANDBOX__V1__WRITE_FILE_REQUEST__INIT;
    read.sandbox_id = write.sandbox_id = w->sandbox_id;
    read.path = write.path = (char *)"/tmp/file";
    write.content = (ProtobufCBinaryData){5, (uint8_t *)"hello"};
    const struct method methods[] = {
        {CWSD_SANDBOX_SERVICE "ReadFile", &read, play_read, NULL, NULL},
        {CWSD_SANDBOX_SERVICE "WriteFile", &write, play_write, NULL, NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(methods); i++)
        sweep(w, &methods[i]);
}

/* ---- templates and volumes ------------------------------------------------------------------ */

static void templates(void **state)
{
    struct world *w = *state;
    cwsd_pb_template template = COREWEAVE__SANDBOX__V1__SANDBOX_TEMPLATE__INIT;
    cwsd_pb_partial_spec spec = COREWEAVE__SANDBOX__V1__PARTIAL_SANDBOX_SPEC__INIT;
    cwsd_pb_partial_container container = COREWEAVE__SANDBOX__V1__PARTIAL_CONTAINER__INIT;
    cwsd_pb_partial_container *containers[] = {&container};
    cwsd_pb_template_create_request create =
        COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_TEMPLATE_REQUEST__INIT;
    cwsd_pb_template_get_request get = COREWEAVE__SANDBOX__V1__GET_SANDBOX_TEMPLATE_REQUEST__INIT;
    cwsd_pb_template_list_request list =
        COREWEAVE__SANDBOX__V1__LIST_SANDBOX_TEMPLATES_REQUEST__INIT;
    cwsd_pb_template_delete_request delete =
        COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_TEMPLATE_REQUEST__INIT;
    cwsd_pb_from_template_request from =
        COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_FROM_TEMPLATE_REQUEST__INIT;
    container.name = (char *)"main";
    container.image = (char *)"python:3.11";
    spec.containers = containers;
    spec.n_containers = 1;
    template.spec = &spec;
    create.sandbox_template = &template;
    const struct method create_it = {CWSD_TEMPLATE_SERVICE "CreateSandboxTemplate", &create, NULL,
                                     NULL, NULL};
    sweep(w, &create_it);
    get.sandbox_template_id = from.template_id = delete.sandbox_template_id =
        (char *)newest_resource(w);
    const struct method methods[] = {
        {CWSD_TEMPLATE_SERVICE "GetSandboxTemplate", &get, NULL, NULL, NULL},
        {CWSD_TEMPLATE_SERVICE "ListSandboxTemplates", &list, NULL, NULL, NULL},
        {CWSD_SANDBOX_SERVICE "CreateSandboxFromTemplate", &from, start_boxes, NULL, NULL},
        {CWSD_TEMPLATE_SERVICE "DeleteSandboxTemplate", &delete, NULL, "5", NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(methods); i++)
        sweep(w, &methods[i]);
}

static void volumes(void **state)
{
    struct world *w = *state;
    cwsd_pb_registered volume = COREWEAVE__SANDBOX__V1__VOLUME__INIT;
    cwsd_pb_registered_spec spec = COREWEAVE__SANDBOX__V1__VOLUME_SPEC__INIT;
    cwsd_pb_claim claim = COREWEAVE__SANDBOX__V1__PVC_VOLUME_SOURCE__INIT;
    cwsd_pb_volume_create_request create = COREWEAVE__SANDBOX__V1__CREATE_VOLUME_REQUEST__INIT;
    cwsd_pb_volume_get_request get = COREWEAVE__SANDBOX__V1__GET_VOLUME_REQUEST__INIT;
    cwsd_pb_volume_list_request list = COREWEAVE__SANDBOX__V1__LIST_VOLUMES_REQUEST__INIT;
    cwsd_pb_volume_validate_request validate =
        COREWEAVE__SANDBOX__V1__VALIDATE_VOLUME_REQUEST__INIT;
    cwsd_pb_volume_delete_request delete = COREWEAVE__SANDBOX__V1__DELETE_VOLUME_REQUEST__INIT;
    claim.runner_id = (char *)"local-here";
    claim.namespace_ = (char *)"a";
    claim.claim_name = (char *)"mine";
    spec.source_case = COREWEAVE__SANDBOX__V1__VOLUME_SPEC__SOURCE_PVC;
    spec.pvc = &claim;
    volume.volume_id = (char *)"vol-1"; /* it is there already if only the answer has failed */
    volume.spec = &spec;
    create.volume = &volume;
    const struct method create_it = {CWSD_VOLUME_SERVICE "CreateVolume", &create, NULL, "6", NULL};
    sweep(w, &create_it);
    get.volume_id = validate.volume_id = delete.volume_id = volume.volume_id;
    delete.allow_missing = true;
    const struct method methods[] = {
        {CWSD_VOLUME_SERVICE "GetVolume", &get, NULL, NULL, NULL},
        {CWSD_VOLUME_SERVICE "ListVolumes", &list, NULL, NULL, NULL},
        {CWSD_VOLUME_SERVICE "ValidateVolume", &validate, NULL, NULL, NULL},
        {CWSD_VOLUME_SERVICE "DeleteVolume", &delete, NULL, "5", NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(methods); i++)
        sweep(w, &methods[i]);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void what_is_not_offered(void **state)
{
    struct world *w = *state;
    cwsd_pb_list_snapshots_request snapshots =
        COREWEAVE__SANDBOX__V1__LIST_FILE_SYSTEM_SNAPSHOTS_REQUEST__INIT;
    Coreweave__Sandbox__V1__PurgeSandboxesRequest purge =
        COREWEAVE__SANDBOX__V1__PURGE_SANDBOXES_REQUEST__INIT;
    cwsd_pb_connect_request connect = COREWEAVE__SANDBOX__V1__CONNECT_SANDBOX_REQUEST__INIT;
    cwsd_pb_runners_request runners = COREWEAVE__SANDBOX__V1__LIST_AVAILABLE_RUNNERS_REQUEST__INIT;
    connect.sandbox_id = w->sandbox_id;
    const struct method methods[] = {
        {CWSD_SANDBOX_SERVICE "ListFileSystemSnapshots", &snapshots, NULL, "12", NULL},
        {CWSD_SANDBOX_SERVICE "PurgeSandboxes", &purge, NULL, "12", NULL},
        {CWSD_SANDBOX_SERVICE "ConnectSandbox", &connect, NULL, "12", NULL},
        {CWSD_DISCOVERY_SERVICE "ListAvailableRunners", &runners, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(methods); i++)
        sweep(w, &methods[i]);
}

static void the_table_itself(void **state)
{
    (void)state;
    const size_t before = cws_alloc_live();
    for (size_t n = 1, more = true; more; n++) {
        struct cwsd_methods methods;
        cws_alloc_fail_at(n);
        enum cws_status status =
            n % 2 ? cwsd_methods_init(&methods) : cwsd_methods_init_direct(&methods);
        more = failing_was_reached(n);
        assert_int_equal(status == CWS_OK, !more);
        if (status != CWS_OK)
            assert_int_equal(cws_alloc_live(), before);
        cwsd_methods_done(&methods);
        assert_int_equal(cws_alloc_live(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        METHODS_TEST(creating),
        METHODS_TEST(from_a_file),
        METHODS_TEST(looking_and_deleting),
        METHODS_TEST(commands),
        METHODS_TEST(input),
        METHODS_TEST(logs),
        METHODS_TEST(files),
        METHODS_TEST(templates),
        METHODS_TEST(volumes),
        METHODS_TEST(what_is_not_offered),
        METHODS_TEST(the_table_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
