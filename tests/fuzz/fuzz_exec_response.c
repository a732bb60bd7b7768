/* What a server sends on StreamExec, as the exec machine reads it: the frame it says, or a refusal. */
#include "base/alloc.h"
#include "fuzz.h"
#include "sandbox/exec_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cws_exec_frame frame;
    enum cws_status status = cws_exec_frame_parse(data, size, &frame);
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
