/* What a process uses, from its files in /proc. */
#include "init.h"

/* In stat, as proc(5) numbers them. */
enum { STATE = 3, UTIME = 14, CSTIME = 17 };

/* Its name comes second, in parentheses. It may contain any character, but nothing behind it has
 * a parenthesis. */
static size_t skip_name(const char *text, size_t len)
{
    while (len > 0 && text[len - 1] != ')')
        len--;
    return len;
}

/* The word at `*at`, and what ends it. False: the text ends before. */
static bool take_word(const char *text, size_t len, size_t *at, uint64_t *out_number)
{
    *out_number = 0;
    for (; *at < len && text[*at] != ' '; ++*at)
        *out_number = *out_number * 10 + (uint64_t)(text[*at] - '0');
    return (*at)++ < len;
}

void stat_add(const char *text, size_t len, struct cwsi_usage *sum)
{
    uint64_t ticks = 0, number;
    size_t at = skip_name(text, len) + 1;
    for (unsigned field = STATE; field <= CSTIME; field++) {
        if (!take_word(text, len, &at, &number))
            return;
        if (field >= UTIME)
            ticks += number;
    }
    sum->ticks += ticks;
}

/* The pages of programs and libraries are the host's, and every process has them. */
void stat_add_memory(const char *text, size_t len, struct cwsi_usage *sum)
{
    uint64_t size, resident, shared;
    size_t at = 0;
    if (take_word(text, len, &at, &size) && take_word(text, len, &at, &resident) &&
        take_word(text, len, &at, &shared) && resident > shared)
        sum->pages += resident - shared;
}
