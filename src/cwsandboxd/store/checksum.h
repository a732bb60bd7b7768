/*
 * Tells bytes that were written whole from those that were not, or that somebody else has made up
 * who does not know the key. Not cryptographic. Any thread.
 */
#pragma once

#include "base/base.h"

/* `len` is a multiple of 8. */
uint32_t cwsd_checksum(const void *bytes, size_t len, uint64_t key);
