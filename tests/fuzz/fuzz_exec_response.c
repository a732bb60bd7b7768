/* What a server sends on StreamExec, as the exec machine reads it: the frame it says, or a
 * refusal. */
#include "base/alloc.h"
#include "fuzz.h"
#include "sandbox/exec_wire.h"

/* The beginning of the message, at each length: where it is known to be output, it is that of the
 * whole one. */
static void check_beginnings(const uint8_t *data, size_t size, const struct cws_exec_frame *whole)
{
    for (size_t len = 0; len <= size && len < 64; len++) {
        struct cws_exec_frame frame;
        if (!cws_exec_frame_begin(data, len, size, &frame))
            continue;
        REQUIRE(whole && frame.kind == whole->kind && !whole->unpacked);
        REQUIRE(frame.data == whole->data && frame.len == whole->len - (size - len));
        REQUIRE(frame.data + frame.len == data + len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cws_exec_frame frame;
    enum cws_status status = cws_exec_frame_parse(data, size, &frame);
    check_beginnings(data, size, status == CWS_OK ? &frame : NULL);
    if (status == CWS_OK) {
        switch (frame.kind) {
        case CWS_EXEC_FRAME_STDOUT:
        case CWS_EXEC_FRAME_STDERR:
            REQUIRE(frame.len <= size && (frame.len == 0 || frame.data));
            for (size_t i = 0; i < frame.len; i++)
                REQUIRE(memchr(data, frame.data[i], size));
            break;
        case CWS_EXEC_FRAME_ERROR:
            REQUIRE(frame.code && strlen(frame.code) <= size);
            REQUIRE(!frame.message || strlen(frame.message) <= size);
            break;
        case CWS_EXEC_FRAME_NONE:
        case CWS_EXEC_FRAME_READY:
        case CWS_EXEC_FRAME_EXIT:
            break;
        }
        cws_exec_frame_done(&frame);
    } else {
        REQUIRE(status == CWS_PROTOCOL);
    }
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
