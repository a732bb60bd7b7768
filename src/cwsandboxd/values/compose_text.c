/* Texts and words of a Compose file, and what is said about those that are wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "values/compose_private.h"
#include "values/text.h"

bool cwsd_compose_refuse(const struct cwsd_compose_at *at, unsigned line, const char *fmt, ...)
{
    char text[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return cwsd_fault_set_invalid(at->fault, CWSD_COMPOSE_FIELD, "services.%s%s%s (line %u): %s",
                                  cwsd_text_short(at->service).text, at->key ? "." : "",
                                  at->key ? at->key : "", line, text);
}

bool cwsd_compose_refuse_here(const struct cwsd_compose_at *at, unsigned line, const char *key)
{
    cwsd_fault_set(
        at->fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
        CWSD_COMPOSE_FIELD ": services.%s%s%s.%s (line %u): this daemon does not support it",
        cwsd_text_short(at->service).text, at->key ? "." : "", at->key ? at->key : "", key, line);
    cwsd_fault_note(at->fault, "field", CWSD_COMPOSE_FIELD);
    return false;
}

/* Variables come from where Compose is started, and there is nobody here. */
static bool expand(const struct cwsd_compose_at *at, unsigned line, char *text)
{
    size_t to = 0;
    for (size_t from = 0; text[from]; from++) {
        if (text[from] == '$' && text[++from] != '$')
            return cwsd_compose_refuse(
                at, line, "variables have no values here; \"$$\" stands for a dollar sign");
        text[to++] = text[from];
    }
    text[to] = '\0';
    return true;
}

char *cwsd_compose_text(const struct cwsd_compose_at *at, const struct cwsd_yaml *node)
{
    if (node->kind != CWSD_YAML_TEXT) {
        cwsd_compose_refuse(at, node->line, "must be a text");
        return NULL;
    }
    char *text = cws_strdup(node->text);
    if (!text) {
        cwsd_fault_set_memory(at->fault);
        return NULL;
    }
    if (expand(at, node->line, text))
        return text;
    cws_free(text);
    return NULL;
}

void cwsd_compose_free_words(char **words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cws_free(words[i]);
    cws_free(words);
}

static bool copy_list(const struct cwsd_compose_at *at, const struct cwsd_yaml *node, char **words,
                      size_t *count)
{
    for (size_t i = 0; i < node->count; i++) {
        words[*count] = cwsd_compose_text(at, node->items[i].value);
        if (!words[*count])
            return false;
        ++*count;
    }
    return true;
}

/* One word, as a shell reads it. Moves *rest behind it. False: a quote is not closed. */
static bool next_word(const char **rest, char *word)
{
    char quote = '\0';
    const char *at = *rest;
    for (; *at && (quote || !strchr(" \t\n", *at)); at++) {
        if (*at == quote) {
            quote = '\0';
        } else if (!quote && (*at == '\'' || *at == '"')) {
            quote = *at;
        } else {
            bool escapes =
                *at == '\\' && at[1] && (!quote || (quote == '"' && strchr("\\\"$`", at[1])));
            at += escapes;
            *word++ = *at;
        }
    }
    *word = '\0';
    *rest = at;
    return !quote;
}

/* `room` takes any word of the text. */
static bool split_into(const struct cwsd_compose_at *at, unsigned line, const char *text,
                       char *room, char **words, size_t *count)
{
    for (;;) {
        text += strspn(text, " \t\n");
        if (!*text)
            return true;
        if (!next_word(&text, room))
            return cwsd_compose_refuse(at, line, "a quotation mark is not closed");
        words[*count] = cws_strdup(room);
        if (!words[*count])
            return cwsd_fault_set_memory(at->fault);
        ++*count;
    }
}

static bool split(const struct cwsd_compose_at *at, unsigned line, const char *text, char **words,
                  size_t *count)
{
    char *room = cws_malloc(strlen(text) + 1);
    bool good =
        room ? split_into(at, line, text, room, words, count) : cwsd_fault_set_memory(at->fault);
    cws_free(room);
    return good;
}

static size_t most_words(const char *text)
{
    size_t count = 1;
    for (; *text; text++)
        count += strchr(" \t\n", *text) != NULL;
    return count;
}

bool cwsd_compose_words(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                        char ***out_words, size_t *out_count)
{
    char *text = NULL;
    size_t count = 0;
    *out_words = NULL;
    *out_count = 0;
    if (node->kind == CWSD_YAML_NULL)
        return true;
    if (node->kind != CWSD_YAML_LIST && !(text = cwsd_compose_text(at, node)))
        return false;
    char **words = cws_calloc((text ? most_words(text) : node->count) + 1, sizeof(*words));
    bool good = words != NULL;
    if (!good)
        cwsd_fault_set_memory(at->fault);
    else if (text)
        good = split(at, node->line, text, words, &count);
    else
        good = copy_list(at, node, words, &count);
    cws_free(text);
    if (!good) {
        cwsd_compose_free_words(words, count);
        return false;
    }
    *out_words = words;
    *out_count = count;
    return true;
}
