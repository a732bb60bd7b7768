#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "grpc/channel_private.h"

enum {
    DEFAULT_MAX_RECEIVE = 100 * 1024 * 1024,
    DEFAULT_MAX_CONNECTIONS = 64,
};
/* gRPC servers put up with a PING every five minutes, unless they say otherwise. */
static const uint64_t DEFAULT_PING_INTERVAL_NS = 300 * CWS_NS_PER_S;
/* How long an unused channel keeps its connections for the next user. */
static const uint64_t LINGER_NS = 30 * CWS_NS_PER_S;

struct cws_loop *cws_channel_loop(const struct cws_channel *channel)
{
    return channel->loop;
}

bool cws_channel_is_refused(const struct cws_channel *channel)
{
    return atomic_load(&channel->is_refused);
}

void cws_channel_set_extensions(struct cws_channel *channel, unsigned extensions)
{
    atomic_store(&channel->extensions, extensions);
}

unsigned cws_channel_extensions(const struct cws_channel *channel)
{
    return atomic_load(&channel->extensions);
}

/* ---- the key: equal options share one channel ----------------------------------------------- */

static enum cws_status append_part(struct cws_buf *key, const char *bytes, size_t len)
{
    /* Lengths keep "ab"+"c" apart from "a"+"bc". */
    uint64_t prefix = bytes ? len : UINT64_MAX;
    enum cws_status status = cws_buf_append(key, &prefix, sizeof(prefix));
    return status == CWS_OK && bytes ? cws_buf_append(key, bytes, len) : status;
}

static enum cws_status append_text(struct cws_buf *key, const char *text)
{
    return append_part(key, text, text ? strlen(text) : 0);
}

/* The options as one hex text, secrets included: it never leaves this module. */
static char *make_key(const struct cws_channel_options *o, const struct cws_channel *channel)
{
    struct cws_buf key;
    cws_buf_init(&key, 16 * 1024 * 1024);
    char numbers[96];
    snprintf(numbers, sizeof(numbers), "%d/%zu/%u/%" PRIu64, channel->target.tls,
             channel->max_receive, channel->max_connections, channel->ping_interval_ns);
    char *text = NULL;
    if (append_text(&key, numbers) != CWS_OK ||
        append_text(&key, channel->target.authority) != CWS_OK ||
        append_text(&key, channel->target.unix_path) != CWS_OK ||
        append_part(&key, o->roots_pem, o->roots_len) != CWS_OK ||
        append_part(&key, o->cert_pem, o->cert_len) != CWS_OK ||
        append_part(&key, o->key_pem, o->key_len) != CWS_OK)
        goto done;
    for (size_t i = 0; i < channel->metadata.count; i++) {
        const struct cws_metadata_field *field = &channel->metadata.fields[i];
        if (append_part(&key, field->name, field->name_len) != CWS_OK ||
            append_part(&key, field->value, field->value_len) != CWS_OK)
            goto done;
    }
    text = cws_base64_encode(cws_buf_bytes(&key), key.len, false);
done:
    cws_buf_done(&key);
    return text;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void channel_free(struct cws_channel *channel)
{
    cws_target_done(&channel->target);
    cws_metadata_done(&channel->metadata);
    cws_tls_config_unref(channel->tls);
    cws_free(channel->key);
    cws_free(channel);
}

static enum cws_status copy_metadata(struct cws_metadata *to, const struct cws_metadata *from)
{
    if (!from || from->count == 0)
        return CWS_OK;
    to->size = from->size;
    to->fields = cws_calloc(from->count, sizeof(*to->fields));
    if (!to->fields)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < from->count; i++) {
        struct cws_metadata_field *field = &to->fields[to->count++];
        *field = from->fields[i];
        field->name = cws_strndup(from->fields[i].name, from->fields[i].name_len);
        field->value = cws_strndup(from->fields[i].value, from->fields[i].value_len);
        if (!field->name || !field->value)
            return CWS_NO_MEMORY;
    }
    return CWS_OK;
}

static void on_linger_over(struct cws_timer *timer)
{
    struct cws_channel *channel = cws_container_of(timer, struct cws_channel, linger_timer);
    struct cws_registry *registry = cws_loop_registry(channel->loop);
    pthread_mutex_lock(&registry->lock);
    bool unused = channel->users == 0 && !channel->linger_posted && channel->call_count == 0;
    if (unused)
        cws_list_remove(&channel->entry.node);
    bool wait_on = !unused && channel->users == 0;
    pthread_mutex_unlock(&registry->lock);
    if (unused) {
        cws_pool_close(channel);
        channel_free(channel);
    } else if (wait_on) {
        (void)!cws_timer_set(channel->loop, timer, cws_clock_now_ns() + LINGER_NS);
    }
}

/* What still lingers; whoever uses a channel ends before its loop. */
static void on_loop_freed(struct cws_registry_entry *entry)
{
    struct cws_channel *channel = cws_container_of(entry, struct cws_channel, entry);
    assert(channel->users == 0 && channel->call_count == 0);
    cws_timer_cancel(channel->loop, &channel->linger_timer);
    cws_pool_close(channel);
    channel_free(channel);
}

