#include "sandbox/exec_wire.h"

#include <string.h>

#include "base/alloc.h"
#include "grpc/call.h"
#include "proto/generated/sandbox.pb-c.h"
#include "proto/unpack.h"
#include "proto/wire.h"
#include "sandbox/extensions.h"

/* Field numbers of ExecStreamRequest, ExecStreamInit and ExecStreamResize, as tags: of varints
 * where the second part is 0, else of length-delimited fields. */
enum {
    TAG_INIT = 1 << 3 | 2,
    TAG_STDIN = 2 << 3 | 2,
    TAG_RESIZE = 3 << 3 | 2,
    TAG_CLOSE = 4 << 3 | 2,
    TAG_SANDBOX_ID = 1 << 3 | 2,
    TAG_COMMAND = 2 << 3 | 2,
    TAG_TTY = 3 << 3 | 0,
    TAG_TTY_WIDTH = 4 << 3 | 0,
    TAG_TTY_HEIGHT = 5 << 3 | 0,
    TAG_ENV = 6 << 3 | 2, /* of entries with name and value */
    TAG_NAME = 1 << 3 | 2,
    TAG_VALUE = 2 << 3 | 2,
    TAG_CONTAINER = 7 << 3 | 2,
    TAG_CWD = 1000 << 3 | 2,
    TAG_WIDTH = 1 << 3 | 0,
    TAG_HEIGHT = 2 << 3 | 0,
};

/* In front of the directory and the command's own words. */
static const char *const shell_words[] = {"/bin/sh", "-c", "cd -- \"$1\" && shift && exec \"$@\"",
                                          "sh"};

static size_t variable_size(const struct cws_exec_variable *variable)
{
    return cws_wire_text_size(TAG_NAME, variable->name) +
           cws_wire_text_size(TAG_VALUE, variable->value);
}

static size_t init_size(const struct cws_exec_wire_command *command)
{
    size_t size = 0;
    for (size_t i = 0; i < command->argc; i++)
        size += cws_wire_text_size(TAG_COMMAND, command->argv[i]);
    for (size_t i = 0; i < command->env_count; i++) {
        size_t len = variable_size(&command->env[i]);
        size += cws_wire_header_size(TAG_ENV, len) + len;
    }
    if (command->container && *command->container)
        size += cws_wire_text_size(TAG_CONTAINER, command->container);
    if (command->tty)
        size += cws_wire_number_size(TAG_TTY, true) +
                cws_wire_number_size(TAG_TTY_WIDTH, command->size.width) +
                cws_wire_number_size(TAG_TTY_HEIGHT, command->size.height);
    return size;
}

enum cws_status cws_exec_wire_init(const struct cws_exec_wire_command *command, uint8_t **out_init,
                                   size_t *out_len)
{
    size_t size = init_size(command);
    uint8_t *bytes = cws_malloc(size + 1);
    if (!bytes)
        return CWS_NO_MEMORY;
    uint8_t *at = bytes;
    for (size_t i = 0; i < command->argc; i++)
        at = cws_wire_put_text(at, TAG_COMMAND, command->argv[i]);
    for (size_t i = 0; i < command->env_count; i++) {
        at = cws_wire_put_header(at, TAG_ENV, variable_size(&command->env[i]));
        at = cws_wire_put_text(at, TAG_NAME, command->env[i].name);
        at = cws_wire_put_text(at, TAG_VALUE, command->env[i].value);
    }
    if (command->container && *command->container)
        at = cws_wire_put_text(at, TAG_CONTAINER, command->container);
    if (command->tty) {
        at = cws_wire_put_number(at, TAG_TTY, true);
        at = cws_wire_put_number(at, TAG_TTY_WIDTH, command->size.width);
        at = cws_wire_put_number(at, TAG_TTY_HEIGHT, command->size.height);
    }
    assert(at == bytes + size);
    *out_init = bytes;
    *out_len = size;
    return CWS_OK;
}

static size_t target_size(const struct cws_exec_wire_target *target, bool by_shell)
{
    size_t size = cws_wire_text_size(TAG_SANDBOX_ID, target->sandbox_id);
    if (target->cwd)
        size += cws_wire_text_size(by_shell ? TAG_COMMAND : TAG_CWD, target->cwd);
    for (size_t i = 0; by_shell && i < CWS_ARRAY_LEN(shell_words); i++)
        size += cws_wire_text_size(TAG_COMMAND, shell_words[i]);
    return size;
}

/* Fields of a message may come in any order, and those of a list keep theirs: what is known now is
 * put in front of the others. */
struct cws_block *cws_exec_wire_init_block(const uint8_t *init, size_t init_len,
                                           const struct cws_exec_wire_target *target)
{
    bool by_shell = target->cwd && !(target->extensions & CWS_EXTENSION_CWD);
    size_t len = target_size(target, by_shell) + init_len;
    struct cws_block *block =
        cws_block_new(CWS_FRAME_PREFIX + cws_wire_header_size(TAG_INIT, len) + len);
    if (!block)
        return NULL;
    uint8_t *at = cws_wire_put_header(block->data + CWS_FRAME_PREFIX, TAG_INIT, len);
    at = cws_wire_put_text(at, TAG_SANDBOX_ID, target->sandbox_id);
    for (size_t i = 0; by_shell && i < CWS_ARRAY_LEN(shell_words); i++)
        at = cws_wire_put_text(at, TAG_COMMAND, shell_words[i]);
    if (target->cwd)
        at = cws_wire_put_text(at, by_shell ? TAG_COMMAND : TAG_CWD, target->cwd);
    if (init_len)
        memcpy(at, init, init_len);
    return block;
}

