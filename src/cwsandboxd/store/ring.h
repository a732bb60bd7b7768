/*
 * The newest output of one main command, in a file of bounded size. Any thread: one may append
 * while others read. No function holds the lock while it waits for the disk.
 *
 * The file is a ring of records, each the bytes of one read of the command's pipe and the time of
 * their arrival. Once it is full, new records overwrite the oldest. In memory there are only marks,
 * a hundred or so: places where a search may begin.
 *
 * If the disk is full before the file has its full size, the ring goes on with the size that the
 * file has. What cannot be written even so is lost. It counts as overwritten, with all that was
 * kept before; the ring then begins anew.
 *
 * The file says all that is needed to read it again, in its head and in front of each record, with
 * check values. So a later daemon can take it over, however this one ended (ring_recover.c).
 */
#pragma once

#include <pthread.h>
#include <stdio.h>

#include "base/status.h"

/* The least capacity. This much is allocated with the file, so that a ring that has begun can go on
 * when the disk is full. */
#define CWSD_RING_LEAST ((uint64_t)64 * 1024)

/* The file begins with so many bytes that are not part of the ring. */
#define CWSD_RING_HEAD ((uint64_t)64)

/* A record fits into the least ring. Records are aligned, so that one can be looked at where it was
 * read. */
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
/* The memory for one with `len` bytes. */
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
    struct cwsd_ring_place base; /* what lies behind the head, if that is not overwritten yet */
    int fd;                      /* -1: not open */
    unsigned uses;               /* of fd at the moment */
    bool made;                   /* the file exists, with something in it */
    bool emptied;                /* it exists without anything: what was kept is lost */
    bool head_stale;             /* the file's head is to be written before the next record */
    bool resting;                /* close fd after its last use */
    bool forgotten;
    bool unread;                /* an earlier daemon's file, of which nothing is known yet */
    uint64_t found_size;        /* of that file */
    struct cwsd_ring_place end; /* of what has been written */
    uint64_t valid_from;        /* bytes of records before it are overwritten, or being so */
    bool grows;                 /* it has not wrapped around since `base` */
    uint64_t last_us;
    struct cwsd_ring_mark *marks; /* a ring itself; NULL until there is one */
    size_t first_mark, mark_count;
};

/* Creates nothing yet. The file is `path`, which must not exist; `capacity`, the most that it may
 * take, is at least CWSD_RING_LEAST. The struct is the caller's memory. CWS_NO_MEMORY. */
enum cws_status cwsd_ring_init(struct cwsd_ring *ring, const char *path,
                               uint64_t capacity) CWS_MUST_CHECK;
/* Removes the file, unless it is `kept`. */
void cwsd_ring_done(struct cwsd_ring *ring);

/* Appends the record, whose data and len the caller has set; len is 1 to CWSD_RING_MAX_LEN. One
 * thread at a time. The record has CWSD_RING_SIZE(len) bytes. False: the record is lost, because
 * the file cannot be written. */
bool cwsd_ring_append(struct cwsd_ring *ring, struct cwsd_ring_record *record, uint64_t now_us);
/* Counts a record that could not even be held in memory as lost. Instead of an append. */
void cwsd_ring_lose(struct cwsd_ring *ring, const uint8_t *data, size_t len);

/* Drops the content, and removes the file; one that is kept is emptied, so that a later daemon
 * knows. Not while a record is being appended, and none may be appended any more. */
void cwsd_ring_forget(struct cwsd_ring *ring);
/* Closes the file until it is read again. */
void cwsd_ring_rest(struct cwsd_ring *ring);

struct cwsd_ring_place cwsd_ring_end(struct cwsd_ring *ring);
/* How much of the disk it takes. */
uint64_t cwsd_ring_size(struct cwsd_ring *ring);

/* The oldest mark. False if nothing is kept. */
bool cwsd_ring_oldest(struct cwsd_ring *ring, struct cwsd_ring_place *out_place);
/* The newest mark for which `before` holds; it must hold for all older ones, too. False if there is
 * none. */
bool cwsd_ring_find(struct cwsd_ring *ring,
                    bool (*before)(const struct cwsd_ring_mark *mark, const void *ctx),
                    const void *ctx, struct cwsd_ring_place *out_place);

/* Reads records from `at`, where one begins: as many bytes as there are and `cap` allows. The last
 * record may be cut off; if `cap` is at least CWSD_RING_LEAST, the first is whole. *out_len is 0 at
 * the end. CWS_CLOSED: they are overwritten. CWS_SYSTEM: they cannot be read. */
enum cws_status cwsd_ring_read(struct cwsd_ring *ring, uint64_t at, void *into, size_t cap,
                               size_t *out_len, struct cws_error *err) CWS_MUST_CHECK;
/* The first record of `len` bytes that were read, and its size; NULL: it is cut off. CWS_PROTOCOL
 * in *err: it is none; somebody has changed the file. */
const struct cwsd_ring_record *cwsd_ring_parse(const struct cwsd_ring *ring, const uint8_t *bytes,
                                               size_t len, size_t *out_size, struct cws_error *err);

/* A kept file of an earlier daemon, if there is one, is this ring's. Nothing may be appended. Until
 * it has been recovered it is `unread`: only its size is known. Before any other use. */
void cwsd_ring_take_over(struct cwsd_ring *ring);
bool cwsd_ring_is_unread(struct cwsd_ring *ring);
/* Reads an unread file, up to the last record that was written whole; where one before it is
 * damaged, from behind that on. A file of which nothing is left counts as lost. Waits for the disk;
 * one thread at a time. After a failure (CWS_NO_MEMORY, CWS_SYSTEM) it is still unread.
 * ring_recover.c. */
enum cws_status cwsd_ring_recover(struct cwsd_ring *ring, struct cws_error *err) CWS_MUST_CHECK;
