/*
 * The least that a client of the service can cost: nghttp2, one connection, one thread, nothing
 * that a user could call. It makes the requests that the scenarios make and looks at the replies
 * only as far as counting their messages, so its figures are the floor under everybody's.
 *
 *   floor_client ADDRESS PORT exec COUNT IN_FLIGHT WORD...     commands, so many of them open at a
 * time floor_client ADDRESS PORT write BYTES PIECE WORD...        one command, given BYTES of stdin
 * in writes of PIECE floor_client ADDRESS PORT tick COUNT MILLISECONDS          commands that say
 * when they said it; the delay is kept
 *
 * Prints one JSON object: ops, wall and CPU seconds, bytes and messages received, and the 50th and
 * 99th percentile of the time from a command's request to its end (tick: from the reply's being
 * sent to its being here).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW       (16 << 20)
#define MESSAGE_HEAD 5
#define READ_SIZE    (256 << 10)

struct bytes {
    uint8_t *data;
    size_t len;
};

/* What a request's body is made of: init once, piece so many times, close where there were
 * pieces. */
struct body {
    struct bytes init, piece, close;
    size_t pieces;
};

struct run {
    nghttp2_session *session;
    int fd;
    const char *authority;
    struct body body;
    size_t count, in_flight, started, ended;
    bool tick;
    size_t bytes, messages;
    uint64_t *delays;
    size_t delay_count;
};

struct stream {
    uint64_t start_ns;
    const struct bytes *part;
    size_t sent, pieces_left;
    uint8_t head[MESSAGE_HEAD];
    size_t head_len, message_left, text_len;
    char text[64];
};

static void die(const char *what)
{
    fprintf(stderr, "floor_client: %s\n", what);
    exit(1);
}

