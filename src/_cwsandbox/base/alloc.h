/*
 * The core's allocator: libc's, but counted, and able to fail on demand in tests.
 *
 * Every block that is passed between modules comes from here. So a running process can be asked
 * whether anything has leaked, and tests can make each single allocation fail. Any thread.
 */
#pragma once

#include "base/base.h"

/* As malloc, calloc and realloc. NULL when out of memory, or when told to fail. */
void *cws_malloc(size_t size) __attribute__((malloc));
void *cws_calloc(size_t count, size_t size) __attribute__((malloc));
void *cws_realloc(void *block, size_t size) CWS_MUST_CHECK;

/* NULL is allowed. */
void cws_free(void *block);

/* A copy of `len` bytes, or of a whole string, with a terminating NUL. NULL when out of memory. */
char *cws_strndup(const char *text, size_t len);
char *cws_strdup(const char *text);

/* How many blocks are allocated and not freed yet. */
size_t cws_alloc_live(void);

/* For tests: makes the n-th allocation from now (1: the next) fail, once. 0 turns this off. */
void cws_alloc_fail_at(size_t n);

/* For pages.c: counts a block that is not from malloc. False if this allocation was told to
 * fail. */
bool cws_alloc_count_pages(void) CWS_MUST_CHECK;
void cws_alloc_uncount_pages(void);
