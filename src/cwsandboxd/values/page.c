#include "values/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "values/bounds.h"
#include "values/text.h"

bool cwsd_page_set_size(struct cwsd_page *page, int32_t size, struct cwsd_fault *fault)
{
    if (size < 0)
        return cwsd_fault_set_invalid(fault, "page_size", "%d must not be negative", (int)size);
    page->size = size ? (size_t)size : CWSD_DEFAULT_PAGE;
    if (page->size > CWSD_MAX_PAGE)
        page->size = CWSD_MAX_PAGE;
    return true;
}

bool cwsd_page_set_token(struct cwsd_page *page, const char *token, uint64_t filters,
                         struct cwsd_fault *fault)
{
    uint64_t print;
    page->after = 0;
    page->filters = filters;
    if (token[0] == '\0')
        return true;
    if (strlen(token) != 32 || strspn(token, "0123456789abcdef") != 32 ||
        sscanf(token, "%16" SCNx64 "%16" SCNx64, &page->after, &print) != 2)
        return cwsd_fault_set_invalid(fault, "page_token", "\"%s\" is not one this service gave",
                                      cwsd_text_short(token).text);
    if (print != filters)
        return cwsd_fault_set_invalid(
            fault, "page_token",
            "belongs to another list: the filters must not change between pages");
    return true;
}

void cwsd_page_token(const struct cwsd_page *page, uint64_t last,
                     char out_token[CWSD_PAGE_TOKEN_SIZE])
{
    snprintf(out_token, CWSD_PAGE_TOKEN_SIZE, "%016" PRIx64 "%016" PRIx64, last, page->filters);
}