static void check(bool ok, const char *what)
{
    if (!ok)
        die(what);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    check(memory != NULL, "out of memory");
    return memory;
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* ---- messages ------------------------------------------------------------------------------- */

static size_t put_varint(uint8_t *to, size_t value)
{
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        to[len++] = (uint8_t)(value | 0x80);
    to[len++] = (uint8_t)value;
    return len;
}

/* A length-delimited field; to is NULL to learn its size. */
static size_t put_field(uint8_t *to, unsigned number, const void *value, size_t len)
{
    uint8_t head[11] = {(uint8_t)(number << 3 | 2)};
    size_t head_len = 1 + put_varint(head + 1, len);
    if (to != NULL) {
        memcpy(to, head, head_len);
        memcpy(to + head_len, value, len);
    }
    return head_len + len;
}

/* A gRPC message of one field. */
static struct bytes message(unsigned number, const void *value, size_t len)
{
    size_t size = put_field(NULL, number, value, len);
    struct bytes out = {allocate(1, MESSAGE_HEAD + size), MESSAGE_HEAD + size};
    uint32_t wire_size = htonl((uint32_t)size);
    memcpy(out.data + 1, &wire_size, sizeof wire_size);
    put_field(out.data + MESSAGE_HEAD, number, value, len);
    return out;
}

static struct bytes init_message(char **words)
{
    static const char sandbox[] = "floor";
    uint8_t init[4096];
    size_t len = put_field(init, 1, sandbox, strlen(sandbox));
    for (; *words != NULL; words++) {
        check(len + strlen(*words) + 16 < sizeof init, "the command is too long");
        len += put_field(init + len, 2, *words, strlen(*words));
    }
    return message(1, init, len);
}

/* ---- one command ---------------------------------------------------------------------------- */

static const struct bytes *next_part(const struct body *body, struct stream *stream)
{
    if (stream->part == &body->close || body->pieces == 0)
        return NULL;
    if (stream->pieces_left == 0)
        return &body->close;
    stream->pieces_left--;
    return &body->piece;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct run *run = user;
    struct stream *stream = source->ptr;
    size_t len = 0;
    (void)session, (void)id;
    while (stream->part != NULL && len < room) {
        size_t left = stream->part->len - stream->sent;
        size_t take = left < room - len ? left : room - len;
        memcpy(to + len, stream->part->data + stream->sent, take);
        stream->sent += take;
        len += take;
        if (stream->sent == stream->part->len) {
            stream->part = next_part(&run->body, stream);
            stream->sent = 0;
        }
    }
    if (stream->part == NULL)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

#define HEADER(n, v) \
    {(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, strlen(v), NGHTTP2_NV_FLAG_NONE}

static void start(struct run *run)
{
    struct stream *stream = allocate(1, sizeof *stream);
    nghttp2_nv headers[] = {
        HEADER(":method", "POST"),
        HEADER(":scheme", "http"),
        HEADER(":path", "/coreweave.sandbox.v1.SandboxService/StreamExec"),
        HEADER(":authority", run->authority),
        HEADER("content-type", "application/grpc"),
        HEADER("te", "trailers"),
    };
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
    stream->start_ns = now_ns(CLOCK_MONOTONIC);
    stream->part = &run->body.init;
    stream->pieces_left = run->body.pieces;
    check(nghttp2_submit_request(run->session, NULL, headers, sizeof headers / sizeof *headers,
                                 &body, stream) > 0,
          "cannot start a stream");
    run->started++;
}

/* The time at the end of a tick's output, which is its last field. */
static void note_tick(struct run *run, struct stream *stream)
{
    uint64_t now = now_ns(CLOCK_REALTIME);
    size_t at = stream->text_len;
    while (at > 0 && (stream->text[at - 1] == '\n' ||
                      (stream->text[at - 1] >= '0' && stream->text[at - 1] <= '9')))
        at--;
    if (stream->text_len - at > 15 && run->delay_count < run->count)
        run->delays[run->delay_count++] = now - strtoull(stream->text + at, NULL, 10);
    stream->text_len = 0;
}

static void end_message(struct run *run, struct stream *stream)
{
    run->messages++;
    stream->head_len = 0;
    if (run->tick)
        note_tick(run, stream);
}

static void take_data(struct run *run, struct stream *stream, const uint8_t *data, size_t len)
{
    run->bytes += len;
    while (len > 0) {
        size_t take = len;
        if (stream->head_len < MESSAGE_HEAD) {
            stream->head[stream->head_len++] = *data;
            take = 1;
            if (stream->head_len == MESSAGE_HEAD) {
                uint32_t size;
                memcpy(&size, stream->head + 1, sizeof size);
                stream->message_left = ntohl(size);
                if (stream->message_left == 0)
                    end_message(run, stream);
            }
        } else {
            take = take < stream->message_left ? take : stream->message_left;
            if (run->tick && stream->text_len + take < sizeof stream->text) {
                memcpy(stream->text + stream->text_len, data, take);
                stream->text_len += take;
                stream->text[stream->text_len] = '\0';
            }
            stream->message_left -= take;
            if (stream->message_left == 0)
                end_message(run, stream);
        }
        data += take;
        len -= take;
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    (void)flags;
    take_data(user, nghttp2_session_get_stream_user_data(session, id), data, len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct run *run = user;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    check(error == 0, "a stream was reset");
    if (!run->tick)
        run->delays[run->delay_count++] = now_ns(CLOCK_MONOTONIC) - stream->start_ns;
    run->ended++;
    free(stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    static const char status[] = "grpc-status";
    (void)session, (void)frame, (void)flags, (void)user;
    if (name_len == sizeof status - 1 && memcmp(name, status, name_len) == 0)
        check(value_len == 1 && *value == '0', "a command ended with a grpc-status that is not 0");
    return 0;
}

/* ---- the connection ------------------------------------------------------------------------- */

static int dial(const char *address, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(inet_pton(AF_INET, address, &to.sin_addr) == 1, "not an IPv4 address");
    check(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "cannot make the socket non-blocking");
    return fd;
}

static void open_session(struct run *run)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    check(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory");
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    check(nghttp2_session_client_new(&run->session, callbacks, run) == 0, "out of memory");
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(run->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(run->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
}

/* Sends what there is to send; true when the socket took it all. */
static bool flush(struct run *run)
{
    static const uint8_t *rest;
    static ssize_t rest_len;
    static uint8_t buffer[64 << 10];
    for (;;) {
        ssize_t sent, filled = 0;
        if (rest_len == 0) {
            /* Frames are small: one write for as many of them as there are. */
            while (filled < (ssize_t)sizeof buffer - (20 << 10)) {
                const uint8_t *frame;
                ssize_t len = nghttp2_session_mem_send(run->session, &frame);
                check(len >= 0 && len < 20 << 10, "nghttp2 has nothing good to send");
                if (len == 0)
                    break;
                memcpy(buffer + filled, frame, (size_t)len);
                filled += len;
            }
            rest = buffer;
            rest_len = filled;
            if (filled == 0)
                return true;
        }
        sent = send(run->fd, rest, (size_t)rest_len, MSG_NOSIGNAL);
        if (sent < 0) {
            check(errno == EAGAIN, "cannot send");
            return false;
        }
        rest += sent;
        rest_len -= sent;
    }
}

static void receive(struct run *run)
{
    static uint8_t buffer[READ_SIZE];
    ssize_t len = recv(run->fd, buffer, sizeof buffer, 0);
    if (len < 0 && errno == EAGAIN)
        return;
    check(len > 0, "the connection was lost");
    check(nghttp2_session_mem_recv(run->session, buffer, (size_t)len) == len,
          "the server broke HTTP/2");
}

static void work(struct run *run)
{
    while (run->ended < run->count) {
        struct pollfd ready = {.fd = run->fd, .events = POLLIN};
        while (run->started < run->count && run->started - run->ended < run->in_flight)
            start(run);
        if (!flush(run))
            ready.events |= POLLOUT;
        poll(&ready, 1, -1);
        if (ready.revents & ~POLLOUT)
            receive(run);
    }
}

/* ---- figures -------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(const struct run *run, size_t percent)
{
    return run->delay_count == 0
               ? 0
               : (double)run->delays[(run->delay_count - 1) * percent / 100] / 1e9;
}

static size_t number(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    check(*text >= '0' && *text <= '9' && *end == '\0', "a count is not a number");
    return (size_t)value;
}

static void parse(struct run *run, char **argv)
{
    const char *mode = argv[3];
    run->count = run->in_flight = 1;
    if (strcmp(mode, "exec") == 0) {
        run->count = number(argv[4]);
        run->in_flight = number(argv[5]);
        run->body.init = init_message(argv + 6);
    } else if (strcmp(mode, "write") == 0) {
        size_t piece = number(argv[5]);
        check(piece > 0, "a piece has no bytes");
        run->body.init = init_message(argv + 6);
        run->body.piece = message(2, allocate(1, piece), piece);
        run->body.close = message(4, "", 0);
        run->body.pieces = number(argv[4]) / piece;
    } else if (strcmp(mode, "tick") == 0) {
        char tick[] = "tick", once[] = "1";
        char *words[] = {tick, once, argv[5], NULL};
        run->tick = true;
        run->count = number(argv[4]);
        run->body.init = init_message(words);
    } else {
        die("the mode is none of exec, write, tick");
    }
    check(run->count > 0 && run->in_flight > 0, "nothing to do");
    run->delays = allocate(run->count, sizeof *run->delays);
}

int main(int argc, char **argv)
{
    struct run run = {.authority = "localhost"};
    uint64_t begin;
    double cpu, wall;
    check(argc >= 6, "usage: floor_client ADDRESS PORT exec|write|tick NUMBER NUMBER [WORD...]");
    parse(&run, argv);
    run.fd = dial(argv[1], argv[2]);
    open_session(&run);
    begin = now_ns(CLOCK_MONOTONIC);
    cpu = cpu_seconds();
    work(&run);
    cpu = cpu_seconds() - cpu;
    wall = (double)(now_ns(CLOCK_MONOTONIC) - begin) / 1e9;
    qsort(run.delays, run.delay_count, sizeof *run.delays, by_size);
    printf("{\"ops\": %zu, \"wall\": %.6f, \"cpu\": %.6f, \"bytes\": %zu, \"messages\": %zu, "
           "\"p50\": %.9f, "
           "\"p99\": %.9f}\n",
           run.ended, wall, cpu, run.bytes, run.messages, percentile(&run, 50),
           percentile(&run, 99));
    return 0;
}
