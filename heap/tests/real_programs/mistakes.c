/* Does one thing that is wrong, which its argument names. Ends with status 0 if nobody minds. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* So that the compiler does not see the mistake. */
static void *seen(void *pointer) {
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

/* A handler that allocates, which no handler may do: malloc itself may have been interrupted. */
static void allocate(int signal) {
    (void)signal;
    free(seen(malloc(100)));
}

/* Allocates a billion times, interrupted some thousand times a second. */
static void allocate_amid_signals(void) {
    struct itimerval often = {{0, 100}, {0, 100}};
    signal(SIGALRM, allocate);
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned long i = 0; i < 1000000000; i++)
        free(seen(malloc(100)));
}

int main(int count, char **arguments) {
    static char not_allocated[4096];
    const char *mistake = count > 1 ? arguments[1] : "";
    char *object = malloc(100);
    char *neighbour = malloc(100);
    memset(object, 0x11, 100);
    memset(neighbour, 0x11, 100);
    if (strcmp(mistake, "double free") == 0) {
        free(object);
        free(seen(object));
    } else if (strcmp(mistake, "interior free") == 0) {
        free(seen(object + 48));
    } else if (strcmp(mistake, "foreign free") == 0) {
        /* With something in front of it that would do for malloc's own notes. */
        size_t notes[] = {100, 16};
        memcpy(not_allocated + 2032, notes, sizeof notes);
        free(seen(not_allocated + 2048));
    } else if (strcmp(mistake, "resized after free") == 0) {
        free(object);
        object = realloc(seen(object), 5000);
    } else if (strcmp(mistake, "overwritten header") == 0) {
        /* A block is 256 KiB, aligned to as much, and begins with what the heap notes of it. */
        uintptr_t address = (uintptr_t)seen(object);
        memset(seen((void *)(address - address % (256 * 1024))), 0, 4096);
    } else if (strcmp(mistake, "handler that allocates") == 0) {
        allocate_amid_signals();
    } else {
        return 2;
    }
    return 0;
}
