/*
 * Messages of DNS: what a sandbox asks, and what it is answered. What comes is a stranger's. Values
 * only.
 */
#pragma once

#include <netinet/in.h>

#include "names.h"

/* What every asker takes in one datagram; no answer here is longer. */
#define CWSE_ANSWER_SIZE 512

struct cwse_question {
    char name[CWSE_NAME_SIZE]; /* "": it is no host name */
    bool wants_ipv4;           /* its addresses, of IPv4 */
    size_t end;                /* of the part of the message that the answer repeats */
};

/* The code to answer with: 0 (ns_r_noerror) if it is a question, and *out_question is written;
 * another if it cannot be one. -1: it gets no answer. */
int cwse_question_read(const uint8_t *message, size_t len, struct cwse_question *out_question);

/* Writes an answer to `message` with this code and these addresses, and returns its length.
 * `question` is NULL if cwse_question_read returned a code other than 0. */
size_t cwse_answer_write(const uint8_t *message, const struct cwse_question *question, int code,
                         const struct in_addr *addresses, size_t count,
                         uint8_t out[CWSE_ANSWER_SIZE]);
