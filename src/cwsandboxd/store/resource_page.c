#include "store/resource_page.h"

#include <string.h>

#include "base/alloc.h"
#include "values/bounds.h"
#include "values/wire.h"

static bool fill(struct cwsd_statement *cursor, const struct cwsd_resource_filter *filter,
                 const struct cwsd_page *wanted, struct cwsd_resource_page *page,
                 struct cwsd_fault *fault)
{
    int64_t last = 0;
    size_t bytes = 0;
    for (;;) {
        struct cwsd_resource next;
        if (!cwsd_resource_next(cursor, &next, fault))
            return false;
        if (!next.message)
            return true;
        bool matches = !filter->matches || filter->matches(next.message, filter->request);
        bool is_full = page->count == wanted->size || bytes > CWSD_MAX_PAGE_BYTES;
        if (matches && is_full) {
            cwsd_page_token(wanted, last, page->next_token);
            cwsd_resource_done(&next);
            return true;
        }
        if (matches) {
            bytes += protobuf_c_message_get_packed_size(next.message);
            last = next.number;
            page->messages[page->count++] = next.message;
            next.message = NULL; /* the page's now */
        }
        cwsd_resource_done(&next);
    }
}

bool cwsd_resource_page_read(struct cwsd_database *database,
                             const struct cwsd_resource_filter *filter,
                             const struct cwsd_page *wanted, struct cwsd_resource_page *out,
                             struct cwsd_fault *fault)
{
    struct cwsd_statement cursor = {0};
    memset(out, 0, sizeof(*out));
    out->messages = cws_calloc(wanted->size, sizeof(*out->messages));
    if (!out->messages)
        return cwsd_fault_set_memory(fault);
    bool good = cwsd_resource_begin(database, filter->kind, (int64_t)wanted->after,
                                    filter->with_deleted, &cursor, fault) &&
                fill(&cursor, filter, wanted, out, fault);
    cwsd_statement_done(&cursor);
    return good;
}

void cwsd_resource_page_done(struct cwsd_resource_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        cwsd_wire_free(page->messages[i]);
    cws_free(page->messages);
    memset(page, 0, sizeof(*page));
}
