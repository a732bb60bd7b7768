#include "box/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum cws_status cwsd_pipe_open(const struct cwsd_box *box, struct cwsd_request *request,
                               uint32_t flag, struct cwsd_watch *watch,
                               void (*ready)(struct cwsd_watch *watch, int events),
                               struct cws_error *err)
{
    int ends[2]; /* for reading, for writing */
    int ours = flag == CWSI_STDIN;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "pipes for a command");
    cwsd_request_add_fd(request, flag, ends[1 - ours]);
    /* So that the command can open it by name too: /dev/stdout. */
    if (box->user && fchown(ends[ours], box->user, box->user) < 0) {
        close(ends[ours]);
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "giving a command its pipes");
    }
    enum cws_status status = cwsd_watch_open(box->loop, watch, ends[ours], ready, err);
    if (status != CWS_OK)
        close(ends[ours]);
    return status;
}
