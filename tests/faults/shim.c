/* Loaded into a process before its other libraries (LD_PRELOAD): what it does to files below some folders is written
 * to a log, in order and with its bytes, and can be made to fail, stall or kill the process at a chosen step.
 *
 * Environment: FAULTS_FOLDERS (absolute, separated by ':'), FAULTS_LOG, FAULTS_CONTROL (a file of rules, mapped; see
 * shim.py, which writes it and whose layouts must agree with those here). Files whose names end in -shm are left alone:
 * SQLite keeps its index of the log there and makes it anew after a crash.
 *
 * A record is written after its step has been done, so a process killed between the two leaves a step out: one that no
 * later sync covers, which a disk may lose anyway. The record of a sync names the first step that it need not cover.
 * Real work goes by syscall(2), so no symbol of the C library is looked up. 64-bit Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, TRUNCATE = 4, EXTEND = 8, SYNC = 16, RENAME = 32, UNLINK = 64, LINK = 128, ODD = 256 };
enum { CREATED = 1, EMPTIED = 2, FOLDER = 4 };
enum { KILL_BEFORE = 10000, KILL_AFTER = 10001 };
enum { RULES = 8, FILES = 65536, HALF = -1 };

struct record {
    uint64_t seq, inode, place, covers;
    uint32_t op, error, path_bytes, data_bytes;
};

/* From the step after the next `skip` ones that match on: `times` of them (0: all) fail with errno `action`. */
struct rule {
    uint32_t armed, ops, skip, times, action, stall_ms, hits, torn;
    char pattern[96];
};

static struct {
    char *path;
    uint64_t inode;
    int appends;
} files[FILES];
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER, judging = PTHREAD_MUTEX_INITIALIZER;
static const char *folders;
static struct rule *rules;
static uint64_t next_seq = 1;
static int log_fd = -1;

static void give_up(const char *why) {
    dprintf(2, "fault shim: %s: %s\n", why, strerror(errno));
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("FAULTS_LOG"), *control = getenv("FAULTS_CONTROL");
    if (!log || !control || !getenv("FAULTS_FOLDERS")) return;
    int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    int rules_fd = syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC);
    rules = mmap(NULL, RULES * sizeof *rules, PROT_READ | PROT_WRITE, MAP_SHARED, rules_fd, 0);
    if (fd < 0 || log_fd < 0 || rules == MAP_FAILED) give_up("cannot open log or control file");
    syscall(SYS_close, fd);
    syscall(SYS_close, rules_fd);
    folders = strdup(getenv("FAULTS_FOLDERS"));
    unsetenv("LD_PRELOAD"); /* children write no store */
}

/* Whether `name`, as a path from `dir`, is below one of the folders; `path` becomes its absolute form. */
static int ours(int dir, const char *name, char path[PATH_MAX]) {
    if (!folders || !name) return 0;
    char base[PATH_MAX] = "";
    if (name[0] != '/') {
        if (dir == AT_FDCWD ? !getcwd(base, sizeof base) : dir < 0 || dir >= FILES || !files[dir].path) return 0;
        if (dir != AT_FDCWD) snprintf(base, sizeof base, "%s", files[dir].path);
        strncat(base, "/", sizeof base - strlen(base) - 1);
    }
    if (snprintf(path, PATH_MAX, "%s%s", base, name) >= PATH_MAX) return 0;
    size_t length = strlen(path);
    if (length > 4 && !strcmp(path + length - 4, "-shm")) return 0;
    for (const char *one = folders; *one; one += *one == ':') {
        size_t n = strcspn(one, ":");
        if (!strncmp(path, one, n) && (path[n] == '/' || !path[n])) return 1;
        one += n;
    }
    return 0;
}

static int known(int fd) { return fd >= 0 && fd < FILES && files[fd].path; }

/* Writes one record; the caller holds `order`. */
static void note(uint32_t op, const char *path, uint64_t inode, uint64_t place, uint64_t covers, const void *data,
                 size_t bytes, uint32_t error) {
    struct record head = {next_seq++, inode, place, covers, op, error, strlen(path), bytes};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, bytes}};
    ssize_t whole = sizeof head + head.path_bytes + bytes;
    if (syscall(SYS_writev, log_fd, parts, 3) != whole) give_up("cannot write the log");
}

