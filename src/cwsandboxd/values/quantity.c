#include "values/quantity.h"

#include <ctype.h>
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
