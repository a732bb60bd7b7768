/*
 * The init's system calls, without a libc. One init per sandbox is in memory for the sandbox's
 * whole life, and a static libc would add 600 KiB of pages that it never needs. Every call returns
 * a negative errno on failure.
 */
#pragma once

#include <asm/unistd.h>
#include <linux/errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

static inline long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

static inline long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else
#error "cwsandbox-init: sys.h and start.c know x86_64 and aarch64 only"
#endif

#define SYS6(name, a, b, c, d, e, f) \
    sys_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS5(name, a, b, c, d, e) SYS6(name, a, b, c, d, e, 0)
#define SYS4(name, a, b, c, d)    SYS6(name, a, b, c, d, 0, 0)
#define SYS3(name, a, b, c)       SYS6(name, a, b, c, 0, 0, 0)
#define SYS2(name, a, b)          SYS6(name, a, b, 0, 0, 0, 0)
#define SYS1(name, a)             SYS6(name, a, 0, 0, 0, 0, 0)
#define SYS0(name)                SYS6(name, 0, 0, 0, 0, 0, 0)

/* text.c. The compiler itself emits calls to the first three. */
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t text_len(const char *text);
/* True when `text` begins with `prefix`. */
bool text_starts(const char *text, const char *prefix);
/* Appends within `cap` bytes (including the NUL) and cuts off the rest. `to` is always
 * terminated. */
void text_append(char *to, size_t cap, const char *text);
void text_append_number(char *to, size_t cap, unsigned long number);
/* What a shell says for an errno; NULL for a rare one. */
const char *text_error(int error);
