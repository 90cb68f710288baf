/* kdnet-keys.c - KDNET keys from preferences, files and comments. See kdnet-keys.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keys are read as WinDbg reads them: what opens a session there opens it here. Mistakes that
 * WinDbg swallows are reported where the key is entered.
 */
#include "kdnet-keys.h"

#include <epan/uat.h>
#include <stdio.h>
#include <string.h>
#include <wsutil/report_message.h>

#define COMMENT_MARK   "kdnet.key:"
#define LINE_MAX_SIZE  512
#define CANDIDATES_MAX 64 /* keys tried on one datagram */

/* A row of the table kdnet.keys. */
struct key_row {
    char *address;
    char *port;
    char *key;
};

static const char *pref_key = "";
static const char *pref_keylog = "";
static struct key_row *rows;
static unsigned row_count;

/* All of the above, parsed; renewed when preferences change and when a capture is opened. */
static GArray *configured;

/* Of this capture. */
static GPtrArray *control_keys; /* struct kdnet_control_key, in file scope */
static GArray *comment_keys;    /* struct kdnet_key_entry */
static GPtrArray *ciphers;

UAT_CSTRING_CB_DEF(key_rows, address, struct key_row)
UAT_CSTRING_CB_DEF(key_rows, port, struct key_row)
UAT_CSTRING_CB_DEF(key_rows, key, struct key_row)

static void add_key(GArray *list, const struct kdnet_endpoint *endpoint, const char *text)
{
    struct kdnet_key_entry entry = {.endpoint = *endpoint};

    if (kdnet_key_parse_lenient(text, strlen(text), entry.key))
        g_array_append_val(list, entry);
}

static bool row_endpoint(const struct key_row *row, struct kdnet_endpoint *endpoint,
                         struct kdnet_key_error *error)
{
    const char *address = row->address && *row->address ? row->address : "*";
    const char *port = row->port && *row->port ? row->port : "*";
    char *text = strchr(address, ':') && address[0] != '['
                     ? g_strdup_printf("[%s]:%s", address, port)
                     : g_strdup_printf("%s:%s", address, port);
    enum kdnet_key_status status = kdnet_endpoint_parse(text, strlen(text), endpoint, error);

    g_free(text);
    return status == KDNET_KEY_OK;
}

static void read_keylog(GArray *list)
{
    FILE *file = pref_keylog && *pref_keylog ? kdlens_fopen(pref_keylog, "rb") : NULL;
    char line[LINE_MAX_SIZE];
    unsigned number = 0;

    if (!file) {
        if (pref_keylog && *pref_keylog)
            report_failure("KDNET: the key-log file \"%s\" cannot be read: %s", pref_keylog,
                           g_strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file)) {
        struct kdnet_key_entry entry;
        struct kdnet_key_error error;
        enum kdnet_key_status status = kdnet_keylog_parse(line, strlen(line), &entry, &error);

        number++;
        if (status == KDNET_KEY_OK)
            g_array_append_val(list, entry);
        else if (status != KDNET_KEY_BLANK)
            report_warning("KDNET: %s, line %u: %s", pref_keylog, number, error.text);
    }
    fclose(file);
}

/* Keys that name an address first: they are tried first. */
static int compare_entries(const void *a, const void *b)
{
    const struct kdnet_key_entry *left = a, *right = b;

    return (left->endpoint.address_size == 0) - (right->endpoint.address_size == 0);
}

static void read_configuration(void)
{
    static const struct kdnet_endpoint any;

    if (!configured)
        configured = g_array_new(FALSE, FALSE, sizeof(struct kdnet_key_entry));
    g_array_set_size(configured, 0);
    for (unsigned i = 0; i < row_count; i++) {
        struct kdnet_endpoint endpoint;

        if (row_endpoint(&rows[i], &endpoint, NULL))
            add_key(configured, &endpoint, rows[i].key);
    }
    read_keylog(configured);
    if (pref_key && *pref_key)
        add_key(configured, &any, pref_key);
    g_array_sort(configured, compare_entries);
}

static void *copy_row(void *to, const void *from, size_t size _U_)
{
    struct key_row *copy = to;
    const struct key_row *row = from;

    copy->address = g_strdup(row->address);
    copy->port = g_strdup(row->port);
    copy->key = g_strdup(row->key);
    return copy;
}

static kdlens_bool check_row(void *record, char **message)
{
    const struct key_row *row = record;
    struct kdnet_endpoint endpoint;
    struct kdnet_key_error error;
    uint8_t key[KDNET_KEY_SIZE];

    *message = NULL;
    if (row_endpoint(row, &endpoint, &error) &&
        kdnet_key_parse(row->key, strlen(row->key), key, &error) == KDNET_KEY_OK)
        return true;
    *message = g_strdup(error.text);
    return false;
}

static void free_row(void *record)
{
    struct key_row *row = record;

    g_free(row->address);
    g_free(row->port);
    g_free(row->key);
}

static void close_capture(void)
{
    for (unsigned i = 0; ciphers && i < ciphers->len; i++)
        kdnet_cipher_free(g_ptr_array_index(ciphers, i));
    if (ciphers)
        g_ptr_array_set_size(ciphers, 0);
    if (control_keys)
        g_ptr_array_set_size(control_keys, 0);
    if (comment_keys)
        g_array_set_size(comment_keys, 0);
}

