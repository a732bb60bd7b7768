/* CreateFileSystemSnapshot, GetFileSystemSnapshot, ListFileSystemSnapshots and
 * DeleteFileSystemSnapshot. A create answers at once; clients look for READY with Get. */
#include "base/alloc.h"
#include "sandboxes/saving.h"
#include "service/calls.h"
#include "service/snapshot_view.h"
#include "service/unary.h"
#include "values/page.h"

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

/* Of the request without its page: which list a token belongs to. */
static uint64_t fingerprint(const cwsd_pb_list_snapshots_request *request)
{
    cwsd_pb_list_snapshots_request question = *request;
    question.page_size = 0;
    question.page_token = (char *)protobuf_c_empty_string;
    return cwsd_digest_of(&question.base).half[0];
}

/* What a page is made of: one more than it shows, to see whether there is another page. */
struct content {
    struct cwsd_snapshot *snapshots;
    struct cwsd_snapshot_view *views;
    cwsd_pb_snapshot **messages;
};

static bool fill_page(struct cwsd_unary *unary, struct cwsd_archives *archives,
                      const cwsd_pb_list_snapshots_request *request, const struct cwsd_page *page,
                      const struct content *content, struct cwsd_fault *fault)
{
    cwsd_pb_list_snapshots_response response =
        COREWEAVE__SANDBOX__V1__LIST_FILE_SYSTEM_SNAPSHOTS_RESPONSE__INIT;
    struct cwsd_snapshots *records = cwsd_archives_records(archives);
    struct cws_error err;
    char token[CWSD_PAGE_TOKEN_SIZE] = "";
    size_t count;
    if (cwsd_snapshots_page(records, request->source_sandbox_id, page->after, page->size + 1,
                            content->snapshots, &count, &err) != CWS_OK)
        return cwsd_database_fault(records->database, &err, fault);
    if (count > page->size) {
        count = page->size;
        cwsd_page_token(page, content->snapshots[count - 1].sequence, token);
    }
    for (size_t i = 0; i < count; i++) {
        cwsd_snapshot_view_init(&content->views[i], &content->snapshots[i]);
        content->messages[i] = &content->views[i].message;
    }
    response.n_file_system_snapshots = count;
    response.file_system_snapshots = content->messages;
    response.next_page_token = token;
    return cwsd_unary_answer(unary, &response);
}

static bool handle_list(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_list_snapshots_request *request = message;
    struct cwsd_archives *archives = archives_of(unary, fault);
    if (!archives)
        return false;
    struct cwsd_page page;
    if (!cwsd_page_set_size(&page, request->page_size, fault) ||
        !cwsd_page_set_token(&page, request->page_token, fingerprint(request), fault))
        return false;
    struct content content = {.snapshots = cws_calloc(page.size + 1, sizeof(*content.snapshots)),
                              .views = cws_calloc(page.size + 1, sizeof(*content.views)),
                              .messages = cws_calloc(page.size + 1, sizeof(cwsd_pb_snapshot *))};
    bool answered = content.snapshots && content.views && content.messages
                        ? fill_page(unary, archives, request, &page, &content, fault)
                        : cwsd_fault_set_memory(fault);
    cws_free(content.snapshots);
    cws_free(content.views);
    cws_free(content.messages);
    return answered;
}

const struct cwsd_unary_row cwsd_snapshot_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "CreateFileSystemSnapshot", .handle = handle_create},
    {.path = CWSD_SANDBOX_SERVICE "GetFileSystemSnapshot", .handle = handle_get},
    {.path = CWSD_SANDBOX_SERVICE "ListFileSystemSnapshots", .handle = handle_list},
    {.path = CWSD_SANDBOX_SERVICE "DeleteFileSystemSnapshot", .handle = handle_delete},
    {.path = NULL},
};
