/* Programs of this host that are found on PATH and run to their end. */
#pragma once

#include "base/status.h"

/* The path of a program on PATH, or else in /usr/sbin or /sbin, which ordinary users often lack.
 * To be freed with cws_free; NULL: there is none, or memory is out. */
char *cwsd_program_find(const char *name);

/* The path of `name` in the folder of the program `path`. As above. */
char *cwsd_program_beside(const char *path, const char *name);

/* Runs argv[0] with an empty environment and `input` (NULL: nothing) as its stdin, and waits until
 * it has ended. Not from inside the loop. CWS_SYSTEM with what it has said on stderr, or else how
 * it has ended, unless it ends with 0. */
enum cws_status cwsd_program_run(char *const argv[], const char *input,
                                 struct cws_error *err) CWS_MUST_CHECK;

/* A descriptor that reads `text`; non-inheritable. -1 with errno set. */
int cwsd_program_input(const char *text);
/* The first line that a program has written to a pipe or to a descriptor made with
 * cwsd_program_input(""), into `text` of `size` bytes. A pipe must be non-blocking. */
void cwsd_program_said(int fd, char *text, size_t size);
/* Writes how a program has ended if `text` is empty: it has said nothing. */
void cwsd_program_ended(int wait_status, char *text, size_t size);
