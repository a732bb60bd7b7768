/*
 * The protocol between the daemon and cwsandbox-init.
 *
 * One SOCK_SEQPACKET socket, which is descriptor CWSI_SOCKET in the init. Each packet is one struct
 * of fixed size; a request's struct is followed by its block if that is small. Native byte order
 * (both ends are one build on one kernel). The init trusts the daemon. The daemon takes the init's
 * reports as untrusted input: it must check size, op, id and order, and must close descriptors it
 * did not ask for.
 *
 * The init, and with it everything in the sandbox, ends when the socket closes, when the main
 * command (id CWSI_MAIN) ends, or when a request makes no sense. This header must not include libc
 * headers: the init has no libc.
 */
#pragma once

#include <stdint.h>

#define CWSI_SOCKET 3
#define CWSI_MAIN   0u

/* Only with bubblewrap: the init's program file, for users who cannot reach it by its path. */
#define CWSI_PROGRAM      4
#define CWSI_PROGRAM_TEXT "4"

/* In a sandbox of several containers: the socket by which they get the network that they share. All
 * of the launchers' descriptors are below CWSI_FIRST_FREE. */
#define CWSI_NETWORK 5

/* Only for who makes a network that leads to others: the socket to the daemon, which completes that
 * network. The launcher sends a struct cwsi_network with its descriptors, or with `error` set and
 * none. The daemon answers with a text: why it cannot be used, or empty (a NUL alone). */
#define CWSI_EGRESS     6
#define CWSI_FIRST_FREE 7

struct cwsi_network {
    int error; /* an errno */
};

/* Its descriptors: the namespaces; a listening socket of TCP, which takes the connections that the
 * daemon's rules divert, and a socket of UDP for questions to the name server. Both are bound
 * inside the network. */
enum {
    CWSI_USER_NAMESPACE,
    CWSI_NETWORK_NAMESPACE,
    CWSI_DIVERTED_SOCKET,
    CWSI_NAMES_SOCKET,
    CWSI_NETWORK_FDS,
};
#define CWSI_INNER_HOST    0x7f000035u /* 127.0.0.53, where both are */
#define CWSI_DIVERTED_PORT 443
#define CWSI_NAMES_PORT    53

/* How many commands a sandbox may have at a time, including the main one. Ids are below it. */
#define CWSI_MAX_COMMANDS 4096u

/* A block comes in the request's own packet, or in a file of its own. A block larger than this
 * always comes in a file. */
#define CWSI_MAX_INLINE 4096u

/* A request's descriptors, in this order: the block's file, then those for stdin, stdout and
 * stderr, as far as there are any. */
#define CWSI_MAX_FDS 4u

enum cwsi_op {
    CWSI_SETUP = 1, /* once, first. Block: struct cwsi_step records. Reports: READY, or FAILED */
    CWSI_START,     /* Block: struct cwsi_command. Reports: STARTED or FAILED, after STARTED once
                     * EXITED */
    CWSI_KILL,      /* SIGKILL to the process group of command `id`; ignored when it has ended */
    CWSI_SIGNAL,    /* signal `value` to the first process of command `id`; ignored when it has
                     * ended */
    CWSI_DRAIN, /* its one or two descriptors are read ends of pipes. Their data is discarded until
                   no writer is left. If CWSI_MAX_DRAINED pipes are being drained already, they are
                   closed instead */
    CWSI_READ_FILE, /* Block: struct cwsi_file. Flag CWSI_STDOUT with the write end of a pipe, which
                     * gets a struct cwsi_file_head and then the content. Reports as START; how it
                     * went is the exit code of EXITED: 0, an errno, or an enum cwsi_file_code */
    CWSI_WRITE_FILE, /* The same with CWSI_STDIN and the read end of a pipe, from which the content
                      * comes. If it ends early, the file is left as it was */
    CWSI_RESIZE,     /* the terminal of command `id` gets the size `value`; ignored without one.
                      * Report: RESIZED in any case */
    CWSI_USAGE,      /* of the sandbox. Report: USED. Only with CWSI_CONTAINER */
    CWSI_CONNECT,    /* Block: struct cwsi_connect. With CWSI_STDIN and CWSI_STDOUT: what goes to a
                      * port    inside the sandbox, and what comes from it. Reports as START; the exit
                      * code of    EXITED is an errno if there was no connection, else 0 */
    CWSI_HANG_UP, /* ends the terminal of command `id`: the kernel sends SIGHUP to its first process
                   * and to those in the foreground. What they write is lost. Ignored without one */
    CWSI_GO,      /* during SETUP: ends the step AWAIT. No block */
    CWSI_GIVE,    /* during SETUP: a mount for the step TAKE, its one descriptor. No block */
};

