/* SandboxTemplateService: specs that are kept, and from which sandboxes are made. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/alloc.h"
#include "service/calls.h"
#include "service/creating.h"
#include "service/view.h"
#include "store/resource_page.h"
#include "values/overlay.h"
#include "values/pairs.h"
#include "values/text.h"

#define KIND CWSD_RESOURCE_TEMPLATE
#define CKS  COREWEAVE__SANDBOX__V1__SANDBOX_MODE__SANDBOX_MODE_CKS
#define ANY  COREWEAVE__SANDBOX__V1__SANDBOX_MODE__SANDBOX_MODE_UNSPECIFIED

static struct cwsd_database *database_of(const struct cwsd_unary *unary)
{
    return cwsd_service_of(unary->call)->database;
}

static cwsd_pb_timestamp now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return cwsd_view_timestamp(time);
}

/* The message has the template's number of changes and its times from here alone. */
static bool answer_template(struct cwsd_unary *unary, const struct cwsd_resource *found)
{
    return cwsd_unary_answer(unary, found->message);
}

/* By id, or by display name among those that are not deleted. False with *fault NOT_FOUND. */
static bool find(struct cwsd_database *database, const char *key, bool deleted,
                 struct cwsd_resource *out, struct cwsd_fault *fault)
{
    memset(out, 0, sizeof(*out));
    if (key[0] == '\0') {
        cwsd_fault_set_invalid(fault, "sandbox_template_id", "must not be empty");
        return false;
    }
    if (!cwsd_resource_find(database, KIND, CWSD_BY_ID, key, out, fault))
        return false;
    if (out->message && (deleted || !out->deleted))
        return true;
    cwsd_resource_done(out);
    if (!cwsd_resource_find(database, KIND, CWSD_BY_NAME, key, out, fault))
        return false;
    if (out->message)
        return true;
    cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_TEMPLATE_NOT_FOUND,
                   "there is no template \"%s\"", cwsd_text_short(key).text);
    cwsd_fault_note(fault, "sandbox_template_id", key);
    return false;
}

/* ---- create --------------------------------------------------------------------------------- */

/* What a template may have, whether it is new or changed. `own` is its number, 0 if it is new. */
static bool check(struct cwsd_database *database, const cwsd_pb_template *template, int64_t own,
                  struct cwsd_fault *fault)
{
    struct cwsd_resource other;
    size_t len = protobuf_c_message_get_packed_size(&template->base);
    if (!template->spec)
        return cwsd_fault_set_invalid(fault, "sandbox_template.spec", "must be given");
    if (strlen(template->display_name) > CWSD_MAX_NAME_BYTES)
        return cwsd_fault_set_invalid(fault, "sandbox_template.display_name",
                                      "has %zu bytes; at most %d are allowed",
                                      strlen(template->display_name), CWSD_MAX_NAME_BYTES);
    if (len > CWSD_MAX_TEMPLATE_BYTES)
        return cwsd_fault_set_invalid(fault, "sandbox_template",
                                      "has %zu bytes; at most %zu are allowed", len,
                                      CWSD_MAX_TEMPLATE_BYTES);
    if (template->attachments)
        return cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                              "sandbox_template.attachments: this daemon has no use for them");
    if (!cwsd_resource_find(database, KIND, CWSD_BY_NAME, template->display_name, &other, fault))
        return false;
    bool taken = other.message && other.number != own;
    if (taken) {
        cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_TEMPLATE_EXISTS,
                       "sandbox_template.display_name: \"%s\" is the name of template %s",
                       cwsd_text_short(template->display_name).text, other.id);
        cwsd_fault_note(fault, "sandbox_template_id", other.id);
    }
    cwsd_resource_done(&other);
    return !taken;
}

/* Answers with the template that an earlier request with this id made. *out_done false, and true
 * returned: there is none. */
