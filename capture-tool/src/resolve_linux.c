/* resolve_linux.c - addresses of a host, found by a thread of their own.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A name server may take many seconds to answer or not to; the other end's bytes are forwarded
 * meanwhile. The answer belongs to the thread and to who asked; the last one frees it.
 */
#include "channel_linux.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct resolver {
    atomic_int owners;
    atomic_bool done;
    int error;
    struct addrinfo *addresses;
    char *host, *port;
};

void resolver_free(struct resolver *resolver)
{
    if (!resolver || atomic_fetch_sub(&resolver->owners, 1) != 1)
        return;
    if (resolver->addresses)
        freeaddrinfo(resolver->addresses);
    free(resolver->host);
    free(resolver->port);
    free(resolver);
}

static void *resolve(void *context)
{
    struct resolver *resolver = context;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    resolver->error = getaddrinfo(resolver->host, resolver->port, &hints, &resolver->addresses);
    if (resolver->error)
        resolver->addresses = NULL;
    atomic_store(&resolver->done, true);
    resolver_free(resolver);
    return NULL;
}

struct resolver *resolver_start(const char *host, const char *port)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    pthread_t thread;

    if (!resolver)
        return NULL;
    resolver->host = strdup(host);
    resolver->port = strdup(port);
    atomic_init(&resolver->owners, 2);
    if (!resolver->host || !resolver->port ||
        pthread_create(&thread, NULL, resolve, resolver) != 0) {
        atomic_store(&resolver->owners, 1);
        resolver_free(resolver);
        return NULL;
    }
    pthread_detach(thread);
    return resolver;
}

bool resolver_done(struct resolver *resolver, int *error, struct addrinfo **addresses)
{
    if (!atomic_load(&resolver->done))
        return false;
    *error = resolver->error;
    *addresses = resolver->addresses;
    resolver->addresses = NULL;
    return true;
}
