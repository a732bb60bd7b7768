/* A small file as a member of a tar archive: header, content and padding, all in one piece. Any
 * thread. */
#pragma once

#include "base/base.h"

enum {
    CWS_MEMBER_BLOCK = 512,
    CWS_MEMBER_NAME_MAX = 100, /* of a name that needs no header of its own */
    CWS_MEMBER_FILE_MAX = 16 * 1024,
};

struct cws_member {
    size_t len;       /* of `data`, in whole blocks */
    size_t file_size; /* of the content alone */
    uint8_t data[CWS_MEMBER_BLOCK + CWS_MEMBER_FILE_MAX + CWS_MEMBER_BLOCK];
};

/* Reads the file at `place`, which is not followed if it is a symlink, as the member `name` with
 * GNU tar's header. True, or false with *member undefined: the file is not a small regular one, or
 * cannot be read, or changed meanwhile, or its name or time does not fit into the header. */
bool cws_member_read(struct cws_member *member, const char *place, const char *name,
                     size_t name_len) CWS_MUST_CHECK;
