/* Callgrind writes down its counts and starts again from nothing whenever this is called. */
#include <valgrind/callgrind.h>

void cws_guard_mark(void);

__attribute__((visibility("default"))) void cws_guard_mark(void)
{
    CALLGRIND_DUMP_STATS;
}