static bool answer_repeated(struct cwsd_unary *unary, const char *request_id,
                            struct cwsd_digest digest, bool *out_done, struct cwsd_fault *fault)
{
    struct cwsd_resource made;
    *out_done = false;
    if (strlen(request_id) > CWSD_MAX_REQUEST_ID_BYTES)
        return cwsd_fault_set_invalid(fault, "request_id", "has %zu bytes; at most %d are allowed",
                                      strlen(request_id), CWSD_MAX_REQUEST_ID_BYTES);
    if (!cwsd_resource_find(database_of(unary), KIND, CWSD_BY_REQUEST, request_id, &made, fault))
        return false;
    bool good = !made.message || cwsd_digest_equal(made.digest, digest);
    *out_done = good && made.message;
    if (*out_done)
        answer_template(unary, &made);
    else if (!good)
        cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT,
                       "request_id: \"%s\" was used before for another request; it made %s",
                       cwsd_text_short(request_id).text, made.id);
    cwsd_resource_done(&made);
    return good;
}

static bool check_room(struct cwsd_database *database, struct cwsd_fault *fault)
{
    size_t count;
    if (!cwsd_resource_count(database, KIND, &count, fault))
        return false;
    return count < CWSD_MAX_TEMPLATES ||
           cwsd_fault_set(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_CAPACITY_EXHAUSTED,
                          "there are %zu templates, as many as this daemon keeps", count);
}

/* A copy of the message's struct, with what the service adds. */
static bool add(struct cwsd_unary *unary, const cwsd_pb_template *wanted, const char *request_id,
                struct cwsd_digest digest, struct cwsd_fault *fault)
{
    cwsd_pb_template template = *wanted;
    cwsd_pb_timestamp time = now();
    uint64_t random;
    char id[24];
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort(); /* as for sandboxes */
    snprintf(id, sizeof(id), "tmpl-%016llx", (unsigned long long)random);
    template.sandbox_template_id = id;
    template.revision = 1;
    template.create_time = template.update_time = &time;
    template.delete_time = NULL;
    template.create_user_id = (char *)protobuf_c_empty_string;
    template.deleted = false;
    struct cwsd_resource resource = {.kind = KIND,
                                     .id = id,
                                     .name = template.display_name,
                                     .request_id = request_id,
                                     .digest = digest,
                                     .message = &template};
    return cwsd_resource_add(database_of(unary), &resource, fault) &&
           answer_template(unary, &resource);
}

static bool handle_create(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_template_create_request *request = message;
    const cwsd_pb_template *wanted = request->sandbox_template;
    bool done;
    if (!wanted)
        return cwsd_fault_set_invalid(fault, "sandbox_template", "must be given");
    if (wanted->sandbox_template_id[0])
        return cwsd_fault_set_invalid(fault, "sandbox_template.sandbox_template_id",
                                      "must be empty: the service assigns it");
    struct cwsd_digest digest = cwsd_digest_of(&wanted->base);
    if (!answer_repeated(unary, request->request_id, digest, &done, fault))
        return false;
    return done ||
           (check(database_of(unary), wanted, 0, fault) && check_room(database_of(unary), fault) &&
            add(unary, wanted, request->request_id, digest, fault));
}

/* ---- get, list ------------------------------------------------------------------------------ */

static bool handle_get(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_template_get_request *request = message;
    struct cwsd_resource found;
    bool good = find(database_of(unary), request->sandbox_template_id, request->show_deleted,
                     &found, fault) &&
                answer_template(unary, &found);
    cwsd_resource_done(&found);
    return good;
}