/* What the rules say of a step: 0 go on, HALF write half, or an errno. `last`: the process ends after the step. */
static int judge(uint32_t op, const char *path, int *last) {
    uint32_t stall_ms = 0;
    int fault = 0;
    pthread_mutex_lock(&judging);
    for (struct rule *rule = rules; rule < rules + RULES; rule++) {
        if (!rule->armed || !(rule->ops & op) || fnmatch(rule->pattern, path, 0)) continue;
        if (rule->skip) {
            rule->skip--;
            continue;
        }
        rule->hits++;
        stall_ms = rule->stall_ms;
        if (rule->action == KILL_BEFORE) kill(getpid(), SIGKILL);
        if (rule->action == KILL_AFTER) *last = 1;
        if (rule->action < KILL_BEFORE) fault = rule->torn && op == WRITE ? HALF : (int)rule->action;
        if (rule->torn) rule->torn = 0;
        else if (rule->times && !--rule->times) rule->armed = 0;
        break;
    }
    pthread_mutex_unlock(&judging);
    struct timespec pause = {stall_ms / 1000, stall_ms % 1000 * 1000000L};
    if (stall_ms) nanosleep(&pause, NULL);
    return fault;
}

static void end_if(int last) {
    if (last) kill(getpid(), SIGKILL);
}

/* A step on names: renamed, unlinked, linked. `path` holds one or two paths, the second after a line feed. */
static int named(uint32_t op, const char *path, long call, long a, long b, long c, long d, long e) {
    int last = 0, fault = judge(op, path, &last);
    if (fault) return errno = fault, -1;
    pthread_mutex_lock(&order);
    int result = syscall(call, a, b, c, d, e), saved = errno;
    if (!result) note(op, path, 0, 0, 0, NULL, 0, 0);
    pthread_mutex_unlock(&order);
    end_if(last);
    return errno = saved, result;
}

static int opened(int dir, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!ours(dir, name, path)) return syscall(SYS_openat, dir, name, flags, mode);
    int last = 0, fault = flags & O_CREAT ? judge(OPEN, path, &last) : 0;
    if (fault) return errno = fault, -1;
    struct stat about;
    pthread_mutex_lock(&order);
    int existed = !syscall(SYS_faccessat, dir, name, F_OK);
    int fd = syscall(SYS_openat, dir, name, flags, mode), saved = errno;
    if (fd >= FILES) give_up("too many open files");
    if (fd >= 0 && !fstat(fd, &about)) {
        int folder = S_ISDIR(about.st_mode);
        files[fd].path = strdup(path);
        files[fd].inode = about.st_ino;
        files[fd].appends = flags & O_APPEND;
        uint64_t how = (existed ? 0 : CREATED) | (flags & O_TRUNC ? EMPTIED : 0) | (folder ? FOLDER : 0);
        if (!folder) note(OPEN, path, about.st_ino, how, 0, NULL, 0, 0);
    }
    pthread_mutex_unlock(&order);
    end_if(last);
    return errno = saved, fd;
}

/* Writes at `place`, or where the file stands (-1). */
static ssize_t put(int fd, const void *data, size_t bytes, off64_t place) {
    int last = 0, fault = judge(WRITE, files[fd].path, &last);
    if (fault > 0) return errno = fault, -1;
    if (fault == HALF) bytes = (bytes + 1) / 2;
    pthread_mutex_lock(&order);
    ssize_t done = place < 0 ? syscall(SYS_write, fd, data, bytes) : syscall(SYS_pwrite64, fd, data, bytes, place);
    int saved = errno;
    if (done > 0) {
        off64_t start = place < 0 ? lseek64(fd, 0, SEEK_CUR) - done : place;
        struct stat about;
        if (place >= 0 && files[fd].appends && !fstat(fd, &about)) start = about.st_size - done; /* pwrite(2), Bugs */
        note(WRITE, files[fd].path, files[fd].inode, start, 0, data, done, 0);
    }
    pthread_mutex_unlock(&order);
    end_if(last);
    return errno = saved, done;
}

static ssize_t put_parts(int fd, const struct iovec *parts, int count, off64_t place) {
    ssize_t whole = 0;
    for (int n = 0; n < count; n++) {
        ssize_t done = put(fd, parts[n].iov_base, parts[n].iov_len, place < 0 ? place : place + whole);
        if (done < 0) return whole ? whole : done;
        whole += done;
        if ((size_t)done < parts[n].iov_len) break;
    }
    return whole;
}

static int synced(int fd, long call) {
    if (!known(fd)) return syscall(call, fd);
    int last = 0, fault = judge(SYNC, files[fd].path, &last);
    pthread_mutex_lock(&order);
    uint64_t covers = next_seq;
    pthread_mutex_unlock(&order);
    struct stat about;
    int folder = !fstat(fd, &about) && S_ISDIR(about.st_mode);
    /* not under the lock: other files are written meanwhile */
    int result = fault > 0 ? -1 : syscall(call, fd), saved = fault > 0 ? fault : errno;
    pthread_mutex_lock(&order);
    note(SYNC, files[fd].path, files[fd].inode, folder ? FOLDER : 0, covers, NULL, 0, result ? saved : 0);
    pthread_mutex_unlock(&order);
    end_if(last);
    return errno = saved, result;
}