static void open_capture(void)
{
    if (!ciphers) {
        ciphers = g_ptr_array_new();
        control_keys = g_ptr_array_new();
        comment_keys = g_array_new(FALSE, FALSE, sizeof(struct kdnet_key_entry));
    }
    read_configuration();
}

struct kdnet_cipher *kdnet_keys_cipher(const uint8_t aes_key[KDNET_KEY_SIZE],
                                       const uint8_t control_key[KDNET_KEY_SIZE])
{
    struct kdnet_cipher *cipher = kdnet_cipher_new(aes_key, control_key);

    if (cipher)
        g_ptr_array_add(ciphers, cipher);
    return cipher;
}

static struct kdnet_control_key *control_key(const uint8_t bytes[KDNET_KEY_SIZE])
{
    struct kdnet_control_key *key;

    for (unsigned i = 0; i < control_keys->len; i++) {
        key = g_ptr_array_index(control_keys, i);
        if (!memcmp(key->bytes, bytes, KDNET_KEY_SIZE))
            return key;
    }
    key = wmem_new0(wmem_file_scope(), struct kdnet_control_key);
    memcpy(key->bytes, bytes, KDNET_KEY_SIZE);
    key->cipher = kdnet_keys_cipher(bytes, bytes);
    g_ptr_array_add(control_keys, key);
    return key;
}

static void see_comment(const char *comment)
{
    static const struct kdnet_endpoint any;
    const char *mark = strstr(comment, COMMENT_MARK);
    char *text;

    if (!mark)
        return;
    mark += strlen(COMMENT_MARK);
    mark += strspn(mark, " \t");
    text = g_strndup(mark, strcspn(mark, " \t\r\n"));
    add_key(comment_keys, &any, text);
    g_free(text);
}

void kdnet_keys_see_comments(const packet_info *pinfo)
{
    char *comment;

    if (!pinfo->rec->block)
        return;
    for (unsigned i = 0; wtap_block_get_nth_string_option_value(pinfo->rec->block, OPT_COMMENT, i,
                                                                &comment) == WTAP_OPTTYPE_SUCCESS;
         i++)
        see_comment(comment);
}

static bool is_end(const struct kdnet_endpoint *endpoint, const address *end, uint32_t port)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    const uint8_t *bytes = end->data;
    int size = end->len;

    if (endpoint->port && endpoint->port != port)
        return false;
    if (!endpoint->address_size)
        return true;
    if (end->type == AT_IPv6 && endpoint->address_size == 4 &&
        !memcmp(bytes, mapped, sizeof mapped)) {
        bytes += sizeof mapped;
        size = 4;
    }
    return (end->type == AT_IPv4 || end->type == AT_IPv6) && size == endpoint->address_size &&
           !memcmp(bytes, endpoint->address, endpoint->address_size);
}

static bool applies(const struct kdnet_key_entry *entry, const packet_info *pinfo)
{
    return is_end(&entry->endpoint, &pinfo->src, pinfo->srcport) ||
           is_end(&entry->endpoint, &pinfo->dst, pinfo->destport);
}

static const struct kdnet_key_entry *nth(const GArray *list, const packet_info *pinfo, unsigned *i)
{
    for (unsigned n = 0; list && n < list->len; n++) {
        const struct kdnet_key_entry *entry = &g_array_index(list, struct kdnet_key_entry, n);

        if (applies(entry, pinfo) && (*i)-- == 0)
            return entry;
    }
    return NULL;
}

struct kdnet_control_key *kdnet_keys_candidate(const packet_info *pinfo, unsigned i)
{
    const struct kdnet_key_entry *entry;

    if (i >= CANDIDATES_MAX)
        return NULL;
    entry = nth(comment_keys, pinfo, &i);
    if (!entry)
        entry = nth(configured, pinfo, &i);
    return entry ? control_key(entry->key) : NULL;
}

void kdnet_keys_register(module_t *module)
{
    static uat_field_t columns[] = {
        UAT_FLD_CSTRING(key_rows, address, "Address",
                        "Address of the target or of the debugger; empty or * for any"),
        UAT_FLD_CSTRING(key_rows, port, "Port", "UDP port; empty or * for any"),
        UAT_FLD_CSTRING(key_rows, key, "Key", "Key as bcdedit /dbgsettings prints it: a.b.c.d"),
        UAT_END_FIELDS,
    };
    uat_t *table = uat_new("KDNET keys", sizeof(struct key_row), "kdnet_keys", TRUE, &rows,
                           &row_count, UAT_AFFECTS_DISSECTION, NULL, copy_row, check_row, free_row,
                           read_configuration, NULL, columns);

    prefs_register_string_preference(
        module, "key", "Key",
        "Key for all KDNET sessions, as bcdedit /dbgsettings prints it: "
        "four base-36 numbers, a.b.c.d",
        &pref_key);
    prefs_register_uat_preference(module, "keys", "Keys by address and port",
                                  "Keys of particular targets; they are tried before the key above",
                                  table);
    prefs_register_filename_preference(module, "keylog_file", "Key-log file",
                                       "Text file with lines KEY, ADDRESS KEY or ADDRESS:PORT KEY",
                                       &pref_keylog, FALSE);
    register_init_routine(open_capture);
    register_cleanup_routine(close_capture);
}