static bool handle_list(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_template_list_request *request = message;
    cwsd_pb_template_list_response response =
        COREWEAVE__SANDBOX__V1__LIST_SANDBOX_TEMPLATES_RESPONSE__INIT;
    const struct cwsd_resource_filter filter = {.kind = KIND,
                                                .with_deleted = request->show_deleted};
    struct cwsd_page wanted;
    struct cwsd_resource_page page;
    if (!cwsd_page_set_size(&wanted, request->page_size, fault) ||
        !cwsd_page_set_token(&wanted, request->page_token, request->show_deleted, fault))
        return false;
    bool good = cwsd_resource_page_read(database_of(unary), &filter, &wanted, &page, fault);
    if (good) {
        response.n_sandbox_templates = page.count;
        response.sandbox_templates = (cwsd_pb_template **)page.messages;
        response.next_page_token = page.next_token;
        cwsd_unary_answer(unary, &response);
    }
    cwsd_resource_page_done(&page);
    return good;
}

/* ---- update, delete ------------------------------------------------------------------------- */

/* No mask, or "*": both are replaced. */
static bool read_mask(const Google__Protobuf__FieldMask *mask, bool *out_name, bool *out_spec,
                      struct cwsd_fault *fault)
{
    *out_name = *out_spec = !mask || mask->n_paths == 0;
    for (size_t i = 0; mask && i < mask->n_paths; i++) {
        const char *path = mask->paths[i];
        bool all = strcmp(path, "*") == 0;
        bool name = all || strcmp(path, "display_name") == 0;
        bool spec = all || strcmp(path, "spec") == 0;
        if (!name && !spec)
            return cwsd_fault_set_invalid(
                fault, "update_mask",
                "\"%s\" cannot be changed; display_name and spec can, each as a whole",
                cwsd_text_short(path).text);
        *out_name |= name;
        *out_spec |= spec;
    }
    return true;
}

static bool update(struct cwsd_unary *unary, const cwsd_pb_template_update_request *request,
                   struct cwsd_resource *found, struct cwsd_fault *fault)
{
    const cwsd_pb_template *wanted = request->sandbox_template;
    cwsd_pb_template template = *(cwsd_pb_template *)found->message;
    cwsd_pb_timestamp time = now();
    bool name, spec;
    if (!wanted)
        return cwsd_fault_set_invalid(fault, "sandbox_template", "must be given");
    if (wanted->sandbox_template_id[0] && strcmp(wanted->sandbox_template_id, found->id) != 0)
        return cwsd_fault_set_invalid(fault, "sandbox_template.sandbox_template_id",
                                      "cannot be changed");
    if (!read_mask(request->update_mask, &name, &spec, fault))
        return false;
    if (name)
        template.display_name = wanted->display_name;
    if (spec)
        template.spec = wanted->spec;
    template.revision++;
    template.update_time = &time;
    if (!check(database_of(unary), &template, found->number, fault))
        return false;
    struct cwsd_resource changed = *found;
    changed.name = template.display_name;
    changed.message = &template;
    return cwsd_resource_save(database_of(unary), &changed, fault) &&
           answer_template(unary, &changed);
}

static bool handle_update(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_template_update_request *request = message;
    struct cwsd_resource found;
    bool good = find(database_of(unary), request->sandbox_template_id, false, &found, fault) &&
                update(unary, request, &found, fault);
    cwsd_resource_done(&found);
    return good;
}

static bool handle_delete(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_template_delete_request *request = message;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    struct cwsd_resource found;
    if (!find(database_of(unary), request->sandbox_template_id, false, &found, fault)) {
        cwsd_resource_done(&found);
        return false;
    }
    cwsd_pb_template template = *(cwsd_pb_template *)found.message;
    cwsd_pb_timestamp time = now();
    template.deleted = true;
    template.delete_time = &time;
    struct cwsd_resource changed = found;
    changed.deleted = true;
    changed.message = &template;
    bool good = cwsd_resource_save(database_of(unary), &changed, fault) &&
                cwsd_resource_prune(database_of(unary), KIND, CWSD_MAX_TEMPLATES, fault) &&
                cwsd_unary_answer(unary, &empty);
    cwsd_resource_done(&found);
    return good;
}

/* ---- a sandbox from a template -------------------------------------------------------------- */