struct cws_block *cws_exec_wire_stdin_block(const uint8_t *data, size_t len)
{
    struct cws_block *block =
        cws_block_new(CWS_FRAME_PREFIX + cws_wire_header_size(TAG_STDIN, len) + len);
    if (block) {
        uint8_t *at = cws_wire_put_header(block->data + CWS_FRAME_PREFIX, TAG_STDIN, len);
        if (len)
            memcpy(at, data, len);
    }
    return block;
}

struct cws_block *cws_exec_wire_close_block(void)
{
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + cws_wire_header_size(TAG_CLOSE, 0));
    if (block)
        cws_wire_put_header(block->data + CWS_FRAME_PREFIX, TAG_CLOSE, 0);
    return block;
}

struct cws_block *cws_exec_wire_resize_block(struct cws_exec_size size)
{
    size_t len =
        cws_wire_number_size(TAG_WIDTH, size.width) + cws_wire_number_size(TAG_HEIGHT, size.height);
    struct cws_block *block =
        cws_block_new(CWS_FRAME_PREFIX + cws_wire_header_size(TAG_RESIZE, len) + len);
    if (block) {
        uint8_t *at = cws_wire_put_header(block->data + CWS_FRAME_PREFIX, TAG_RESIZE, len);
        cws_wire_put_number(cws_wire_put_number(at, TAG_WIDTH, size.width), TAG_HEIGHT,
                            size.height);
    }
    return block;
}

static void read_output(const Coreweave__Sandbox__V1__ExecStreamOutput *output,
                        struct cws_exec_frame *frame)
{
    bool is_stderr =
        output->stream == COREWEAVE__SANDBOX__V1__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDERR;
    frame->kind = is_stderr ? CWS_EXEC_FRAME_STDERR : CWS_EXEC_FRAME_STDOUT;
    frame->data = output->data.data;
    frame->len = output->data.len;
}

/*
 * Output is nearly all that comes, and comes in the one plain form every encoder writes: read in
 * place, without the allocations and the copy of a general decoder. Whatever is not exactly that
 * form is left to the general one.
 */
bool cws_exec_frame_begin(const uint8_t *data, size_t len, size_t message_len,
                          struct cws_exec_frame *out_frame)
{
    enum { TAG_OUTPUT = 2 << 3 | 2, TAG_STREAM = 1 << 3 | 0, TAG_DATA = 2 << 3 | 2, STDERR = 2 };
    const uint8_t *end = data + len;
    size_t to_come = message_len - len;
    size_t value = 0;
    if (len < 2 || *data != TAG_OUTPUT || !(data = cws_wire_take_small(data + 1, end, &value)) ||
        value != (size_t)(end - data) + to_come)
        return false;
    size_t stream = 0;
    if (data < end && *data == TAG_STREAM && !(data = cws_wire_take_small(data + 1, end, &stream)))
        return false;
    if (data == end || *data != TAG_DATA || !(data = cws_wire_take_small(data + 1, end, &value)) ||
        value != (size_t)(end - data) + to_come)
        return false;
    *out_frame = (struct cws_exec_frame){
        .kind = stream == STDERR ? CWS_EXEC_FRAME_STDERR : CWS_EXEC_FRAME_STDOUT,
        .data = data,
        .len = value - to_come,
    };
    return true;
}

enum cws_status cws_exec_frame_parse(const uint8_t *data, size_t len,
                                     struct cws_exec_frame *out_frame)
{
    if (cws_exec_frame_begin(data, len, len, out_frame))
        return CWS_OK;
    ProtobufCMessage *unpacked;
    enum cws_status status = cws_proto_unpack(
        &coreweave__sandbox__v1__exec_stream_response__descriptor, data, len, &unpacked);
    if (status != CWS_OK)
        return status;
    const Coreweave__Sandbox__V1__ExecStreamResponse *response = (const void *)unpacked;
    *out_frame = (struct cws_exec_frame){.unpacked = unpacked};
    switch (response->message_case) {
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_READY:
        out_frame->kind = CWS_EXEC_FRAME_READY;
        break;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT:
        read_output(response->output, out_frame);
        break;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_EXIT:
        out_frame->kind = CWS_EXEC_FRAME_EXIT;
        out_frame->exit_code = response->exit->exit_code;
        break;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_ERROR:
        out_frame->kind = CWS_EXEC_FRAME_ERROR;
        out_frame->message = response->error->message;
        out_frame->code = response->error->code;
        break;
    default:
        out_frame->kind = CWS_EXEC_FRAME_NONE;
        break;
    }
    return CWS_OK;
}

void cws_exec_frame_done(struct cws_exec_frame *frame)
{
    cws_proto_free(frame->unpacked);
    frame->unpacked = NULL;
}
