/* Loaded with LD_PRELOAD: counts what a program changes on disk, and ends it, or the disk, there.
 *
 * CUT_BELOW  only files below this folder count
 * CUT_WHAT   only changes of this name count, such as fsync; absent: all
 * CUT_FILE   only files whose path matches this pattern (fnmatch(3)) count
 * CUT_AT     the number of the change, from 1; 0 or absent: none
 * CUT_HOW    before, after, half (of what is written): killed with -9 there;
 *            full: from there on every write fails with ENOSPC; EIO: this one does
 * CUT_LOG    gets one line for each change: its name and file
 *
 * Only the first process counts, not those that it forks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *below, *what, *file, *how, *log_path;
static int at, count;
static pid_t mine;

__attribute__((constructor)) static void begin(void) {
    const char *number = getenv("CUT_AT");
    below = getenv("CUT_BELOW");
    what = getenv("CUT_WHAT");
    file = getenv("CUT_FILE");
    how = getenv("CUT_HOW");
    log_path = getenv("CUT_LOG");
    at = number ? atoi(number) : 0;
    mine = getpid();
}

static int counts(const char *name, const char *path) {
    return below && getpid() == mine && !strncmp(path, below, strlen(below)) &&
           (!what || !strcmp(what, name)) && (!file || !fnmatch(file, path, 0));
}

static int is(const char *what) { return how && !strcmp(how, what); }

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* Give 0: go on; else what errno is to be. */
static int reached(const char *name, const char *path) {
    if (!counts(name, path)) return 0;
    count++;
    if (log_path) {
        char line[4200];
        int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
        ssize_t (*real_write)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
        int fd = real_open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int size = snprintf(line, sizeof line, "%s %s\n", name, path + strlen(below));
        if (fd >= 0) { if (real_write(fd, line, (size_t)size) < 0) abort(); close(fd); }
    }
    if (at && count == at && is("before")) die();
    if (at && count >= at && is("full") && strstr(name, "write")) return ENOSPC;
    if (at && count == at && is("EIO")) return EIO;
    return 0;
}

static void passed(const char *name, const char *path) {
    if (at && count == at && counts(name, path) && is("after")) die();
}

static void path_of(int fd, char *to, size_t size) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, to, size - 1);
    to[length < 0 ? 0 : length] = 0;
}

#define ON_FD(type, name, fd, proto, args)                                                         \
    type name proto {                                                                              \
        type (*real) proto = dlsym(RTLD_NEXT, #name);                                              \
        char path[4096];                                                                           \
        path_of(fd, path, sizeof path);                                                            \
        int failed = reached(#name, path);                                                         \
        if (failed) { errno = failed; return -1; }                                                 \
        HALF                                                                                       \
        type done = real args;                                                                     \
        passed(#name, path);                                                                              \
        return done;                                                                               \
    }

#define HALF if (at && count == at && counts(name_, path) && is("half")) { size /= 2; if (real args_) {} die(); }
#define args_ (fd, data, size)
#define name_ "write"
ON_FD(ssize_t, write, fd, (int fd, const void *data, size_t size), (fd, data, size))
#undef args_
#undef name_
#define args_ (fd, data, size, where)
#define name_ "pwrite64"
ON_FD(ssize_t, pwrite64, fd, (int fd, const void *data, size_t size, off64_t where), (fd, data, size, where))
#undef HALF
#define HALF
ON_FD(int, fsync, fd, (int fd), (fd))
ON_FD(int, fdatasync, fd, (int fd), (fd))
ON_FD(int, ftruncate, fd, (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, fd, (int fd, off64_t size), (fd, size))
ON_FD(int, fchmod, fd, (int fd, mode_t mode), (fd, mode))

#define ON_PATH(name, path, proto, args)                                                           \
    int name proto {                                                                               \
        int (*real) proto = dlsym(RTLD_NEXT, #name);                                               \
        int failed = reached(#name, path);                                                         \
        if (failed) { errno = failed; return -1; }                                                 \
        int done = real args;                                                                      \
        passed(#name, path);                                                                              \
        return done;                                                                               \
    }
ON_PATH(rename, to, (const char *from, const char *to), (from, to))
ON_PATH(unlink, path, (const char *path), (path))
ON_PATH(mkdir, path, (const char *path, mode_t mode), (path, mode))

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                             \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                  \
        va_end(rest);                                                                              \
        int failed = flags & O_CREAT ? reached(#name, path) : 0;                                   \
        if (failed) { errno = failed; return -1; }                                                 \
        int done = real(path, flags, mode);                                                        \
        if (flags & O_CREAT) passed(#name, path);                                                         \
        return done;                                                                               \
    }
OPEN(open)
OPEN(open64)
