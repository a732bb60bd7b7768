/* For the tests of commands: a StreamExec that does what the test tells it, and a sandbox whose
 * execs go there. */
#pragma once

#include "proto/generated/sandbox.pb-c.h"
#include "proto/unpack.h"
#include "sandbox/exec.h"
#include "sandbox/exec_wire.h"
#include "sandbox/sandbox.h"
#include "support/client_peer.h"

#define SANDBOX_ID "sb-1"

struct exec_bed;

/* One command on the server. */
struct remote {
    struct cws_list node;
    struct exec_bed *bed;
    struct cws_server_call *call; /* NULL once closed */
    char id[32];
    char argv[256]; /* "arg|arg|" */
    char container[32];
    char sizes[256];    /* of its terminal: "80x24@0|", with the bytes of input before it */
    size_t resizes;     /* how many of them came after init */
    bool began;         /* init has come */
    size_t input;       /* bytes of standard input */
    size_t largest;     /* in one message */
    bool input_differs; /* from the pattern */
    bool closed_input;  /* the close message has come */
    bool half_closed;
    bool gone; /* the call was closed */
    enum cws_grpc_code why;
};

struct exec_bed {
    struct client_bed client;
    struct cws_list remotes;
    struct cws_sandbox *sandbox;
    void (*hook)(struct remote *remote, char event); /* b began, i input, r resize, h half-close */
};

/* --- the server --- */

static inline void remote_start(struct cws_server_call *call, void *ctx)
{
    struct remote *remote = calloc(1, sizeof(*remote));
    assert_non_null(remote);
    remote->bed = ctx;
    remote->call = call;
    cws_list_push_back(&remote->bed->remotes, &remote->node);
    cws_server_call_set_user(call, remote);
}

static inline void remote_size(struct remote *remote, unsigned width, unsigned height)
{
    size_t n = strlen(remote->sizes);
    snprintf(remote->sizes + n, sizeof(remote->sizes) - n, "%ux%u@%zu|", width, height,
             remote->input);
}

static inline void remote_init(struct remote *remote,
                               const Coreweave__Sandbox__V1__ExecStreamInit *init)
{
    assert_false(remote->began);
    remote->began = true;
    snprintf(remote->id, sizeof(remote->id), "%s", init->sandbox_id);
    snprintf(remote->container, sizeof(remote->container), "%s", init->container);
    for (size_t i = 0; i < init->n_command; i++) {
        size_t n = strlen(remote->argv);
        snprintf(remote->argv + n, sizeof(remote->argv) - n, "%s|", init->command[i]);
    }
    if (init->tty)
        remote_size(remote, init->tty_width, init->tty_height);
    else
        assert_true(init->tty_width == 0 && init->tty_height == 0);
}

static inline void remote_input(struct remote *remote, const ProtobufCBinaryData *data)
{
    assert_true(remote->began && !remote->closed_input);
    for (size_t i = 0; i < data->len; i++) {
        uint8_t expected;
        fill_pattern(&expected, 1, remote->input + i);
        remote->input_differs |= data->data[i] != expected;
    }
    remote->input += data->len;
    if (data->len > remote->largest)
        remote->largest = data->len;
}

static inline void remote_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct remote *remote = cws_server_call_user(call);
    ProtobufCMessage *message;
    if (cws_proto_unpack(&coreweave__sandbox__v1__exec_stream_request__descriptor, data, len,
                         &message) != CWS_OK) {
        cws_server_call_finish(call, CWS_GRPC_INTERNAL, "no request", NULL, 0);
        return;
    }
    const Coreweave__Sandbox__V1__ExecStreamRequest *request = (const void *)message;
    char event = 'i';
    switch (request->message_case) {
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_INIT:
        remote_init(remote, request->init);
        event = 'b';
        break;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_STDIN:
        remote_input(remote, &request->stdin);
        break;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_RESIZE:
        assert_true(remote->began && !remote->closed_input);
        remote_size(remote, request->resize->width, request->resize->height);
        remote->resizes++;
        event = 'r';
        break;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_CLOSE:
        assert_false(remote->closed_input);
        remote->closed_input = true;
        break;
    default:
        fail_msg("message case %d", (int)request->message_case);
    }
    cws_proto_free(message);
    if (remote->bed->hook)
        remote->bed->hook(remote, event);
}

