/* The rest of the floor box/ that services need, played beside support/played_boxes.h: rooms,
 * volumes, and operations on files. */
#pragma once

#include "box/file_op.h"
#include "box/room.h"
#include "support/played_boxes.h"

/* In place of box/room.c and room_egress.c. */
struct cwsd_room {
    unsigned boxes;
};

enum cws_status cwsd_room_new(const struct cwsd_host *host, unsigned boxes_in,
                              struct cwsd_room **out_room, struct cws_error *err)
{
    (void)host;
    struct cwsd_room *room = cws_calloc(1, sizeof(*room));
    if (!room)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    room->boxes = boxes_in;
    *out_room = room;
    return CWS_OK;
}

enum cws_status cwsd_room_open(struct cwsd_room *room, const struct cwsd_room_egress *way,
                               struct cws_error *err)
{
    (void)room, (void)way;
    return cws_error_set(err, CWS_SYSTEM, "no network leads anywhere here");
}

void cwsd_room_free(struct cwsd_room *room)
{
    cws_free(room);
}

/* In place of box/volume.c and folder.c. */
int cwsd_box_volume(const struct cwsd_box *box, const char *name)
{
    (void)box, (void)name;
    return -1;
}

int cwsd_box_lent(const struct cwsd_box *box, size_t i)
{
    (void)box, (void)i;
    return -1;
}

uid_t cwsd_box_user(const struct cwsd_box *box)
{
    (void)box;
    return 0;
}

enum cws_status cwsd_folder_try(const struct cwsd_host *host, int fd, uid_t *out_owner,
                                struct cws_error *err)
{
    (void)host, (void)fd, (void)err;
    *out_owner = 0;
    return CWS_OK;
}

/* In place of box/file_op.c. */
struct cwsd_file_op {
    const struct cwsd_file_op_events *events;
    void *ctx;
    bool reads;
    uint8_t *memory; /* that was given for content */
    size_t room;
};

static struct cwsd_file_op *last_file_op;

static enum cws_status play_file_op(bool reads, const struct cwsd_file_op_events *events, void *ctx,
                                    struct cwsd_file_op **out_op, struct cws_error *err)
{
    struct cwsd_file_op *op = cws_calloc(1, sizeof(*op));
    if (!op)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    op->events = events;
    op->ctx = ctx;
    op->reads = reads;
    *out_op = last_file_op = op;
    return CWS_OK;
}

enum cws_status cwsd_file_op_read(struct cwsd_box *box, const char *path, size_t max,
                                  const struct cwsd_file_op_events *events, void *ctx,
                                  struct cwsd_file_op **out_op, struct cws_error *err)
{
    (void)box, (void)path, (void)max;
    return play_file_op(true, events, ctx, out_op, err);
}

enum cws_status cwsd_file_op_write(struct cwsd_box *box, const char *path, const uint8_t *content,
                                   size_t len, const struct cwsd_file_op_events *events, void *ctx,
                                   struct cwsd_file_op **out_op, struct cws_error *err)
{
    (void)box, (void)path, (void)content, (void)len;
    return play_file_op(false, events, ctx, out_op, err);
}

void cwsd_file_op_give(struct cwsd_file_op *op, uint8_t *memory, size_t len)
{
    op->memory = memory;
    op->room = len;
}

void cwsd_file_op_free(struct cwsd_file_op *op)
{
    if (op == last_file_op)
        last_file_op = NULL;
    cws_free(op);
}