/* Below the init's own limit of open files, which is 1024 unless a step lowers it. */
#define CWSI_MAX_DRAINED 512u

/* cwsi_request.flags */
#define CWSI_CONTAINER \
    1u /* SETUP: PID 1 of its own namespaces: drop privileges. Else a plain subreaper */
#define CWSI_STDIN \
    2u /* START, ..._FILE: a descriptor for stdin comes along; else stdin is /dev/null ... */
#define CWSI_STDOUT 4u /* ... and so on */
#define CWSI_STDERR 8u
#define CWSI_IDLE \
    16u /* START of CWSI_MAIN, with argc 0: no program. STARTED once the working directory was \
           entered. A signal ends it like a program that exits with 0 on SIGTERM and SIGINT */

#define CWSI_RAISE_OOM \
    32u /* SETUP: under memory pressure the kernel is to take the sandbox before the host's \
         * programs. Where cwsandbox-init USER started it that is so already */

#define CWSI_TTY \
    64u /* START, but not of CWSI_MAIN, with CWSI_STDIN and CWSI_STDOUT only: the command gets a \
         * terminal of the size `value`, and the pipes are its input and output. The end of input \
         * types the terminal's end-of-file key. EXITED comes after all output was passed on */

/* The size of a terminal as `value`: both from 1 to 65535, or 0 to leave it as it is. */
#define CWSI_SIZE(columns, rows) ((int32_t)((uint32_t)(columns) << 16 | (uint32_t)(rows)))

struct cwsi_request {
    uint32_t op;
    uint32_t id;
    uint32_t flags;
    int32_t value;
    uint64_t size; /* of the block */
};

enum cwsi_report_op {
    CWSI_HELLO = 1, /* first; with one descriptor: a pidfd of the init */
    CWSI_READY,     /* SETUP is done */
    CWSI_STARTED,   /* command `id` has been started; if it cannot be executed, its stderr says so,
                       and it ends with 126 or 127 */
    CWSI_EXITED,    /* command `id` has ended; `value` is its wait status */
    CWSI_FAILED,  /* SETUP (`detail` is the step's op) or START of `id` failed; `value` is an errno.
                   * For the main command also when it cannot be executed, or idle where it was asked
                   * to */
    CWSI_USED,    /* USAGE: `usage` */
    CWSI_RESIZED, /* RESIZE of `id`. It may come after EXITED */
    CWSI_VOLUME,  /* during SETUP, with one descriptor: of step VOLUME the root directory, of step
                   * LEND the mount. `id` counts these steps from 0. No command runs yet, so it is
                   * what the init says it is */
};

/* Of all processes of a sandbox, those that have ended and were waited for among them. */
struct cwsi_usage {
    uint64_t ticks; /* of processor time, as sysconf(_SC_CLK_TCK) counts them */
    uint64_t pages; /* of memory, but for what files and shared memory hold */
};

struct cwsi_report {
    uint32_t op;
    uint32_t id;
    int32_t value;
    uint32_t detail;
    union {
        char path[112];          /* FAILED: the path concerned; always terminated */
        struct cwsi_usage usage; /* USED */
    };
};

/*
 * A block of CWSI_SETUP: records, each a struct cwsi_step, then `a` and `b` with a NUL after each,
 * padded to 8 bytes. Missing parents of paths that are made are made, too, with mode 0755.
 */
