/* The little of string.h that the init needs. */
#include "sys.h"

/* Keeps the compiler from seeing memcpy in memcpy, and calling it. */
#define NOT_A_PATTERN() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    char *t = to;
    const char *f = from;
    while (len--) {
        *t++ = *f++;
        NOT_A_PATTERN();
    }
    return to;
}

void *memset(void *to, int byte, size_t len)
{
    char *t = to;
    while (len--) {
        *t++ = (char)byte;
        NOT_A_PATTERN();
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (; len; len--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t text_len(const char *text)
{
    size_t len = 0;
    while (text[len]) {
        len++;
        NOT_A_PATTERN();
    }
    return len;
}

bool text_starts(const char *text, const char *prefix)
{
    while (*prefix)
        if (*text++ != *prefix++)
            return false;
    return true;
}

void text_append(char *to, size_t cap, const char *text)
{
    size_t len = text_len(to);
    while (len + 1 < cap && *text)
        to[len++] = *text++;
    to[len] = '\0';
}

void text_append_number(char *to, size_t cap, unsigned long number)
{
    char digits[24];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    text_append(to, cap, digits + at);
}

const char *text_error(int error)
{
    switch (error) {
    case ENOENT:
        return "No such file or directory";
    case EACCES:
        return "Permission denied";
    case EPERM:
        return "Operation not permitted";
    case ENOTDIR:
        return "Not a directory";
    case EISDIR:
        return "Is a directory";
    case ENOEXEC:
        return "Exec format error";
    case E2BIG:
        return "Argument list too long";
    case ENAMETOOLONG:
        return "File name too long";
    case ELOOP:
        return "Too many levels of symbolic links";
    case ETXTBSY:
        return "Text file busy";
    case ENOMEM:
        return "Cannot allocate memory";
    case EAGAIN:
        return "Resource temporarily unavailable";
    case ENOSPC:
        return "No space left on device";
    default:
        return NULL;
    }
}
