/* A write that raises SIGPIPE, unless that is blocked or ignored. */
#pragma once

#include <errno.h>

#include "support/unit.h"

static inline void write_to_broken_pipe(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(ends[1]);
}
