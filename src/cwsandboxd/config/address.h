/* An address to listen on, as written on the command line. Values only; any thread. */
#pragma once

#include <sys/un.h>

#include "base/status.h"

struct cwsd_address {
    bool is_unix;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* is_unix */
    char host[46];                                          /* an IP literal, without brackets */
    uint16_t port;                                          /* 0: any free one */
    bool is_loopback;
    bool is_any; /* 0.0.0.0 or [::]: every address of this host, and so none to connect to */
};

/* Parses "unix:///absolute/path", "127.0.0.1:4711" or "[::1]:0". CWS_INVALID names the value and
 * the rule. */
enum cws_status cwsd_address_parse(const char *text, struct cwsd_address *out_address,
                                   struct cws_error *err) CWS_MUST_CHECK;

/* The address as a client's base URL: "unix:///path", "http://127.0.0.1:4711",
 * "https://[::1]:4711". */
#define CWSD_ADDRESS_URL_SIZE 128
void cwsd_address_url(const struct cwsd_address *address, bool tls,
                      char out_url[CWSD_ADDRESS_URL_SIZE]);
