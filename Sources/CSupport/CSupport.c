#define _GNU_SOURCE
#include "CSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

const int cs_o_direct = O_DIRECT;
const int cs_o_cloexec = O_CLOEXEC;
const int cs_o_directory = O_DIRECTORY;
const int cs_o_nofollow = O_NOFOLLOW;
const int cs_rwf_nowait = RWF_NOWAIT;
const int cs_rwf_dsync = RWF_DSYNC;
const unsigned cs_sync_range_wait_before = SYNC_FILE_RANGE_WAIT_BEFORE;
const unsigned cs_sync_range_write = SYNC_FILE_RANGE_WRITE;
const unsigned cs_sync_range_wait_after = SYNC_FILE_RANGE_WAIT_AFTER;
const int cs_falloc_keep_size = FALLOC_FL_KEEP_SIZE;
const int cs_falloc_punch_hole = FALLOC_FL_PUNCH_HOLE;
const int cs_falloc_zero_range = FALLOC_FL_ZERO_RANGE;
const uint32_t cs_in_modify = IN_MODIFY;
const uint32_t cs_in_close_write = IN_CLOSE_WRITE;
const uint32_t cs_in_attrib = IN_ATTRIB;
const uint32_t cs_in_create = IN_CREATE;
const uint32_t cs_in_moved_to = IN_MOVED_TO;
const uint32_t cs_in_delete_self = IN_DELETE_SELF;
const uint32_t cs_in_move_self = IN_MOVE_SELF;
const uint32_t cs_in_q_overflow = IN_Q_OVERFLOW;
const uint32_t cs_in_ignored = IN_IGNORED;
const int cs_at_fdcwd = AT_FDCWD;

_Thread_local cs_call_mark *cs_current_call_mark = NULL;

void *cs_call_mark_make(void) {
    cs_call_mark *mark = aligned_alloc(64, 64); /* a cache line of its own: two threads never share one */
    if (!mark) return NULL;
    atomic_init(&mark->count, 0);
    atomic_init(&mark->subject, 0);
    return mark;
}

void cs_call_mark_free(void *mark) { free(mark); }

#define RETRIED(type, call)                                                                                            \
    type result;                                                                                                       \
    do {                                                                                                               \
        result = (call);                                                                                               \
    } while (result < 0 && errno == EINTR);                                                                            \
    return result < 0 ? -errno : result

int cs_openat(int folder, const char *path, int flags, mode_t mode) {
    RETRIED(int, openat(folder, path, flags | O_CLOEXEC, mode));
}

int cs_close(int fd) { return close(fd) < 0 ? -errno : 0; }

ssize_t cs_preadv2(int fd, const struct iovec *parts, int count, int64_t offset, int flags) {
    RETRIED(ssize_t, preadv2(fd, parts, count, offset, flags));
}

ssize_t cs_pwritev2(int fd, const struct iovec *parts, int count, int64_t offset, int flags) {
    RETRIED(ssize_t, pwritev2(fd, parts, count, offset, flags));
}

ssize_t cs_pread(int fd, void *into, size_t length, int64_t offset) { RETRIED(ssize_t, pread(fd, into, length, offset)); }

ssize_t cs_pwrite(int fd, const void *from, size_t length, int64_t offset) {
    RETRIED(ssize_t, pwrite(fd, from, length, offset));
}

int cs_sync_file_range(int fd, int64_t offset, int64_t length, unsigned flags) {
    RETRIED(int, sync_file_range(fd, offset, length, flags));
}

int cs_fallocate(int fd, int mode, int64_t offset, int64_t length) { RETRIED(int, fallocate(fd, mode, offset, length)); }

int cs_ftruncate(int fd, int64_t length) { RETRIED(int, ftruncate(fd, length)); }

/* A sync that ends by EINTR has reported no error of writing: that one would have come first. So it may be retried. */
int cs_fdatasync(int fd) { RETRIED(int, fdatasync(fd)); }

int cs_fsync(int fd) { RETRIED(int, fsync(fd)); }

int64_t cs_file_size(int fd) {
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : (int64_t)status.st_size;
}

int64_t cs_file_allocated(int fd) {
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : (int64_t)status.st_blocks * 512;
}

int cs_filesystem_space(int fd, uint64_t *free_bytes, uint64_t *total_bytes) {
    struct statvfs status;
    if (fstatvfs(fd, &status) < 0) return -errno;
    *free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    *total_bytes = (uint64_t)status.f_blocks * status.f_frsize;
    return 0;
}

int cs_renameat(int from_folder, const char *from, int to_folder, const char *to) {
    RETRIED(int, renameat(from_folder, from, to_folder, to));
}

int cs_rename_no_replace(int from_folder, const char *from, int to_folder, const char *to) {
    RETRIED(int, renameat2(from_folder, from, to_folder, to, RENAME_NOREPLACE));
}

int cs_unlinkat(int folder, const char *name) { RETRIED(int, unlinkat(folder, name, 0)); }

int cs_mkdirat(int folder, const char *path, mode_t mode) { RETRIED(int, mkdirat(folder, path, mode)); }

