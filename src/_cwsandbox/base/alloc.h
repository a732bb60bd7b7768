/*
 * The core's allocator: libc's, counted, and made to fail on demand in tests.
 *
 * Every block that crosses a module border comes from here, so that "nothing leaked" can be asked
 * of a running process and "what if this allocation fails" can be tried for each one. Any thread.
 */
#pragma once

#include "base/base.h"

/* As malloc, calloc, realloc; NULL when out of memory (or told to fail). */
void *cws_malloc(size_t size) __attribute__((malloc));
void *cws_calloc(size_t count, size_t size) __attribute__((malloc));
void *cws_realloc(void *block, size_t size) CWS_MUST_CHECK;

/* NULL is allowed. */
void cws_free(void *block);

/* A copy of `len` bytes with a terminating NUL after them. NULL when out of memory. */
char *cws_strndup(const char *text, size_t len);
char *cws_strdup(const char *text);

/* Blocks allocated and not freed yet. */
size_t cws_alloc_live(void);

/* Tests only: let the n-th allocation from now (1 = the next) fail, once. 0 turns it off. */
void cws_alloc_fail_at(size_t n);

/* For pages.c: counts a block that is not malloc's. False when it was told to fail. */
bool cws_alloc_count_pages(void) CWS_MUST_CHECK;
void cws_alloc_uncount_pages(void);