static inline void remote_half_closed(struct cws_server_call *call)
{
    struct remote *remote = cws_server_call_user(call);
    remote->half_closed = true;
    if (remote->bed->hook)
        remote->bed->hook(remote, 'h');
}

static inline void remote_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    struct remote *remote = cws_server_call_user(call);
    remote->call = NULL;
    remote->gone = true;
    remote->why = why;
}

#define REMOTE_METHOD \
    {CWS_GATEWAY_PATH "StreamExec", \
     remote_start, \
     remote_message, \
     remote_half_closed, \
     NULL, \
     remote_closed, \
     true, \
     NULL}

static const struct cws_server_method remote_methods[] = {REMOTE_METHOD};

static inline void remote_send(struct remote *remote,
                               const Coreweave__Sandbox__V1__ExecStreamResponse *response)
{
    size_t len = coreweave__sandbox__v1__exec_stream_response__get_packed_size(response);
    struct cws_block *block = cws_server_message_new(len);
    if (!block) { /* made to fail */
        cws_server_call_finish(remote->call, CWS_GRPC_RESOURCE_EXHAUSTED, "no memory", NULL, 0);
        return;
    }
    coreweave__sandbox__v1__exec_stream_response__pack(response, block->data + CWS_FRAME_PREFIX);
    cws_server_call_send(remote->call, block);
}

static inline void remote_ready(struct remote *remote)
{
    Coreweave__Sandbox__V1__ExecStreamReady ready = COREWEAVE__SANDBOX__V1__EXEC_STREAM_READY__INIT;
    Coreweave__Sandbox__V1__ExecStreamResponse response =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_READY;
    response.ready = &ready;
    remote_send(remote, &response);
}

static inline void remote_bytes(struct remote *remote, bool is_stderr, const uint8_t *bytes,
                                size_t len)
{
    Coreweave__Sandbox__V1__ExecStreamOutput output =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_OUTPUT__INIT;
    Coreweave__Sandbox__V1__ExecStreamResponse response =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    output.stream = is_stderr ? 2 : 1;
    output.data.data = (uint8_t *)(uintptr_t)bytes;
    output.data.len = len;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT;
    response.output = &output;
    remote_send(remote, &response);
}

static inline void remote_output(struct remote *remote, bool is_stderr, const char *text)
{
    remote_bytes(remote, is_stderr, (const uint8_t *)text, strlen(text));
}

static inline void remote_exit(struct remote *remote, int code)
{
    Coreweave__Sandbox__V1__ExecStreamExit end = COREWEAVE__SANDBOX__V1__EXEC_STREAM_EXIT__INIT;
    Coreweave__Sandbox__V1__ExecStreamResponse response =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    end.exit_code = code;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_EXIT;
    response.exit = &end;
    remote_send(remote, &response);
}

static inline void remote_error(struct remote *remote, const char *message, const char *code)
{
    Coreweave__Sandbox__V1__ExecStreamError error = COREWEAVE__SANDBOX__V1__EXEC_STREAM_ERROR__INIT;
    Coreweave__Sandbox__V1__ExecStreamResponse response =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    error.message = (char *)(uintptr_t)message;
    error.code = (char *)(uintptr_t)code;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_ERROR;
    response.error = &error;
    remote_send(remote, &response);
}

static inline void remote_finish(struct remote *remote, enum cws_grpc_code code,
                                 const char *message)
{
    cws_server_call_finish(remote->call, code, message, NULL, 0);
}

/* Exits with the code and ends the stream. */
static inline void remote_end(struct remote *remote, int code)
{
    remote_exit(remote, code);
    remote_finish(remote, CWS_GRPC_OK, NULL);
}

/* --- the bed --- */

