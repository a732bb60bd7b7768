/*
 * System calls that commands do without. They answer as on a kernel that was built without them,
 * which programs are ready for. What capabilities and the closed user namespaces keep from them
 * already (mounts, modules, tracing the init) is not repeated here.
 */
#include <linux/falloc.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "confine/filter.h"
#include "init.h"

/* Keyrings are not namespaced: the daemon's session keyring would be the commands' too. Nor is the
 * kernel's log (syslog). The others are large parts of the kernel that ordinary programs do not
 * need, and that ways out of sandboxes have been found in. */
static const uint32_t own_calls[] = {
    __NR_add_key,           __NR_request_key, __NR_keyctl,         __NR_bpf,
    __NR_perf_event_open,   __NR_userfaultfd, __NR_io_uring_setup, __NR_io_uring_enter,
    __NR_io_uring_register, __NR_syslog,
};

/* The same for 32-bit programs, in the same order; their numbers are not in our headers. */
static const uint32_t compat_calls[] = {
#if defined(__x86_64__)
    286, 287, 288, 357, 336, 374, 425, 426, 427, 103,
#elif defined(__aarch64__)
    309, 310, 311, 386, 364, 388, 425, 426, 427, 103,
#endif
};

#define CALLS (sizeof(own_calls) / sizeof(own_calls[0]))

/* The families of sockets that belong to a network namespace, or to nobody else. Of others some,
 * AF_VSOCK first of all, lead straight to the machine's hypervisor or devices, and all of them to
 * modules of the kernel that nobody else on the host may have asked for. */
static const uint32_t families[] = {1 /* AF_UNIX */, 2 /* AF_INET */, 10 /* AF_INET6 */,
                                    16 /* AF_NETLINK */};

#define FAMILIES (sizeof(families) / sizeof(families[0]))

#define SENDFILES 2 /* 32-bit programs have one for each size of offsets */

/* Of a terminal's requests these put bytes into its input as if they were typed, choose a line
 * discipline, most of which are modules for hardware that nobody here has, and steer the console.
 */
static const uint32_t terminal_requests[] = {0x5412 /* TIOCSTI */, 0x5423 /* TIOCSETD */,
                                             0x541c /* TIOCLINUX */};

#define REQUESTS (sizeof(terminal_requests) / sizeof(terminal_requests[0]))

/* How programs of one kind enter the kernel. */
struct entry {
    uint32_t arch;
    uint32_t last_call;      /* what is above are other ways to the same calls */
    const uint32_t *refused; /* CALLS of them */
    uint32_t socket, socketpair;
    uint32_t fallocate, madvise;
    uint32_t splice, sendfile[SENDFILES];
    uint32_t ioctl;
    uint32_t socketcall; /* makes a socket from arguments in memory, which cannot be looked at */
};

#define NO_SUCH_CALL    0xfffffffeu
#define PROCESS_MADVISE 440 /* everywhere; it may be done to oneself since Linux 6.13 */

/* The init's own kind; `numbers`: the bits that a call's number has. */
#define OWN(arch, numbers) \
    {(arch),       (numbers),       own_calls, \
     __NR_socket,  __NR_socketpair, __NR_fallocate, \
     __NR_madvise, __NR_splice,     {__NR_sendfile, NO_SUCH_CALL}, \
     __NR_ioctl,   NO_SUCH_CALL}

static const struct entry entries[] = {
#if defined(__x86_64__)
    OWN(FILTER_ARCH, FILTER_LAST_CALL),
    {AUDIT_ARCH_I386, 0xffffffffu, compat_calls, 359, 360, 324, 219, 313, {187, 239}, 54, 102},
#elif defined(__aarch64__)
    OWN(FILTER_ARCH, FILTER_LAST_CALL),
    {AUDIT_ARCH_ARM,
     0xffffffffu,
     compat_calls,
     281,
     288,
     352,
     220,
     340,
     {187, 239},
     54,
     NO_SUCH_CALL},
#endif
};

#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

/* socketcall's first argument. */
#define CALL_SOCKET     1
#define CALL_SOCKETPAIR 8

#define ROOM (ENTRIES * (2 * CALLS + 2 * FAMILIES + 7 * SENDFILES + 2 * REQUESTS + 36) + 2)

#define REFUSED        (SECCOMP_RET_ERRNO | ENOSYS)
#define UNKNOWN_FAMILY (SECCOMP_RET_ERRNO | EAFNOSUPPORT)
#define NO_HOLES       (SECCOMP_RET_ERRNO | EOPNOTSUPP)
#define NO_SPLICE      (SECCOMP_RET_ERRNO | EINVAL)
#define NO_REQUEST     (SECCOMP_RET_ERRNO | EPERM)

