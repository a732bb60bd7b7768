/*
 * The newest output of one main command, in a file of bounded size. Any thread: one may append
 * while others read. No function holds the lock while it waits for the disk.
 *
 * The file is a ring of records. Each has the bytes of one read of the command's pipe, and the time
 * when they arrived. Once the file is full, new records overwrite the oldest. Only about a hundred
 * marks are in memory: places where a search can begin.
 *
 * If the disk is full before the file has its full size, the ring stays as large as the file is. A
 * record that cannot be written even then is lost. It counts as overwritten, together with all
 * earlier ones, and the ring begins anew.
 *
 * The head of the file and that of each record have all that is needed to read the file again, with
 * checksums. So a later daemon can take it over, however this one ended (ring_recover.c).
 */
#pragma once

#include <pthread.h>
#include <stdio.h>

#include "base/status.h"

/* The least capacity. This much is allocated with the file, so that a ring that has begun can go on
 * when the disk is full. */
#define CWSD_RING_LEAST ((uint64_t)64 * 1024)

/* The file begins with this many bytes that are not part of the ring. */
#define CWSD_RING_HEAD ((uint64_t)64)

/* Every record fits into the smallest ring. Records are aligned, so that they can be used where
 * they were read. */
struct cwsd_ring_record {
    uint64_t time_us; /* since 1970; never less than that of the record before */
    uint32_t len;
    uint32_t line_start; /* this and the next three: the place where it begins */
    uint64_t at;
    uint64_t offset;
    uint64_t lines;
    uint32_t data_check;
    uint32_t check; /* of all the fields above */
    uint8_t data[];
};
/* The size of a record with `len` bytes. */
#define CWSD_RING_SIZE(len) ((sizeof(struct cwsd_ring_record) + (len) + 7) & ~(size_t)7)
#define CWSD_RING_MAX_LEN   (CWSD_RING_LEAST - CWSD_RING_HEAD - sizeof(struct cwsd_ring_record))

/* A place between two records. */
struct cwsd_ring_place {
    uint64_t at;     /* how many bytes of records there are before it */
    uint64_t offset; /* how many bytes of output */
    uint64_t lines;  /* how many lines begin before it */
    bool line_start; /* a line begins here */
};

struct cwsd_ring_mark {
    struct cwsd_ring_place place;
    uint64_t time_us; /* of the record at the place */
};

/* Marks lie at least a MARKS-th part of the capacity apart. */
#define CWSD_RING_MARKS 128

struct cwsd_ring {
    pthread_mutex_t lock; /* for all fields but the path and `kept` */
    char *path;
    bool kept;       /* the file outlives the ring */
    uint64_t key;    /* random; of the check values */
    uint64_t wanted; /* the capacity as it was asked for */
    uint64_t capacity;
    struct cwsd_ring_place base; /* the first place behind the head, until that is overwritten */
    int fd;                      /* -1: not open */
    unsigned uses;               /* of fd at the moment */
    bool made;                   /* the file exists, with something in it */
    bool emptied;                /* it exists and is empty: what was kept is lost */
    bool head_stale;             /* write the file's head before the next record */
    bool resting;                /* close fd after its last use */
    bool forgotten;
    bool unread;                /* an earlier daemon's file, which has not been read yet */
    uint64_t found_size;        /* of that file */
    struct cwsd_ring_place end; /* of what has been written */
    uint64_t valid_from;        /* bytes of records before it are overwritten, or being so */
    bool grows;                 /* it has not wrapped around since `base` */
    uint64_t last_us;
    struct cwsd_ring_mark *marks; /* a ring itself; NULL until there is one */
    size_t first_mark, mark_count;
};

/* Does not create the file yet. `path` must not exist. `capacity` is the largest size of the file,
 * at least CWSD_RING_LEAST. The caller owns the struct. CWS_NO_MEMORY. */
enum cws_status cwsd_ring_init(struct cwsd_ring *ring, const char *path,
                               uint64_t capacity) CWS_MUST_CHECK;
/* Removes the file, unless it is `kept`. */
void cwsd_ring_done(struct cwsd_ring *ring);

/* Appends a record of CWSD_RING_SIZE(len) bytes, whose data and len the caller has set; len is 1 to
 * CWSD_RING_MAX_LEN. One thread at a time. False: the file cannot be written, and the record is
 * lost. */
bool cwsd_ring_append(struct cwsd_ring *ring, struct cwsd_ring_record *record, uint64_t now_us);
/* Instead of an append: the record is lost because there is no memory for it. */
void cwsd_ring_lose(struct cwsd_ring *ring, const uint8_t *data, size_t len);

/* Drops the content, and removes the file. A kept file is emptied instead, so that a later daemon
 * knows. Must not be called during an append, and nothing may be appended afterwards. */
void cwsd_ring_forget(struct cwsd_ring *ring);
/* Closes the file until it is read again. */
void cwsd_ring_rest(struct cwsd_ring *ring);

struct cwsd_ring_place cwsd_ring_end(struct cwsd_ring *ring);
/* The bytes that the file takes on the disk. */
uint64_t cwsd_ring_size(struct cwsd_ring *ring);

/* The oldest mark. False if nothing is kept. */
bool cwsd_ring_oldest(struct cwsd_ring *ring, struct cwsd_ring_place *out_place);
/* The newest mark for which `before` holds; it must hold for all older ones, too. False if there is
 * none. */
bool cwsd_ring_find(struct cwsd_ring *ring,
                    bool (*before)(const struct cwsd_ring_mark *mark, const void *ctx),
                    const void *ctx, struct cwsd_ring_place *out_place);

/* Reads records from `at`, where one must begin, up to `cap` bytes. The last record may be cut off;
 * the first is whole if `cap` is at least CWSD_RING_LEAST. *out_len is 0 at the end. CWS_CLOSED:
 * the records are overwritten. CWS_SYSTEM: they cannot be read. */
enum cws_status cwsd_ring_read(struct cwsd_ring *ring, uint64_t at, void *into, size_t cap,
                               size_t *out_len, struct cws_error *err) CWS_MUST_CHECK;
/* The first record in the `len` bytes that were read, and its size. NULL: it is cut off or, with
 * CWS_PROTOCOL in *err, no record at all, because somebody has changed the file. */
const struct cwsd_ring_record *cwsd_ring_parse(const struct cwsd_ring *ring, const uint8_t *bytes,
                                               size_t len, size_t *out_size, struct cws_error *err);

/* Takes over the file that an earlier daemon has kept, if there is one. Call it before any other
 * use. Nothing may be appended. Until the file has been recovered it is `unread`: only its size is
 * known. */
void cwsd_ring_take_over(struct cwsd_ring *ring);
bool cwsd_ring_is_unread(struct cwsd_ring *ring);
/* Reads an unread file, up to the last record that was written completely, and from behind the last
 * damaged one. If nothing is left, the content counts as lost. Waits for the disk; one thread at a
 * time. After a failure (CWS_NO_MEMORY, CWS_SYSTEM) the file is still unread. ring_recover.c. */
enum cws_status cwsd_ring_recover(struct cwsd_ring *ring, struct cws_error *err) CWS_MUST_CHECK;
