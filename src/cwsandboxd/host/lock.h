/*
 * A lock on a file that says who lives. It is two locks. One belongs to the process and ends with
 * it. The other belongs to the descriptor, of which a child has a copy until it executes its
 * program: where only that one is held, its daemon was killed a moment ago, and whatever else that
 * had open, such as its sockets, will be free as soon as this is.
 *
 * A process must not open the file of a lock that it holds once more: closing it would release the
 * first of the two.
 */
#pragma once

#include <stdint.h>

/* The descriptor that holds the lock; its path is below `dir_fd`. The file is made if it is
 * missing. Waits for `patience_ns` for the end of a process that has it, and some seconds for the
 * children of one that has ended. -1 with errno: EWOULDBLOCK if it cannot be had. */
int cwsd_lock_take(int dir_fd, const char *path, uint64_t patience_ns);