/* `call` with an argument that the comparison `jump` finds to be as `value`. */
static void add_hole(struct filter *filter, uint32_t call, size_t argument, uint16_t jump,
                     uint32_t value)
{
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4);
    filter_load(filter, argument);
    filter_add(filter, BPF_JMP | jump | BPF_K, value, 0, 1);
    filter_answer(filter, NO_HOLES);
    filter_answer(filter, SECCOMP_RET_ALLOW);
}

/*
 * While a hole is made in a file in memory, whoever touches the file waits, in the middle of a
 * write to a pipe, too, and with the pipe locked: the daemon, which reads it, would wait as well,
 * for seconds if the file is mapped often enough. It is as if tmpfs could make none.
 */
static void add_holes(struct filter *filter, const struct entry *entry)
{
    add_hole(filter, entry->fallocate, FILTER_ARGUMENT(1), BPF_JSET, FALLOC_FL_PUNCH_HOLE);
    add_hole(filter, entry->madvise, FILTER_ARGUMENT(2), BPF_JEQ, MADV_REMOVE);
    add_hole(filter, PROCESS_MADVISE, FILTER_ARGUMENT(3), BPF_JEQ, MADV_REMOVE);
}

/*
 * splice keeps a pipe locked while it waits for the other side: for input from a socket or a
 * terminal, or for room in one. The daemon, whose pipe it may be, would wait as long, and so would
 * the init, which could not even be killed then. It is as if no file could be spliced. sendfile
 * into a pipe does the same, but not with an offset: what has offsets has its data at hand.
 */
static void add_splice(struct filter *filter, const struct entry *entry)
{
    filter_answer_if(filter, entry->splice, NO_SPLICE);
    for (size_t i = 0; i < SENDFILES; i++) {
        filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, entry->sendfile[i], 0, 6);
        filter_load(filter, FILTER_ARGUMENT(2));
        filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
        filter_load(filter, FILTER_HIGH_HALF(2));
        filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
        filter_answer(filter, NO_SPLICE);
        filter_answer(filter, SECCOMP_RET_ALLOW);
    }
}

static void add_ioctl(struct filter *filter, const struct entry *entry)
{
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, entry->ioctl, 0, 2 * REQUESTS + 2);
    filter_load(filter, FILTER_ARGUMENT(1));
    for (size_t i = 0; i < REQUESTS; i++)
        filter_answer_if(filter, terminal_requests[i], NO_REQUEST);
    filter_answer(filter, SECCOMP_RET_ALLOW);
}

/* Goes on behind itself for calls that are not made this way. */
static void add_entry(struct filter *filter, const struct entry *entry)
{
    unsigned short start = filter->len;
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, entry->arch, 0, 0);
    filter_load(filter, offsetof(struct seccomp_data, nr));
    filter_add(filter, BPF_JMP | BPF_JGT | BPF_K, entry->last_call, 0, 1);
    filter_answer(filter, REFUSED);
    for (size_t i = 0; i < CALLS; i++)
        filter_answer_if(filter, entry->refused[i], REFUSED);
    add_holes(filter, entry);
    add_splice(filter, entry);
    add_ioctl(filter, entry);
    /* Any other call jumps over what looks at the argument. */
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, entry->socketcall, 0, 6);
    filter_load(filter, FILTER_ARGUMENT(0));
    filter_answer_if(filter, CALL_SOCKET, REFUSED);
    filter_answer_if(filter, CALL_SOCKETPAIR, REFUSED);
    filter_answer(filter, SECCOMP_RET_ALLOW);
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, entry->socket, 1, 0);
    filter_add(filter, BPF_JMP | BPF_JEQ | BPF_K, entry->socketpair, 0, 2 * FAMILIES + 2);
    filter_load(filter, FILTER_ARGUMENT(0));
    for (size_t i = 0; i < FAMILIES; i++)
        filter_answer_if(filter, families[i], SECCOMP_RET_ALLOW);
    filter_answer(filter, UNKNOWN_FAMILY);
    filter_answer(filter, SECCOMP_RET_ALLOW);
    filter->code[start].jf = (uint8_t)(filter->len - start - 1);
}

int filter_calls(void)
{
    struct sock_filter code[ROOM];
    struct filter filter = {.code = code, .room = ROOM};
    _Static_assert(sizeof(compat_calls) == sizeof(own_calls), "one for one");
    filter_load(&filter, offsetof(struct seccomp_data, arch));
    for (size_t i = 0; i < ENTRIES; i++)
        add_entry(&filter, &entries[i]);
    filter_answer(&filter, REFUSED);
    const struct sock_fprog whole = filter_program(&filter);
    return (int)SYS5(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0);
}
