/* C calls that Swift's Glibc overlay does not give (it is built without _GNU_SOURCE), and CRC32C.
 *
 * Convention: a function that can fail returns a value >= 0, or -errno; errno itself is not used, so nothing between the
 * call and its check can spoil it. EINTR is retried inside, except where a doc comment says otherwise. */
#ifndef STAVE_CSUPPORT_H
#define STAVE_CSUPPORT_H

#include <spawn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- Constants (values of this machine's kernel headers) ---- */
extern const int cs_o_direct;
extern const int cs_o_cloexec;
extern const int cs_o_directory;
extern const int cs_o_nofollow;
extern const int cs_rwf_nowait;
extern const int cs_rwf_dsync;
extern const unsigned cs_sync_range_wait_before;
extern const unsigned cs_sync_range_write;
extern const unsigned cs_sync_range_wait_after;
extern const int cs_falloc_keep_size;
extern const int cs_falloc_punch_hole;
extern const int cs_falloc_zero_range;
extern const uint32_t cs_in_modify;
extern const uint32_t cs_in_close_write;
extern const uint32_t cs_in_attrib;
extern const uint32_t cs_in_create;
extern const uint32_t cs_in_moved_to;
extern const uint32_t cs_in_delete_self;
extern const uint32_t cs_in_move_self;
extern const uint32_t cs_in_q_overflow;
extern const uint32_t cs_in_ignored;

/* ---- Files ---- */
/* openat(2); O_CLOEXEC is always added. `folder` may be AT_FDCWD (cs_at_fdcwd). */
extern const int cs_at_fdcwd;
int cs_openat(int folder, const char *path, int flags, mode_t mode);
/* close(2), never retried (the descriptor is gone even after EINTR). */
int cs_close(int fd);
/* One positional call each; short counts are given back as they are. flags: cs_rwf_*. */
ssize_t cs_preadv2(int fd, const struct iovec *parts, int count, int64_t offset, int flags);
ssize_t cs_pwritev2(int fd, const struct iovec *parts, int count, int64_t offset, int flags);
ssize_t cs_pread(int fd, void *into, size_t length, int64_t offset);
ssize_t cs_pwrite(int fd, const void *from, size_t length, int64_t offset);
int cs_sync_file_range(int fd, int64_t offset, int64_t length, unsigned flags);
int cs_fallocate(int fd, int mode, int64_t offset, int64_t length);
int cs_ftruncate(int fd, int64_t length);
int cs_fdatasync(int fd);
int cs_fsync(int fd);
/* Size in bytes of the open file, or -errno. */
int64_t cs_file_size(int fd);
/* Bytes the file takes on its file system (st_blocks * 512), or -errno. */
int64_t cs_file_allocated(int fd);
/* Free and total bytes of the file system that holds the open file. */
int cs_filesystem_space(int fd, uint64_t *free_bytes, uint64_t *total_bytes);
int cs_renameat(int from_folder, const char *from, int to_folder, const char *to);
/* renameat2(2) with RENAME_NOREPLACE: -EEXIST if the target exists. */
int cs_rename_no_replace(int from_folder, const char *from, int to_folder, const char *to);
int cs_unlinkat(int folder, const char *name);
int cs_mkdirat(int folder, const char *path, mode_t mode);

/* ---- Locks ---- */
/* flock(2), exclusive, without waiting: 0, -EWOULDBLOCK, -errno. */
int cs_flock_exclusive(int fd);
int cs_flock_unlock(int fd);
/* Open-file-description locks (fcntl F_OFD_SETLK) on a byte range; exclusive != 0 for a write lock; never waits. */
int cs_ofd_lock(int fd, int64_t offset, int64_t length, int exclusive);
int cs_ofd_unlock(int fd, int64_t offset, int64_t length);
/* F_OFD_GETLK: 1 if another description holds a conflicting lock, else 0. */
int cs_ofd_is_locked(int fd, int64_t offset, int64_t length, int exclusive);

/* ---- Wake-ups ---- */
int cs_eventfd(void);               /* non-blocking, close-on-exec, counter 0 */
int cs_eventfd_signal(int fd);      /* adds 1 */
int64_t cs_eventfd_take(int fd);    /* takes the counter; 0 if nothing was signalled */
int cs_inotify_open(void);          /* non-blocking, close-on-exec */
int cs_inotify_watch(int fd, const char *path, uint32_t mask);
int cs_inotify_unwatch(int fd, int watch);