/* Equal requests become equal messages. What is given twice is refused later, in the spec. */
static void sort_maps(cwsd_pb_partial_spec *spec)
{
    struct cwsd_pairs annotations = CWSD_PAIRS(spec, annotations);
    cwsd_pairs_sort(&annotations);
    for (size_t i = 0; i < spec->n_containers; i++) {
        struct cwsd_pairs environment = CWSD_PAIRS(spec->containers[i], environment_variables);
        cwsd_pairs_sort(&environment);
    }
}

/* The whole spec: the template's, with the request's fields in place of its own. */
static cwsd_pb_spec *resolve(const struct cwsd_resource *found,
                             const cwsd_pb_from_template_request *request, struct cwsd_fault *fault)
{
    const cwsd_pb_template *template = found->message;
    cwsd_pb_spec *spec = cwsd_overlay_spec(template->spec, request->overrides, fault);
    if (!spec || !template->requires_cks)
        return spec;
    if (spec->mode == ANY)
        spec->mode = CKS;
    if (spec->mode == CKS)
        return spec;
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_PLACEMENT,
                   "overrides.mode: template %s needs the mode SANDBOX_MODE_CKS", found->id);
    cwsd_wire_free(spec);
    return NULL;
}

static struct cwsd_sandbox *create_from(struct cwsd_unary *unary,
                                        const cwsd_pb_from_template_request *request,
                                        struct cwsd_digest digest, struct cwsd_fault *fault)
{
    cwsd_pb_create_request create = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    struct cwsd_resource found;
    struct cwsd_sandbox *made = NULL;
    if (!find(database_of(unary), request->template_id, false, &found, fault))
        goto done;
    sandbox.spec = resolve(&found, request, fault);
    if (!sandbox.spec || !cwsd_volumes_check(cwsd_service_of(unary->call), sandbox.spec, fault))
        goto done;
    sandbox.display_name = request->display_name;
    create.sandbox = &sandbox;
    create.request_id = request->request_id;
    const struct cwsd_origin origin = {.digest = digest,
                                       .template_id = found.id,
                                       .template_revision =
                                           ((cwsd_pb_template *)found.message)->revision};
    made = cwsd_pool_create_from(cwsd_unary_pool(unary), &create, &origin, fault);
done:
    cwsd_wire_free(sandbox.spec); /* NULL once the sandbox has it */
    cwsd_resource_done(&found);
    return made;
}

/* A repeated request finds its sandbox whatever has become of the template. */
static bool handle_from_template(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    cwsd_pb_from_template_request *request = message;
    if (request->overrides)
        sort_maps(request->overrides);
    cwsd_pb_from_template_request question = *request;
    question.request_id = (char *)protobuf_c_empty_string;
    struct cwsd_digest digest = cwsd_digest_of(&question.base);
    struct cwsd_sandbox *sandbox =
        cwsd_pool_find_repeated(cwsd_unary_pool(unary), request->request_id, digest, fault);
    if (!sandbox && !cwsd_fault_is_set(fault))
        sandbox = create_from(unary, request, digest, fault);
    return sandbox && cwsd_creating_answer(unary, sandbox);
}

const struct cwsd_unary_row cwsd_template_rows[] = {
    {.path = CWSD_TEMPLATE_SERVICE "CreateSandboxTemplate", .handle = handle_create},
    {.path = CWSD_TEMPLATE_SERVICE "GetSandboxTemplate", .handle = handle_get},
    {.path = CWSD_TEMPLATE_SERVICE "ListSandboxTemplates", .handle = handle_list},
    {.path = CWSD_TEMPLATE_SERVICE "UpdateSandboxTemplate", .handle = handle_update},
    {.path = CWSD_TEMPLATE_SERVICE "DeleteSandboxTemplate", .handle = handle_delete},
    {.path = CWSD_SANDBOX_SERVICE "CreateSandboxFromTemplate",
     .handle = handle_from_template,
     .size = sizeof(struct cwsd_creating),
     .closed = cwsd_creating_closed},
    {.path = NULL},
};
