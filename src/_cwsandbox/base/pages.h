/* Memory for large data, straight from the system and straight back to it when freed. Any thread. */
#pragma once

#include "base/base.h"

/* `size` up to whole pages. */
size_t cws_pages_round(size_t size);

/* `size` bytes of zeros, a multiple of the page size; in huge pages where the system has them. NULL when out of memory. */
uint8_t *cws_pages_new(size_t size);
void cws_pages_free(uint8_t *pages, size_t size);