/* `wishes` may be NULL. */
static inline void exec_bed_init_with(struct exec_bed *bed, const struct cws_server_options *wishes,
                                      struct cws_channel_options channel)
{
    *bed = (struct exec_bed){0};
    cws_list_init(&bed->remotes);
    client_bed_init(&bed->client);
    struct cws_server_options options = {0};
    if (wishes)
        options = *wishes;
    if (!options.methods) { /* else the test serves StreamExec beside methods of its own */
        options.methods = remote_methods;
        options.method_count = 1;
    }
    options.ctx = bed;
    bed->client.server = cws_server_new(bed->client.loop, &options);
    assert_non_null(bed->client.server);
    client_bed_listen(&bed->client);
    client_bed_channel(&bed->client, channel);
    assert_int_equal(cws_sandbox_new(bed->client.loop, &bed->sandbox), CWS_OK);
}

static inline void exec_bed_init(struct exec_bed *bed)
{
    exec_bed_init_with(bed, NULL, (struct cws_channel_options){0});
}

static inline void exec_bed_open_sandbox(struct exec_bed *bed)
{
    assert_int_equal(cws_sandbox_open(bed->sandbox, bed->client.channel, SANDBOX_ID), CWS_OK);
}

/* With the sandbox open. */
static inline void exec_bed_open(struct exec_bed *bed)
{
    exec_bed_init(bed);
    exec_bed_open_sandbox(bed);
}

static inline void exec_bed_close(struct exec_bed *bed)
{
    cws_sandbox_unref(bed->sandbox);
    settle(bed->client.loop);
    cws_server_free(bed->client.server);
    bed->client.server = NULL;
    settle(bed->client.loop);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&bed->remotes)) != NULL) {
        struct remote *remote = cws_list_entry(node, struct remote, node);
        assert_true(remote->gone);
        free(remote);
    }
    client_bed_close(&bed->client);
}

/* Waits for the n-th command on the server, from 0, to have its init. */
static inline struct remote *wait_remote(struct exec_bed *bed, size_t n)
{
    struct remote *found = NULL;
    while (!found) {
        size_t i = 0;
        for (struct cws_list *node = bed->remotes.next; node != &bed->remotes;
             node = node->next, i++)
            if (i == n && cws_list_entry(node, struct remote, node)->began)
                found = cws_list_entry(node, struct remote, node);
        if (!found)
            pump(bed->client.loop);
    }
    return found;
}

/* --- execs --- */

/* With a command of its own. */
static inline struct cws_exec *exec_start_with(struct exec_bed *bed,
                                               struct cws_exec_options options)
{
    static char sh[] = "sh", flag[] = "-c", script[] = "true";
    char *argv[] = {sh, flag, script};
    options.argv = argv;
    options.argc = 3;
    options.container = "";
    struct cws_exec *exec = NULL;
    assert_int_equal(cws_exec_start(bed->sandbox, &options, &exec), CWS_OK);
    return exec;
}

static inline struct cws_exec *exec_start(struct exec_bed *bed, bool with_stdin, double timeout_s)
{
    return exec_start_with(
        bed, (struct cws_exec_options){.with_stdin = with_stdin, .timeout_s = timeout_s});
}

static inline void exec_wait(struct exec_bed *bed, struct cws_exec *exec)
{
    WAIT_FOR(bed->client.loop, cws_future_is_done(&exec->future));
}

static inline void assert_output(struct cws_output *output, const char *text)
{
    size_t size = cws_output_size(output);
    char *copy = calloc(1, size + 1);
    cws_output_copy(output, (uint8_t *)copy, size);
    assert_string_equal(copy, text);
    free(copy);
}

/* A write of the pattern's bytes from `at` on. */
static inline struct cws_write *exec_write(struct cws_exec *exec, size_t at, size_t len)
{
    struct cws_write *write = NULL;
    uint8_t *bytes = malloc(len ? len : 1);
    fill_pattern(bytes, len, at);
    assert_int_equal(cws_input_write(&exec->input, bytes, len, &write), CWS_OK);
    free(bytes);
    return write;
}

static inline bool write_is_done(const struct cws_write *write)
{
    return cws_future_is_done(&write->future);
}
