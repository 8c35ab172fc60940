// A steady load on one file over NFS, through libnfs as QEMU uses it, that tells how long its requests took.
//
//   nfs-load URL DEPTH WRITE_PERCENT BYTES
//
// Keeps DEPTH requests of 4 KiB in flight at pseudo-random places of the file's first BYTES, WRITE_PERCENT of them unstable
// writes, the others reads. The file must be there. Each line on standard input is the name of the phase that begins then; the
// end of input ends the load. When a phase ends, a line about it is written:
//
//   NAME seconds S requests N errors N read p50 p99 max write p50 p99 max      (all times in microseconds)
//
// A request counts in the phase in which it was answered.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <nfsc/libnfs.h> // behind sys/time.h, which it needs

enum { BLOCK = 4096, DEPTH_LIMIT = 256, SAMPLES = 1 << 22 };

struct samples {
  uint32_t *us;
  size_t count;
  uint32_t longest;
};
struct slot {
  uint64_t begun;
  int writes, busy;
};

static struct nfs_context *nfs;
static struct nfsfh *file;
static struct slot slots[DEPTH_LIMIT];
static struct samples samples[2];
static uint64_t blocks, generator = 88172645463325252ULL, phase_begun, errors, requests;
static int write_percent, ending;
static char phase[64] = "warm-up", buffer[BLOCK];

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t next_random(void) { // xorshift64
  generator ^= generator << 13;
  generator ^= generator >> 7;
  generator ^= generator << 17;
  return generator;
}

static int by_value(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t quantile(struct samples *s, int percent) {
  return s->count == 0 ? 0 : s->us[(s->count - 1) * (size_t)percent / 100];
}

static void end_phase(void) {
  const uint64_t now = now_us();
  printf("%s seconds %.3f requests %llu errors %llu", phase, (double)(now - phase_begun) / 1e6,
         (unsigned long long)requests, (unsigned long long)errors);
  for (int kind = 0; kind < 2; kind++) {
    struct samples *s = &samples[kind];
    qsort(s->us, s->count, sizeof *s->us, by_value);
    printf(" %s %u %u %u", kind ? "write" : "read", quantile(s, 50), quantile(s, 99), s->longest);
    s->count = 0;
    s->longest = 0;
  }
  printf("\n");
  fflush(stdout);
  errors = requests = 0;
  phase_begun = now_us();
}

static void start(struct slot *slot);

static void done(int err, struct nfs_context *context, void *data, void *private_data) {
  (void)context;
  struct slot *slot = private_data;
  struct samples *s = &samples[slot->writes];
  const uint64_t took = now_us() - slot->begun;
  slot->busy = 0;
  requests++;
  if (err != BLOCK) {
    if (errors++ == 0) fprintf(stderr, "nfs-load: a %s failed: %d %s\n", slot->writes ? "write" : "read", err,
                               err < 0 ? (char *)data : "(short)");
  }
  if (s->count < SAMPLES) s->us[s->count++] = (uint32_t)took;
  if (took > s->longest) s->longest = (uint32_t)took;
  if (!ending) start(slot);
}

static void start(struct slot *slot) {
  const uint64_t offset = next_random() % blocks * BLOCK;
  slot->writes = next_random() % 100 < (uint64_t)write_percent;
  slot->begun = now_us();
  slot->busy = 1;
  const int failed = slot->writes ? nfs_pwrite_async(nfs, file, offset, BLOCK, buffer, done, slot)
                                  : nfs_pread_async(nfs, file, offset, BLOCK, done, slot);
  if (failed) {
    fprintf(stderr, "nfs-load: %s\n", nfs_get_error(nfs));
    exit(1);
  }
}

// Takes what has come on standard input; 0 at its end.
static int read_phases(void) {
  static char line[64];
  static size_t length;
  char byte;
  ssize_t got;
  while ((got = read(0, &byte, 1)) == 1) {
    if (byte != '\n') {
      if (length < sizeof line - 1) line[length++] = byte;
      continue;
    }
    line[length] = 0;
    end_phase();
    strcpy(phase, line);
    length = 0;
  }
  return got < 0 && (errno == EAGAIN || errno == EINTR);
}

int main(int count, char **arguments) {
  if (count != 5) {
    fprintf(stderr, "usage: nfs-load URL DEPTH WRITE_PERCENT BYTES\n");
    return 2;
  }
  const int depth = atoi(arguments[2]);
  write_percent = atoi(arguments[3]);
  blocks = strtoull(arguments[4], NULL, 10) / BLOCK;
  if (depth < 1 || depth > DEPTH_LIMIT || write_percent < 0 || write_percent > 100 || blocks == 0) {
    fprintf(stderr, "nfs-load: DEPTH is 1 to %d, WRITE_PERCENT 0 to 100, BYTES at least %d\n", DEPTH_LIMIT, BLOCK);
    return 2;
  }
  memset(buffer, 0xa5, sizeof buffer);
  for (int kind = 0; kind < 2; kind++) {
    samples[kind].us = malloc(SAMPLES * sizeof(uint32_t));
    if (samples[kind].us == NULL) return 1;
  }
  nfs = nfs_init_context();
  struct nfs_url *url = nfs ? nfs_parse_url_full(nfs, arguments[1]) : NULL;
  if (url == NULL || nfs_mount(nfs, url->server, url->path) != 0 || nfs_open(nfs, url->file, O_RDWR, &file) != 0) {
    fprintf(stderr, "nfs-load: %s: %s\n", arguments[1], nfs ? nfs_get_error(nfs) : "no memory");
    return 1;
  }
  nfs_set_autoreconnect(nfs, -1);
  fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
  phase_begun = now_us();
  for (int i = 0; i < depth; i++) start(&slots[i]);
  for (int left = depth; left > 0;) {
    struct pollfd watched[2] = {{nfs_get_fd(nfs), (short)nfs_which_events(nfs), 0}, {ending ? -1 : 0, POLLIN, 0}};
    if (poll(watched, 2, 100) < 0 && errno != EINTR) return 1;
    if (nfs_service(nfs, watched[0].revents) < 0) {
      fprintf(stderr, "nfs-load: %s\n", nfs_get_error(nfs));
      return 1;
    }
    if (!ending && watched[1].revents != 0 && !read_phases()) ending = 1;
    if (ending)
      for (int i = left = 0; i < depth; i++) left += slots[i].busy;
  }
  end_phase();
  return 0;
}
