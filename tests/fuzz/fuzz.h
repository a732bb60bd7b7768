/*
 * What the fuzz targets share. Each target defines LLVMFuzzerTestOneInput; libFuzzer, or replay.c
 * for a plain test, calls it with one input after the other.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise of the code under test, in every build. */
#define REQUIRE(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

/* The length of the next piece of `left` bytes, taken from the input's own bytes: 1..left. */
static inline size_t fuzz_piece(uint8_t choice, size_t left)
{
    size_t want = choice < 128 ? 1u + (choice & 15u) : (size_t)choice * 37u;
    return want < left ? want : left;
}
