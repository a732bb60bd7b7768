#include "service/resource_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "values/bounds.h"
#include "values/text.h"

bool cwsd_resource_page_init(struct cwsd_resource_page *page, int32_t size, const char *token,
                             uint64_t filters, struct cwsd_fault *fault)
{
    uint64_t print;
    if (size < 0)
        return cwsd_fault_set_invalid(fault, "page_size", "%d must not be negative", (int)size);
    *page = (struct cwsd_resource_page){size ? (size_t)size : CWSD_DEFAULT_PAGE, 0, filters};
    if (page->size > CWSD_MAX_PAGE)
        page->size = CWSD_MAX_PAGE;
    if (token[0] == '\0')
        return true;
    if (strlen(token) != 32 || strspn(token, "0123456789abcdef") != 32 ||
        sscanf(token, "%16" SCNx64 "%16" SCNx64, (uint64_t *)&page->after, &print) != 2)
        return cwsd_fault_set_invalid(fault, "page_token", "\"%s\" is not one this service gave",
                                      cwsd_text_short(token).text);
    if (print != filters)
        return cwsd_fault_set_invalid(
            fault, "page_token",
            "belongs to another list: the filters must not change between pages");
    return true;
}

void cwsd_resource_page_token(const struct cwsd_resource_page *page, int64_t last,
                              char out_token[CWSD_RESOURCE_TOKEN_SIZE])
{
    snprintf(out_token, CWSD_RESOURCE_TOKEN_SIZE, "%016" PRIx64 "%016" PRIx64, (uint64_t)last,
             page->filters);
}
