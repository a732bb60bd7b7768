#include "values/quantity.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_digits(const char *at)
{
    while (isdigit((unsigned char)*at))
        at++;
    return at;
}

static bool is_exponent(const char *at)
{
    if (*at != 'e' && *at != 'E')
        return false;
    at++;
    if (*at == '+' || *at == '-')
        at++;
    const char *end = skip_digits(at);
    return end > at && *end == '\0';
}

bool cwsd_quantity_is_valid(const char *text)
{
    static const char *const suffixes[] = {"",  "n", "u",  "m",  "k",  "M",  "G",  "T",
                                           "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    const char *whole_end = skip_digits(text);
    const char *at = whole_end;
    bool digits = whole_end > text;
    if (*at == '.') {
        const char *fraction_end = skip_digits(at + 1);
        digits = digits || fraction_end > at + 1;
        at = fraction_end;
    }
    if (!digits || at - text > 30)
        return false;
    for (size_t i = 0; i < CWS_ARRAY_LEN(suffixes); i++)
        if (strcmp(at, suffixes[i]) == 0)
            return true;
    return is_exponent(at);
}

/* What a suffix multiplies by; -1: it is none. */
static long double factor_of(const char *suffix)
{
    static const char letters[] = "kMGTPE";
    long double factor = 1;
    if (suffix[0] == '\0')
        return 1;
    if (suffix[0] == 'e' || suffix[0] == 'E') {
        char *end;
        long exponent = strtol(suffix + 1, &end, 10);
        if (end != suffix + 1 && *end == '\0') {
            for (long i = 0; i < exponent && i < 40; i++)
                factor *= 10;
            for (long i = 0; i > exponent && i > -40; i--)
                factor /= 10;
            return factor;
        }
    }
    if (strcmp(suffix, "m") == 0 || strcmp(suffix, "u") == 0 || strcmp(suffix, "n") == 0)
        return suffix[0] == 'm' ? 1e-3L : suffix[0] == 'u' ? 1e-6L : 1e-9L;
    const char *letter = strchr(letters, suffix[0] == 'K' ? 'k' : suffix[0]);
    assert(letter); /* the quantity is valid */
    for (const char *at = letters; at <= letter; at++)
        factor *= suffix[1] == 'i' ? 1024 : 1000;
    return factor;
}

bool cwsd_quantity_to_bytes(const char *text, uint64_t *out_bytes)
{
    if (!cwsd_quantity_is_valid(text))
        return false;
    long double number = 0, unit = 1;
    const char *at = text;
    for (; isdigit((unsigned char)*at); at++)
        number = number * 10 + (*at - '0');
    if (*at == '.')
        for (at++; isdigit((unsigned char)*at); at++)
            number += (*at - '0') * (unit /= 10);
    number *= factor_of(at);
    if (number > (long double)INT64_MAX)
        return false;
    *out_bytes = (uint64_t)number;
    *out_bytes += *out_bytes < number;
    return true;
}
