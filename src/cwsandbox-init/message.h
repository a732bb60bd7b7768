/* Messages with descriptors, as the kernel has them; libc's headers are not for us. */
#pragma once

#include "protocol.h"
#include "sys.h"

#define SOL_SOCKET_LEVEL  1
#define SCM_RIGHTS_TYPE   1
#define MSG_NO_SIGNAL     0x4000
#define MSG_CLOSE_ON_EXEC 0x40000000
#define MSG_CUT           0x28 /* MSG_TRUNC | MSG_CTRUNC */

struct message_part {
    void *base;
    size_t len;
};

struct message {
    void *name;
    int name_len;
    struct message_part *parts;
    size_t part_count;
    void *control;
    size_t control_len;
    unsigned flags;
};

struct control {
    size_t len;
    int level;
    int type;
    int fds[CWSI_MAX_FDS];
};
