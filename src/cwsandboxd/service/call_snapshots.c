/* CreateFileSystemSnapshot, GetFileSystemSnapshot, ListFileSystemSnapshots and
 * DeleteFileSystemSnapshot. A create answers at once; clients look for READY with Get. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "sandboxes/saving.h"
#include "service/calls.h"
#include "service/snapshot_view.h"
#include "service/unary.h"
#include "values/bounds.h"
#include "values/text.h"

#define TOKEN_SIZE 33

static bool answer(struct cwsd_unary *unary, const struct cwsd_snapshot *snapshot)
{
    struct cwsd_snapshot_view view;
    cwsd_snapshot_view_init(&view, snapshot);
    return cwsd_unary_answer(unary, &view.message);
}

static struct cwsd_archives *archives_of(const struct cwsd_unary *unary, struct cwsd_fault *fault)
{
    struct cwsd_archives *archives = cwsd_pool_archives(cwsd_unary_pool(unary));
    if (!archives)
        cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS,
                       "this daemon has no file system snapshots");
    return archives;
}

static bool handle_create(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    struct cwsd_snapshot snapshot;
    return cwsd_saving_create(cwsd_unary_pool(unary), message, &snapshot, fault) &&
           answer(unary, &snapshot);
}

static bool handle_get(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_get_snapshot_request *request = message;
    struct cwsd_archives *archives = archives_of(unary, fault);
    struct cwsd_snapshot snapshot;
    return archives &&
           cwsd_archives_find(archives, request->file_system_snapshot_id, &snapshot, fault) &&
           answer(unary, &snapshot);
}

static bool handle_delete(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_delete_snapshot_request *request = message;
    cwsd_pb_snapshot nothing = COREWEAVE__SANDBOX__V1__FILE_SYSTEM_SNAPSHOT__INIT;
    struct cwsd_archives *archives = archives_of(unary, fault);
    struct cwsd_snapshot snapshot;
    if (!archives)
        return false;
    if (!cwsd_archives_remove(archives, request->file_system_snapshot_id, &snapshot, fault))
        return fault->code == CWS_GRPC_NOT_FOUND && request->allow_missing &&
               cwsd_unary_answer(unary, &nothing);
    snapshot.state = CWSD_SNAPSHOT_STATE(DELETING);
    return answer(unary, &snapshot);
}

/* ---- list ----------------------------------------------------------------------------------- */

/* A token holds the last sequence number, and which list it belongs to. */
static uint64_t fingerprint(const cwsd_pb_list_snapshots_request *request)
{
    cwsd_pb_list_snapshots_request question = *request;
    question.page_size = 0;
    question.page_token = (char *)protobuf_c_empty_string;
    return cwsd_digest_of(&question.base).half[0];
}

static bool parse_token(const cwsd_pb_list_snapshots_request *request, uint64_t *out_after,
                        struct cwsd_fault *fault)
{
    const char *token = request->page_token;
    uint64_t print;
    *out_after = 0;
    if (!token[0])
        return true;
    if (strlen(token) != TOKEN_SIZE - 1 || strspn(token, "0123456789abcdef") != TOKEN_SIZE - 1 ||
        sscanf(token, "%16" SCNx64 "%16" SCNx64, out_after, &print) != 2)
        return cwsd_fault_set_invalid(fault, "page_token", "\"%s\" is not one this service gave",
                                      cwsd_text_short(token).text);
    return print == fingerprint(request) ||
           cwsd_fault_set_invalid(
               fault, "page_token",
               "belongs to another list: the filters must not change between pages");
}

/* What a page is made of: one more than it shows, to see whether there is another page. */
struct page {
    struct cwsd_snapshot *snapshots;
    struct cwsd_snapshot_view *views;
    cwsd_pb_snapshot **messages;
};

static bool fill_page(struct cwsd_unary *unary, struct cwsd_archives *archives,
                      const cwsd_pb_list_snapshots_request *request, size_t size,
                      const struct page *page, struct cwsd_fault *fault)
{
    cwsd_pb_list_snapshots_response response =
        COREWEAVE__SANDBOX__V1__LIST_FILE_SYSTEM_SNAPSHOTS_RESPONSE__INIT;
    struct cwsd_snapshots *records = cwsd_archives_records(archives);
    struct cws_error err;
    char token[TOKEN_SIZE] = "";
    uint64_t after;
    size_t count;
    if (!parse_token(request, &after, fault))
        return false;
    if (cwsd_snapshots_page(records, request->source_sandbox_id, after, size + 1, page->snapshots,
                            &count, &err) != CWS_OK)
        return cwsd_database_fault(records->database, &err, fault);
    if (count > size) {
        count = size;
        snprintf(token, sizeof(token), "%016" PRIx64 "%016" PRIx64,
                 page->snapshots[count - 1].sequence, fingerprint(request));
    }
    for (size_t i = 0; i < count; i++) {
        cwsd_snapshot_view_init(&page->views[i], &page->snapshots[i]);
        page->messages[i] = &page->views[i].message;
    }
    response.n_file_system_snapshots = count;
    response.file_system_snapshots = page->messages;
    response.next_page_token = token;
    return cwsd_unary_answer(unary, &response);
}

static bool handle_list(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_list_snapshots_request *request = message;
    struct cwsd_archives *archives = archives_of(unary, fault);
    if (!archives)
        return false;
    if (request->page_size < 0)
        return cwsd_fault_set_invalid(fault, "page_size", "%d must not be negative",
                                      (int)request->page_size);
    size_t size = request->page_size ? (size_t)request->page_size : CWSD_DEFAULT_PAGE;
    if (size > CWSD_MAX_PAGE)
        size = CWSD_MAX_PAGE;
    struct page page = {.snapshots = cws_calloc(size + 1, sizeof(*page.snapshots)),
                        .views = cws_calloc(size + 1, sizeof(*page.views)),
                        .messages = cws_calloc(size + 1, sizeof(cwsd_pb_snapshot *))};
    bool answered = page.snapshots && page.views && page.messages
                        ? fill_page(unary, archives, request, size, &page, fault)
                        : cwsd_fault_set_memory(fault);
    cws_free(page.snapshots);
    cws_free(page.views);
    cws_free(page.messages);
    return answered;
}

const struct cwsd_unary_row cwsd_snapshot_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "CreateFileSystemSnapshot", .handle = handle_create},
    {.path = CWSD_SANDBOX_SERVICE "GetFileSystemSnapshot", .handle = handle_get},
    {.path = CWSD_SANDBOX_SERVICE "ListFileSystemSnapshots", .handle = handle_list},
    {.path = CWSD_SANDBOX_SERVICE "DeleteFileSystemSnapshot", .handle = handle_delete},
    {.path = NULL},
};
