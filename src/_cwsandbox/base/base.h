/* What every file of the core may rely on: attributes, container_of, array lengths. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define CWS_MUST_CHECK        __attribute__((warn_unused_result))
#define CWS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define CWS_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of type `type` whose member `member` is at `ptr`. */
#define cws_container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define CWS_NS_PER_MS 1000000ull
#define CWS_NS_PER_S  1000000000ull