int cs_flock_exclusive(int fd) { RETRIED(int, flock(fd, LOCK_EX | LOCK_NB)); }

int cs_flock_unlock(int fd) { RETRIED(int, flock(fd, LOCK_UN)); }

static int ofd_call(int fd, int command, short type, int64_t offset, int64_t length, short *found) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = length, .l_pid = 0};
    int result;
    do {
        result = fcntl(fd, command, &lock);
    } while (result < 0 && errno == EINTR);
    if (found) *found = lock.l_type;
    return result < 0 ? -errno : 0;
}

int cs_ofd_lock(int fd, int64_t offset, int64_t length, int exclusive) {
    return ofd_call(fd, F_OFD_SETLK, exclusive ? F_WRLCK : F_RDLCK, offset, length, NULL);
}

int cs_ofd_unlock(int fd, int64_t offset, int64_t length) {
    return ofd_call(fd, F_OFD_SETLK, F_UNLCK, offset, length, NULL);
}

int cs_ofd_is_locked(int fd, int64_t offset, int64_t length, int exclusive) {
    short found = F_UNLCK;
    int result = ofd_call(fd, F_OFD_GETLK, exclusive ? F_WRLCK : F_RDLCK, offset, length, &found);
    return result < 0 ? result : found != F_UNLCK;
}

int cs_eventfd(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cs_eventfd_signal(int fd) {
    const uint64_t one = 1;
    ssize_t result;
    do {
        result = write(fd, &one, sizeof one);
    } while (result < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so its reader is woken in any case. */
    return result < 0 && errno != EAGAIN ? -errno : 0;
}

int64_t cs_eventfd_take(int fd) {
    uint64_t count = 0;
    ssize_t result;
    do {
        result = read(fd, &count, sizeof count);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return errno == EAGAIN ? 0 : -errno;
    return count > INT64_MAX ? INT64_MAX : (int64_t)count;
}

int cs_inotify_open(void) {
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cs_inotify_watch(int fd, const char *path, uint32_t mask) {
    int watch = inotify_add_watch(fd, path, mask);
    return watch < 0 ? -errno : watch;
}

int cs_inotify_unwatch(int fd, int watch) { return inotify_rm_watch(fd, watch) < 0 ? -errno : 0; }

/* Weak: targets that do not use SQLite link without it. */
extern int sqlite3_db_config(void *connection, int operation, ...) __attribute__((weak));

int cs_sqlite_no_checkpoint_on_close(void *connection) {
    const int no_checkpoint_on_close = 1006; /* SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, part of SQLite's stable interface */
    if (!sqlite3_db_config) return -1;
    return sqlite3_db_config(connection, no_checkpoint_on_close, 1, (int *)NULL);
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t cs_boot_time_ns(void) { return nanoseconds(CLOCK_BOOTTIME); }

int64_t cs_boot_time_ms(void) { return nanoseconds(CLOCK_BOOTTIME) / 1000000; }

int64_t cs_thread_cpu_ns(void) { return nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    return -1;
}

int cs_boot_id(uint8_t id[16]) {
    char text[64];
    int fd = cs_openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    if (fd < 0) return fd;
    ssize_t length = cs_pread(fd, text, sizeof text, 0);
    cs_close(fd);
    if (length < 0) return (int)length;
    int digits = 0;
    for (ssize_t i = 0; i < length && digits < 32; i++) {
        int value = hex_value(text[i]);
        if (text[i] == '-') continue;
        if (value < 0) break;
        id[digits / 2] = (uint8_t)(digits % 2 == 0 ? value << 4 : id[digits / 2] | value);
        digits++;
    }
    return digits == 32 ? 0 : -EINVAL;
}

void cs_set_thread_name(const char *name) {
    char kept[16];
    snprintf(kept, sizeof kept, "%s", name);
    pthread_setname_np(pthread_self(), kept);
}

int cs_get_thread_name(char *name, size_t capacity) { return -pthread_getname_np(pthread_self(), name, capacity); }

int cs_thread_id(void) { return (int)gettid(); }

void *cs_map_shared(int fd, size_t length, int *error) {
    void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address != MAP_FAILED) return address;
    *error = errno;
    return NULL;
}

void *cs_map_shared_for_reading(int fd, size_t length, int *error) {
    void *address = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (address != MAP_FAILED) return address;
    *error = errno;
    return NULL;
}

static const int size_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

int cs_memory_file(const char *name, int64_t length) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    if (ftruncate(fd, length) < 0 || fcntl(fd, F_ADD_SEALS, size_seals) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int cs_memory_file_is_sealed(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    return seals < 0 ? -errno : (seals & size_seals) == size_seals;
}

int cs_process_id(void) { return getpid(); }

int cs_unmap(void *address, size_t length) { return munmap(address, length) < 0 ? -errno : 0; }

void *cs_map_anonymous(size_t length) {
    void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

int64_t cs_wall_time_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void cs_keep_large_allocations(void) {
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

int cs_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}