static void on_last_user_gone(struct cws_task *task)
{
    struct cws_channel *channel = cws_container_of(task, struct cws_channel, linger_task);
    struct cws_registry *registry = cws_loop_registry(channel->loop);
    pthread_mutex_lock(&registry->lock);
    channel->linger_posted = false;
    pthread_mutex_unlock(&registry->lock);
    /* Without memory for the timer the connections just stay. */
    (void)!cws_timer_set(channel->loop, &channel->linger_timer, cws_clock_now_ns() + LINGER_NS);
}

static enum cws_status channel_create(struct cws_loop *loop,
                                      const struct cws_channel_options *options,
                                      struct cws_channel **out_channel, struct cws_error *err)
{
    struct cws_channel *channel = cws_calloc(1, sizeof(*channel));
    if (!channel)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a channel");
    channel->loop = loop;
    channel->max_receive = options->max_receive ? options->max_receive : DEFAULT_MAX_RECEIVE;
    channel->max_connections =
        options->max_connections ? options->max_connections : DEFAULT_MAX_CONNECTIONS;
    channel->ping_interval_ns =
        options->ping_interval_ns ? options->ping_interval_ns : DEFAULT_PING_INTERVAL_NS;
    channel->users = 1;
    channel->linger_task.run = on_last_user_gone;
    cws_timer_init(&channel->linger_timer, on_linger_over);
    cws_list_init(&channel->entry.node);
    channel->entry.drop = on_loop_freed;
    cws_pool_init(channel);
    enum cws_status status = cws_target_parse(options->url, &channel->target, err);
    if (status == CWS_OK && copy_metadata(&channel->metadata, options->metadata) != CWS_OK)
        status = cws_error_set(err, CWS_NO_MEMORY, "out of memory for a channel");
    if (status == CWS_OK) {
        channel->key = make_key(options, channel);
        if (!channel->key)
            status = cws_error_set(err, CWS_NO_MEMORY, "out of memory for a channel");
    }
    if (status != CWS_OK) {
        channel_free(channel);
        return status;
    }
    *out_channel = channel;
    return CWS_OK;
}

static struct cws_channel *find_lock_held(struct cws_registry *registry, const char *key)
{
    for (struct cws_list *node = registry->entries.next; node != &registry->entries;
         node = node->next) {
        struct cws_channel *channel = cws_list_entry(node, struct cws_channel, entry.node);
        if (strcmp(channel->key, key) == 0)
            return channel;
    }
    return NULL;
}

static enum cws_status make_tls(struct cws_channel *channel, const struct cws_channel_options *o,
                                struct cws_error *err)
{
    if (!channel->target.tls)
        return CWS_OK;
    struct cws_tls_options tls = {
        .roots_pem = o->roots_pem,
        .roots_len = o->roots_len,
        .cert_pem = o->cert_pem,
        .cert_len = o->cert_len,
        .key_pem = o->key_pem,
        .key_len = o->key_len,
    };
    return cws_tls_config_new(&tls, &channel->tls, err);
}

enum cws_status cws_channel_new(struct cws_loop *loop, const struct cws_channel_options *options,
                                struct cws_channel **out_channel, struct cws_error *err)
{
    struct cws_channel *fresh = NULL;
    enum cws_status status = channel_create(loop, options, &fresh, err);
    if (status != CWS_OK)
        return status;
    assert(fresh);
    struct cws_registry *registry = cws_loop_registry(loop);
    pthread_mutex_lock(&registry->lock);
    struct cws_channel *shared = find_lock_held(registry, fresh->key);
    if (shared) {
        shared->users++;
    } else {
        /* Reading the trust store takes milliseconds: only once per channel, not per look-up. */
        status = make_tls(fresh, options, err);
        if (status == CWS_OK)
            cws_list_push_back(&registry->entries, &fresh->entry.node);
    }
    pthread_mutex_unlock(&registry->lock);
    if (shared || status != CWS_OK)
        channel_free(fresh);
    if (status == CWS_OK)
        *out_channel = shared ? shared : fresh;
    return status;
}

void cws_channel_ref(struct cws_channel *channel)
{
    struct cws_registry *registry = cws_loop_registry(channel->loop);
    pthread_mutex_lock(&registry->lock);
    channel->users++;
    pthread_mutex_unlock(&registry->lock);
}

void cws_channel_unref(struct cws_channel *channel)
{
    if (!channel)
        return;
    struct cws_registry *registry = cws_loop_registry(channel->loop);
    pthread_mutex_lock(&registry->lock);
    bool post = --channel->users == 0 && !channel->linger_posted;
    if (post)
        channel->linger_posted = true;
    pthread_mutex_unlock(&registry->lock);
    if (post)
        cws_loop_post(channel->loop, &channel->linger_task);
}

void cws_channel_count(struct cws_loop *loop, size_t *out_connections, size_t *out_calls)
{
    struct cws_registry *registry = cws_loop_registry(loop);
    *out_connections = *out_calls = 0;
    pthread_mutex_lock(&registry->lock);
    for (struct cws_list *node = registry->entries.next; node != &registry->entries;
         node = node->next) {
        struct cws_channel *channel = cws_list_entry(node, struct cws_channel, entry.node);
        *out_connections += channel->connection_count;
        *out_calls += channel->call_count;
    }
    pthread_mutex_unlock(&registry->lock);
}
