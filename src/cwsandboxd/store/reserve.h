/*
 * Room on the disk that is kept for making room: a file of nothing, DIR/reserve. When the disk is
 * full, some of it is given back, so that what removes something can still be written. It goes
 * slice by slice, because whoever else writes to the disk may be faster.
 *
 * It does what it can: a file system without room, or without fallocate, has a smaller reserve or
 * none. Loop thread only.
 */
#pragma once

#include "base/base.h"

struct cwsd_reserve {
    int fd; /* -1: there is none */
    uint64_t size;
    uint64_t wanted;
};

/* Takes over the reserve of an earlier daemon, or makes one: of 8 MiB, or an eighth of what is free
 * if that is less. */
void cwsd_reserve_open(struct cwsd_reserve *reserve, const char *dir);
/* The file stays, for the next daemon. Harmless if there is none. */
void cwsd_reserve_close(struct cwsd_reserve *reserve);

/* Gives a slice back to the disk. False: nothing is left. */
bool cwsd_reserve_release(struct cwsd_reserve *reserve);
/* Takes back what was released, as far as there is room again. Costs nothing if nothing was. */
void cwsd_reserve_refill(struct cwsd_reserve *reserve);
