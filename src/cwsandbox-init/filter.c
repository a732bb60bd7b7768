/*
 * System calls that commands do without. They answer as on a kernel that was built without them,
 * which programs are ready for. What capabilities and the closed user namespaces keep from them
 * already (mounts, modules, tracing the init) is not repeated here.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "init.h"

#if defined(__x86_64__)
#define OWN_ARCH    AUDIT_ARCH_X86_64
#define COMPAT_ARCH AUDIT_ARCH_I386
#define LAST_NUMBER 0x3fffffffu /* above it: the x32 calls, another way to the same */
#elif defined(__aarch64__)
#define OWN_ARCH    AUDIT_ARCH_AARCH64
#define COMPAT_ARCH AUDIT_ARCH_ARM
#define LAST_NUMBER 0xffffffffu
#endif

/* Keyrings are not namespaced: the daemon's session keyring would be the commands' too. The others
 * are large parts of the kernel that ordinary programs do not need, and that ways out of sandboxes
 * have been found in. */
static const uint32_t own_calls[] = {
    __NR_add_key,           __NR_request_key, __NR_keyctl,         __NR_bpf,
    __NR_perf_event_open,   __NR_userfaultfd, __NR_io_uring_setup, __NR_io_uring_enter,
    __NR_io_uring_register,
};

/* The same for 32-bit programs; their numbers are not in our headers. */
static const uint32_t compat_calls[] = {
#if defined(__x86_64__)
    286, 287, 288, 357, 336, 374, 425, 426, 427,
#elif defined(__aarch64__)
    309, 310, 311, 386, 364, 388, 425, 426, 427,
#endif
};

#define CALLS (sizeof(own_calls) / sizeof(own_calls[0]))

struct program {
    struct sock_filter code[2 * CALLS + 12];
    unsigned short len;
};

static void add(struct program *program, uint16_t code, uint32_t k, uint8_t if_true,
                uint8_t if_false)
{
    program->code[program->len++] = (struct sock_filter){code, if_true, if_false, k};
}

static void answer(struct program *program, uint32_t action)
{
    add(program, BPF_RET | BPF_K, action, 0, 0);
}

/* For calls of one architecture; goes on behind itself for those of another. */
static void add_calls(struct program *program, uint32_t arch, uint32_t last, const uint32_t *calls)
{
    add(program, BPF_JMP | BPF_JEQ | BPF_K, arch, 0, CALLS + 4);
    add(program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    add(program, BPF_JMP | BPF_JGT | BPF_K, last, CALLS + 1, 0);
    for (uint8_t i = 0; i < CALLS; i++)
        add(program, BPF_JMP | BPF_JEQ | BPF_K, calls[i], (uint8_t)(CALLS - i), 0);
    answer(program, SECCOMP_RET_ALLOW);
    answer(program, SECCOMP_RET_ERRNO | ENOSYS);
}

int filter_calls(void)
{
    struct program program = {.len = 0};
    _Static_assert(sizeof(compat_calls) == sizeof(own_calls), "one for one");
    add(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    add_calls(&program, OWN_ARCH, LAST_NUMBER, own_calls);
    add_calls(&program, COMPAT_ARCH, 0xffffffffu, compat_calls);
    answer(&program, SECCOMP_RET_ERRNO | ENOSYS);
    struct sock_fprog whole = {.len = program.len, .filter = program.code};
    return (int)SYS5(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0);
}
