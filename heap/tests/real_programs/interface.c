/* Everything that C programs may ask of malloc and its kin. Ends with status 0 and one line, or at the first wrong answer. */

#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* So that the compiler does not know what comes back, and leaves nothing out. */
static void *seen(void *pointer) {
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static int is_aligned(const void *pointer, size_t align) {
    return (uintptr_t)pointer % align == 0;
}

static int is_full_of(const unsigned char *bytes, size_t size, unsigned char fill) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill)
            return 0;
    return 1;
}

static void sizes(void) {
    for (size_t size = 0; size < 3000000; size = size * 5 / 4 + 1) {
        unsigned char *plain = seen(malloc(size));
        CHECK(plain != NULL && is_aligned(plain, 16));
        CHECK(malloc_usable_size(plain) >= size);
        memset(plain, 0xaa, size);
        unsigned char *clear = seen(calloc(size, 1));
        CHECK(clear != NULL && is_aligned(clear, 16) && is_full_of(clear, size, 0));
        memset(clear, 0xbb, size);
        CHECK(is_full_of(plain, size, 0xaa));
        free(plain);
        CHECK(is_full_of(clear, size, 0xbb));
        free(clear);
        /* What was used before is cleared again. */
        clear = seen(calloc(1, size));
        CHECK(clear != NULL && is_full_of(clear, size, 0));
        free(clear);
    }
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0);
}

static void alignments(void) {
    for (size_t align = 1; align <= 1 << 21; align *= 2) {
        for (size_t size = 1; size < 600000; size = size * 9 + 5) {
            void *made[3] = {memalign(align, size), aligned_alloc(align, size), NULL};
            int error = posix_memalign(&made[2], align, size);
            if (align < sizeof(void *)) {
                CHECK(error == EINVAL && made[2] == NULL);
                made[2] = malloc(size);
            } else {
                CHECK(error == 0);
            }
            for (int i = 0; i < 3; i++) {
                CHECK(made[i] != NULL && is_aligned(made[i], i < 2 ? align : 8));
                CHECK(malloc_usable_size(made[i]) >= size);
                memset(made[i], i + 1, size);
            }
            for (int i = 0; i < 3; i++) {
                CHECK(is_full_of(made[i], size, i + 1));
                unsigned char *grown = realloc(made[i], 2 * size + 100);
                CHECK(grown != NULL && is_full_of(grown, size, i + 1));
                free(grown);
            }
        }
    }
    void *pages = valloc(1);
    CHECK(is_aligned(pages, 4096));
    free(pages);
    pages = pvalloc(5000);
    CHECK(is_aligned(pages, 4096) && malloc_usable_size(pages) >= 8192);
    free(pages);
    void *untouched = &pages;
    CHECK(posix_memalign(&untouched, 24, 8) == EINVAL && untouched == &pages);
    CHECK(posix_memalign(&untouched, 0, 8) == EINVAL && untouched == &pages);
}

static void resizing(void) {
    unsigned char *object = realloc(NULL, 1);
    object[0] = 7;
    size_t size = 1;
    for (int step = 1; step < 400; step++) {
        size_t next = 1 + (size_t)step * step * 7919 % 700000;
        object = realloc(object, next);
        CHECK(object != NULL && is_aligned(object, 16));
        CHECK(is_full_of(object, next < size ? next : size, 7));
        memset(object, 7, next);
        size = next;
    }
    object = reallocarray(object, 1000, 1000);
    CHECK(object != NULL && is_full_of(object, size, 7));
    CHECK(realloc(seen(object), 0) == NULL);
}

static void too_much(void) {
    /* Volatile, so that the compiler does not know better than to ask. */
    volatile size_t half = SIZE_MAX / 2, all = SIZE_MAX, most = SIZE_MAX / 16;
    unsigned char *object = malloc(100);
    void *untouched = NULL;
    memset(object, 5, 100);
    errno = 0;
    CHECK(malloc(most) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(realloc(object, most) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(malloc(half) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(malloc(all) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(half, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(realloc(object, half) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(object, half, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(memalign(1 << 20, half) == NULL && errno == ENOMEM);
    CHECK(posix_memalign(&untouched, 4096, half) == ENOMEM && untouched == NULL);
    CHECK(is_full_of(object, 100, 5));
#if __GLIBC_PREREQ(2, 33)
    void *large = seen(malloc(5 << 20));
    errno = 77;
    free(object);
    free(large);
    CHECK(errno == 77);
#else
    free(object);
#endif
}

#define THREADS 4
#define ROUNDS 20000
#define PLACES 512

static void *_Atomic places[PLACES];

/* Puts objects into places that all threads share, and frees what it finds there: mostly what another thread has made. */
static void *exchange(void *number) {
    unsigned state = 12345 + (unsigned)(uintptr_t)number;
    for (int round = 0; round < ROUNDS; round++) {
        state = state * 1664525 + 1013904223;
        size_t size = 8 + (state >> 8) % (round % 100 == 0 ? 300000 : 2000);
        unsigned char *object = malloc(size);
        CHECK(object != NULL);
        memcpy(object, &size, sizeof size);
        memset(object + sizeof size, (unsigned char)size, size - sizeof size);
        void *found = __atomic_exchange_n(&places[(state >> 4) % PLACES], object, __ATOMIC_ACQ_REL);
        if (found != NULL) {
            memcpy(&size, found, sizeof size);
            CHECK(is_full_of((unsigned char *)found + sizeof size, size - sizeof size, (unsigned char)size));
            free(found);
        }
    }
    return NULL;
}

/* Forks while the other threads allocate. The children allocate too: the lock must not be left taken in them. */
static void fork_amid_threads(void) {
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            for (size_t size = 1; size < 400000; size *= 2)
                free(seen(calloc(1, size)));
            _exit(33);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 33);
    }
}

static void threads(void) {
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, exchange, (void *)i) == 0);
    fork_amid_threads();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (int i = 0; i < PLACES; i++)
        free(places[i]);
}

int main(void) {
    sizes();
    alignments();
    resizing();
    too_much();
    threads();
    puts("every answer was right");
    return 0;
}