enum cwsi_step_op {
    CWSI_STEP_PRIVATE = 1, /* later mounts of the host do not propagate into the sandbox */
    CWSI_STEP_MKDIR,       /* directory a; its mode is set even if it exists */
    CWSI_STEP_FILE,        /* file a with content b; replaces an existing one */
    CWSI_STEP_SYMLINK,     /* a, pointing to b; replaces an existing one */
    CWSI_STEP_COPY,        /* copies file or symbolic link a to b, readable for all */
    CWSI_STEP_VIEW,        /* the file system of directory a, without what is mounted below, on b */
    CWSI_STEP_BIND,        /* a on b, with what is mounted below; b is made if missing */
    CWSI_STEP_OVERLAY,    /* upper directory b + "/up" and work directory b + "/work" over directory
                           * a */
    CWSI_STEP_MOUNT_FILE, /* content b, mounted read-only at path a over whatever is there */
    CWSI_STEP_SEAL_PROC,  /* /proc: all but the processes read-only; what is root's alone is
                           * covered */
    CWSI_STEP_SEAL_DEV,   /* /dev: the device nodes read-only; they are the host's own */
    CWSI_STEP_DETACH,     /* detaches what is mounted on a, and removes a itself */
    CWSI_STEP_SETTING,    /* the kernel's setting in file a is b */
    CWSI_STEP_RESIZE,     /* the file system mounted on a: b are its limits, as mount takes them */
    CWSI_STEP_LIMIT,      /* resource `mode` (RLIMIT_...): at most the uint64_t in b */
    CWSI_STEP_ENSURE_DIR, /* directory a, made if missing */
    CWSI_STEP_VOLUME,     /* a new file system in memory at directory a, with the mount options b.
                           * Reports VOLUME */
    CWSI_STEP_AWAIT,      /* waits for GO: until then the daemon fills the volumes */
    CWSI_STEP_MOUNT_VOLUME, /* directory b, in which no link is followed, at directory a; read-only
                             * if `mode` is 1. Both are made if missing. Fails with EPERM where a is
                             * the root, or in /proc, /dev or /sys, wherever links lead */
    CWSI_STEP_LEND,  /* directory a, as b of MOUNT_VOLUME, as a mount for another container's init;
                      * read-only if `mode` is 1. Reports VOLUME */
    CWSI_STEP_TAKE,  /* waits for GIVE, and puts the mount at directory a, as MOUNT_VOLUME does */
    CWSI_STEP_ADOPT, /* likewise, at directory a as it is: a volume that is not made here */
};

/* A tmpfs that is mounted when the steps begin, and holds the init's program. A step DETACH removes
 * it. */
#define CWSI_HIDDEN "/.cwsandbox"
/* Where the volumes are meanwhile. */
#define CWSI_VOLUMES CWSI_HIDDEN "/volumes/"

/* cwsi_step.flags: go on if the step fails / if `a` does not exist or is not accessible for this
 * user */
#define CWSI_STEP_TRY       1u
#define CWSI_STEP_IF_EXISTS 2u

struct cwsi_step {
    uint32_t op;
    uint32_t flags;
    uint32_t mode;
    uint32_t a_len; /* without the NUL */
    uint64_t b_len;
};

/*
 * A block of CWSI_START: this struct, then `pointers`: argc + 1 + envc + 1 of them as offsets from
 * the block's start (0 where argv and envp end), then the strings. The init turns them into
 * pointers in place.
 */
struct cwsi_command {
    uint32_t argc; /* at least 1; 0 with CWSI_IDLE */
    uint32_t envc;
    uint64_t working_dir; /* offset of its string */
    uint64_t pointers[];
};

/* A block of CWSI_CONNECT. */
struct cwsi_connect {
    uint64_t port;
};

/* A block of CWSI_READ_FILE and CWSI_WRITE_FILE: this struct, then the strings. */
struct cwsi_file {
    uint64_t size;        /* READ: send at most so much; WRITE: so much comes */
    uint64_t working_dir; /* offset of its string: where a relative path begins */
    uint64_t path;        /* offset of its string */
};

struct cwsi_file_head {
    uint64_t size; /* before it is read. Files such as those in /proc have more than they say */
};

/* Exit codes above every errno. */
enum cwsi_file_code {
    CWSI_FILE_NOT_REGULAR = 200, /* nor a directory */
    CWSI_FILE_TOO_LARGE,         /* READ: more than `size` */
    CWSI_FILE_INCOMPLETE,        /* WRITE: the content ended before `size` */
};