static int sized(int fd, uint32_t op, off64_t length, long call, long a, long b, long c) {
    int last = 0, fault = judge(op, files[fd].path, &last);
    if (fault > 0) return errno = fault, -1;
    pthread_mutex_lock(&order);
    int result = syscall(call, fd, a, b, c), saved = errno;
    if (!result) note(op, files[fd].path, files[fd].inode, length, 0, NULL, 0, 0);
    pthread_mutex_unlock(&order);
    end_if(last);
    return errno = saved, result;
}

static int paired(uint32_t op, int from, const char *old, int to, const char *new, long call, unsigned flags) {
    char one[PATH_MAX], two[PATH_MAX], both[2 * PATH_MAX + 1];
    int first = ours(from, old, one), second = ours(to, new, two);
    if (!first && !second) return syscall(call, from, old, to, new, flags);
    snprintf(both, sizeof both, "%s\n%s", first ? one : "", second ? two : "");
    return named(op, both, call, from, (long)old, to, (long)new, flags);
}

/* What the process calls. On 64-bit Linux each pair of names is one function. */

int openat64(int dir, const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(dir, name, flags, mode);
}
int openat(int dir, const char *name, int flags, ...) __attribute__((alias("openat64")));
int open64(const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(AT_FDCWD, name, flags, mode);
}
int open(const char *name, int flags, ...) __attribute__((alias("open64")));
int creat64(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat(const char *name, mode_t mode) __attribute__((alias("creat64")));
int close(int fd) {
    if (fd >= 0 && fd < FILES) files[fd].path = NULL; /* leaked: another thread may still read it */
    return syscall(SYS_close, fd);
}

ssize_t write(int fd, const void *data, size_t bytes) {
    return known(fd) ? put(fd, data, bytes, -1) : syscall(SYS_write, fd, data, bytes);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t place) {
    return known(fd) ? put(fd, data, bytes, place) : syscall(SYS_pwrite64, fd, data, bytes, place);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t place) __attribute__((alias("pwrite64")));
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return known(fd) ? put_parts(fd, parts, count, -1) : syscall(SYS_writev, fd, parts, count);
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t place, int flags) {
    return known(fd) ? put_parts(fd, parts, count, place) : syscall(SYS_pwritev2, fd, parts, count, place, 0, flags);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t place) {
    return known(fd) ? put_parts(fd, parts, count, place) : syscall(SYS_pwritev, fd, parts, count, place, 0);
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int ftruncate64(int fd, off64_t length) {
    return known(fd) ? sized(fd, TRUNCATE, length, SYS_ftruncate, length, 0, 0) : syscall(SYS_ftruncate, fd, length);
}
int ftruncate(int fd, off_t length) __attribute__((alias("ftruncate64")));
int fallocate64(int fd, int mode, off64_t offset, off64_t bytes) {
    if (!known(fd)) return syscall(SYS_fallocate, fd, mode, offset, bytes);
    return sized(fd, mode ? ODD : EXTEND, offset + bytes, SYS_fallocate, mode, offset, bytes);
}
int fallocate(int fd, int mode, off_t offset, off_t bytes) __attribute__((alias("fallocate64")));
int posix_fallocate64(int fd, off64_t offset, off64_t bytes) { return fallocate64(fd, 0, offset, bytes) ? errno : 0; }
int posix_fallocate(int fd, off_t offset, off_t bytes) __attribute__((alias("posix_fallocate64")));

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return paired(flags ? ODD : RENAME, from, old, to, new, SYS_renameat2, flags);
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return paired(LINK, from, old, to, new, SYS_linkat, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int dir, const char *name, int flags) {
    char path[PATH_MAX];
    if (flags || !ours(dir, name, path)) return syscall(SYS_unlinkat, dir, name, flags);
    return named(UNLINK, path, SYS_unlinkat, dir, (long)name, 0, 0, 0);
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

/* What the model of a disk does not know is made known as odd, or refused so that plain writes are used instead. */
void *mmap64(void *near, size_t bytes, int protection, int flags, int fd, off64_t offset) {
    if (known(fd) && flags & MAP_SHARED && protection & PROT_WRITE) {
        pthread_mutex_lock(&order);
        note(ODD, files[fd].path, files[fd].inode, 0, 0, NULL, 0, 0);
        pthread_mutex_unlock(&order);
    }
    return (void *)syscall(SYS_mmap, near, bytes, protection, flags, fd, offset);
}
void *mmap(void *near, size_t bytes, int protection, int flags, int fd, off_t off) __attribute__((alias("mmap64")));
ssize_t sendfile64(int to, int from, off64_t *offset, size_t bytes) {
    return known(to) ? (errno = ENOTSOCK, -1) : syscall(SYS_sendfile, to, from, offset, bytes);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t bytes) __attribute__((alias("sendfile64")));
