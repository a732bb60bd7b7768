#include "io/tunnel.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

/* No real reply header comes near this size. */
#define HEADER_CEILING ((size_t)16 * 1024)

/* Host, port and user come in several times, each bounded by what a header may be. */
#define REQUEST_CEILING ((size_t)64 * 1024)

struct cws_tunnel {
    struct cws_sock *sock;
    cws_tunnel_done_fn done;
    void *ctx;
    struct cws_buf header;
};

/* --- request --- */

static enum cws_status append_text(struct cws_buf *buf, const char *text)
{
    return cws_buf_append(buf, text, strlen(text));
}

static enum cws_status append_base64(struct cws_buf *buf, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum cws_status status = CWS_OK;
    size_t len = strlen(text);
    for (size_t i = 0; i < len && status == CWS_OK; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = 0;
        char group[4];
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (uint8_t)text[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            group[k] = (char)(k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=');
        status = cws_buf_append(buf, group, sizeof(group));
    }
    return status;
}

static enum cws_status make_request(struct cws_buf *request, const char *host, uint16_t port,
                                    const char *auth)
{
    bool is_ipv6 = strchr(host, ':') != NULL;
    char port_text[16];
    snprintf(port_text, sizeof(port_text), "%s:%u", is_ipv6 ? "]" : "", port);
    const char *const parts[] = {
        "CONNECT ",
        is_ipv6 ? "[" : "",
        host,
        port_text,
        " HTTP/1.1\r\nHost: ",
        is_ipv6 ? "[" : "",
        host,
        port_text,
        "\r\n",
    };
    enum cws_status status = CWS_OK;
    for (size_t i = 0; i < CWS_ARRAY_LEN(parts) && status == CWS_OK; i++)
        status = append_text(request, parts[i]);
    if (auth && status == CWS_OK) {
        status = append_text(request, "Proxy-Authorization: Basic ");
        if (status == CWS_OK)
            status = append_base64(request, auth);
        if (status == CWS_OK)
            status = append_text(request, "\r\n");
    }
    return status == CWS_OK ? append_text(request, "\r\n") : status;
}

/* --- the end of it --- */

static void tunnel_free(struct cws_tunnel *tunnel)
{
    cws_buf_done(&tunnel->header);
    cws_free(tunnel);
}

static void finish(struct cws_tunnel *tunnel, const struct cws_error *err)
{
    struct cws_tunnel ended = *tunnel;
    struct cws_transport *transport = cws_sock_transport(ended.sock);
    tunnel_free(tunnel);
    if (err->status == CWS_OK) {
        ended.done(ended.ctx, transport, NULL);
    } else {
        cws_transport_close(transport);
        ended.done(ended.ctx, NULL, err);
    }
}

/* --- reply --- */

static const uint8_t *find(const uint8_t *bytes, size_t len, const char *text)
{
    return memmem(bytes, len, text, strlen(text));
}

/* Checks the status line, of which `line` has at least "HTTP/". */
static enum cws_status check_status(const char *line, size_t len, struct cws_error *err)
{
    unsigned code = 0;
    if (len < 12 || line[5] != '1' || line[6] != '.' || line[8] != ' ')
        return cws_error_set(err, CWS_PROXY, "the proxy's answer is not HTTP/1.1");
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return cws_error_set(err, CWS_PROXY, "the proxy's answer has no status code");
        code = code * 10 + (unsigned)(line[i] - '0');
    }
    if (code >= 200 && code <= 299)
        return CWS_OK;
    char reason[64] = "";
    for (size_t i = 0; i + 1 < sizeof(reason) && 12 + i < len; i++) {
        char c = line[12 + i];
        bool printable = c >= ' ' && c <= '~'; /* it goes to a terminal; a stranger wrote it */
        reason[i] = (char)(printable ? c : '?');
    }
    return cws_error_set(err, CWS_PROXY, "the proxy answered %u%s", code, reason);
}

/* Takes from `data` what belongs to the header; *out_taken says how much that is. True: the
 * header is complete, or *err says why there will be none. */
static bool read_header(struct cws_tunnel *tunnel, const uint8_t *data, size_t len,
                        size_t *out_taken, struct cws_error *err)
{
    struct cws_buf *header = &tunnel->header;
    size_t before = header->len;
    size_t room = HEADER_CEILING - before;
    enum cws_status status = cws_buf_append(header, data, len < room ? len : room);
    if (status != CWS_OK) {
        cws_error_set(err, status, "%s", cws_status_text(status));
        return true;
    }
    const uint8_t *bytes = cws_buf_bytes(header);
    if (memcmp(bytes, "HTTP/", header->len < 5 ? header->len : 5) != 0) {
        cws_error_set(err, CWS_PROXY, "the proxy's answer is not HTTP");
        return true;
    }
    const uint8_t *end = find(bytes, header->len, "\r\n\r\n");
    if (!end) {
        if (header->len == HEADER_CEILING)
            cws_error_set(err, CWS_PROXY,
                          "the header of the proxy's answer is larger than %zu bytes",
                          HEADER_CEILING);
        return header->len == HEADER_CEILING;
    }
    *out_taken = (size_t)(end + 4 - bytes) - before;
    const uint8_t *line_end = find(bytes, header->len, "\r\n");
    check_status((const char *)bytes, (size_t)(line_end - bytes), err);
    return true;
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_tunnel *tunnel = ctx;
    struct cws_error err = {.status = CWS_OK};
    size_t taken = 0;
    if (!read_header(tunnel, data, len, &taken, &err))
        return;
    if (err.status == CWS_OK) {
        enum cws_status status = cws_sock_rewind(tunnel->sock, data + taken, len - taken);
        if (status != CWS_OK)
            cws_error_set(&err, status, "%s", cws_status_text(status));
    }
    finish(tunnel, &err);
}

static void on_drained(void *ctx)
{
    (void)ctx; /* the request was all there is to say */
}

static void on_closed(void *ctx, const struct cws_error *closed)
{
    struct cws_tunnel *tunnel = ctx;
    struct cws_error err = *closed;
    if (err.status == CWS_OK)
        cws_error_set(&err, CWS_PROXY, "the proxy closed the connection");
    else
        cws_error_wrap(&err, "the proxy");
    finish(tunnel, &err);
}

static const struct cws_transport_events tunnel_events = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

struct cws_tunnel *cws_tunnel_start(struct cws_sock *sock, const char *host, uint16_t port,
                                    const char *auth, cws_tunnel_done_fn done, void *ctx)
{
    struct cws_transport *transport = cws_sock_transport(sock);
    struct cws_buf request;
    cws_buf_init(&request, REQUEST_CEILING);
    struct cws_tunnel *tunnel = cws_calloc(1, sizeof(*tunnel));
    enum cws_status status = tunnel ? make_request(&request, host, port, auth) : CWS_NO_MEMORY;
    if (status == CWS_OK) {
        *tunnel = (struct cws_tunnel){.sock = sock, .done = done, .ctx = ctx};
        cws_buf_init(&tunnel->header, HEADER_CEILING);
        cws_transport_start(transport, &tunnel_events, tunnel);
        status = cws_transport_write(transport, cws_buf_bytes(&request), request.len);
    }
    cws_buf_done(&request);
    if (status == CWS_OK || status == CWS_CLOSED) /* on_closed will say why */
        return tunnel;
    cws_free(tunnel);
    cws_transport_close(transport);
    return NULL;
}

void cws_tunnel_cancel(struct cws_tunnel *tunnel)
{
    struct cws_transport *transport = cws_sock_transport(tunnel->sock);
    tunnel_free(tunnel);
    cws_transport_close(transport);
}
