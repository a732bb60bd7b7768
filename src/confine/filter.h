/*
 * Filters of system calls (seccomp), for the daemon's small programs. They are programs in classic
 * BPF: they look at a call's number and arguments, and answer with an action (SECCOMP_RET_...).
 *
 * This file stands alone: the init has no libc, and two of the programs know nothing of the core.
 */
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#define FILTER_ARCH      AUDIT_ARCH_X86_64
#define FILTER_LAST_CALL 0x3fffffffu /* above: the x32 calls */
#elif defined(__aarch64__)
#define FILTER_ARCH      AUDIT_ARCH_AARCH64
#define FILTER_LAST_CALL 0xffffffffu
#endif

/* The half of an argument that is an int. The kernel and its callers agree that the rest does not
 * count. */
#define FILTER_ARGUMENT(i)  offsetof(struct seccomp_data, args[i])
#define FILTER_HIGH_HALF(i) (FILTER_ARGUMENT(i) + sizeof(uint32_t))

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "its low half comes first");

/* `code` has room for `room` instructions. */
struct filter {
    struct sock_filter *code;
    unsigned short room;
    unsigned short len;
};

static inline void filter_add(struct filter *filter, uint16_t code, uint32_t k, uint8_t if_true,
                              uint8_t if_false)
{
    if (filter->len < filter->room)
        filter->code[filter->len] = (struct sock_filter){code, if_true, if_false, k};
    filter->len++;
}

/* What the comparisons from here on look at: 32 bits of struct seccomp_data. */
static inline void filter_load(struct filter *filter, size_t offset)
{
    filter_add(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static inline void filter_answer(struct filter *filter, uint32_t action)
{
    filter_add(filter, BPF_RET | BPF_K, action, 0, 0);
}

/* Two instructions. */
static inline void filter_answer_if(struct filter *filter, uint32_t value, uint32_t action)
{
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    filter_answer(filter, action);
}

/* `otherwise` answers calls that are made in other ways than this program's own, whose numbers mean
 * something else. Leaves the call's number loaded. Six instructions. */
static inline void filter_start(struct filter *filter, uint32_t otherwise)
{
    filter_load(filter, offsetof(struct seccomp_data, arch));
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
    filter_answer(filter, otherwise);
    filter_load(filter, offsetof(struct seccomp_data, nr));
    filter_add(filter, BPF_JMP | BPF_JGT | BPF_K, FILTER_LAST_CALL, 0, 1);
    filter_answer(filter, otherwise);
}

/* For PR_SET_SECCOMP, as long as the code lives. Has no instructions, which the kernel refuses
 * (EINVAL), if there was not room for all. */
static inline struct sock_fprog filter_program(const struct filter *filter)
{
    return (struct sock_fprog){.len = filter->len <= filter->room ? filter->len : 0,
                               .filter = filter->code};
}