/* ---- Time, boot, threads ---- */
/* CLOCK_BOOTTIME: goes on while the machine sleeps, never steps. */
int64_t cs_boot_time_ns(void);
int64_t cs_boot_time_ms(void);
/* The process to be spawned closes every descriptor from `first` on; 0 or an error number. */
int cs_spawn_close_from(posix_spawn_file_actions_t *actions, int first);
/* CLOCK_REALTIME in nanoseconds: wall-clock time, which may step. */
int64_t cs_wall_time_ns(void);
/* Keeps freed memory of up to a few MiB in the heap: buffers of 1 MiB would else be mapped and cleared at each use. */
void cs_keep_large_allocations(void);
/* CPU time of the calling thread in ns. */
int64_t cs_thread_cpu_ns(void);
/* The kernel's random id of this boot (/proc/sys/kernel/random/boot_id), 16 bytes in the order of its text. */
int cs_boot_id(uint8_t id[16]);
/* Names the calling thread (at most 15 bytes are kept). */
void cs_set_thread_name(const char *name);
int cs_get_thread_name(char *name, size_t capacity);
int cs_thread_id(void);
int cs_process_id(void);
/* A shared read-write mapping of an open file, or NULL with *error = errno. */
void *cs_map_shared(int fd, size_t length, int *error);
/* The same for reading only. */
void *cs_map_shared_for_reading(int fd, size_t length, int *error);
int cs_unmap(void *address, size_t length);
/* A memory file (memfd_create(2)) of this length whose size can never change again: its descriptor, or -errno. */
int cs_memory_file(const char *name, int64_t length);
/* 1 if the size of the memory file can never change, 0 if it can, or -errno. */
int cs_memory_file_is_sealed(int fd);
/* Anonymous zero-filled memory, page-aligned, or NULL. */
void *cs_map_anonymous(size_t length);

/* ---- SQLite ----
 * sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1), which Swift cannot call (variadic): 0, or SQLite's
 * code; -1 where SQLite is not linked. */
int cs_sqlite_no_checkpoint_on_close(void *connection);

/* ---- Call marks: what a watchdog sees of a thread that is inside one call ----
 * A thread that has a mark counts it up when it enters a call that can hang and again when it leaves: an odd count that
 * stays the same is one call that has not come back. Threads without a mark (event loops) pay one load. */
typedef struct {
    _Atomic(uint64_t) count;
    _Atomic(uint64_t) subject; /* whose call it is: the number of a disk */
} cs_call_mark;
extern _Thread_local cs_call_mark *cs_current_call_mark;
/* A new mark (count 0), never NULL unless memory is exhausted; freed by cs_call_mark_free once no thread has it. */
void *cs_call_mark_make(void);
void cs_call_mark_free(void *mark);
/* Gives the calling thread its mark, or takes it away (NULL). */
static inline void cs_call_mark_set(void *mark) { cs_current_call_mark = (cs_call_mark *)mark; }
static inline void cs_call_enter(uint64_t subject) {
    cs_call_mark *mark = cs_current_call_mark;
    if (!mark) return;
    atomic_store_explicit(&mark->subject, subject, memory_order_relaxed);
    atomic_fetch_add_explicit(&mark->count, 1, memory_order_release);
}
static inline void cs_call_leave(void) {
    if (cs_current_call_mark) atomic_fetch_add_explicit(&cs_current_call_mark->count, 1, memory_order_release);
}
static inline uint64_t cs_call_mark_count(void *mark) {
    return atomic_load_explicit(&((cs_call_mark *)mark)->count, memory_order_acquire);
}
/* Belongs to the call that `count` named if the count is still the same afterwards. */
static inline uint64_t cs_call_mark_subject(void *mark) {
    return atomic_load_explicit(&((cs_call_mark *)mark)->subject, memory_order_acquire);
}

/* ---- CRC32C (Castagnoli; RFC 3720 appendix B.4, RFC 9260 appendix A) ----
 * cs_crc32c(cs_crc32c(seed, a), b) == cs_crc32c(seed, ab); the usual checksum of bytes has seed 0. */
uint32_t cs_crc32c(uint32_t seed, const void *bytes, size_t length);
/* The two implementations behind it, for tests; the hardware one only if cs_crc32c_has_hardware(). */
uint32_t cs_crc32c_table(uint32_t seed, const void *bytes, size_t length);
uint32_t cs_crc32c_hardware(uint32_t seed, const void *bytes, size_t length);
int cs_crc32c_has_hardware(void);
/* Checksums of `count` consecutive blocks of `block` bytes, each with its own seed, into `out`. */
void cs_crc32c_blocks(const uint32_t *seeds, const void *bytes, size_t block, size_t count, uint32_t *out);

#endif
