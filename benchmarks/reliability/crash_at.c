/* Ends the process by SIGKILL at the n-th call that changes what lies in one folder.

   LD_PRELOAD stands these functions before libc's, so the calls of Python and of C++
   libraries are counted alike, over all threads. Each call is first told in a log, so
   that what was not yet flushed can be taken away as a power failure would. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_size;
static int log_file = -1, torn;
static long calls, last;

/* From here on calls below `folder` count; the `at`-th does not return. With
   `half` it is a write, of which the first half is done. */
void crash_arm(const char *folder, long at, int half, int log) {
  root_size = strlen(folder);
  memcpy(root, folder, root_size + 1);
  last = at;
  torn = half;
  log_file = log;
}

static void end_process(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Writes the absolute path of (directory descriptor, name) or of a descriptor. */
static const char *locate(int dir, const char *name, char *path) {
  char link[64];
  ssize_t size = 0;
  if (name && name[0] == '/') return strncpy(path, name, PATH_MAX - 1);
  snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
  if (dir == AT_FDCWD)
    size = getcwd(path, PATH_MAX) ? (ssize_t)strlen(path) : 0;
  else
    size = readlink(link, path, PATH_MAX - 1);
  if (size <= 0) return strcpy(path, "");
  path[size] = 0;
  if (name) snprintf(path + size, PATH_MAX - size, "/%s", name);
  return path;
}

static int inside(const char *path) {
  return root_size && !strncmp(path, root, root_size) &&
         (path[root_size] == '/' || !path[root_size]);
}

/* Counts a call; returns whether half of it is to be done before the end. */
static int count(const char *call, const char *path, const char *to) {
  int is_write = !strcmp(call, "write"), dying = 0;
  if (!inside(path)) return 0;
  if (!strcmp(call, "create") && !access(path, F_OK)) call = "open";
  pthread_mutex_lock(&lock);
  if (++calls == last) {
    if (!torn || !is_write) end_process();
    dying = 1;
  }
  dprintf(log_file, "%s\t%s\t%s\n", call, path, to ? to : "");
  pthread_mutex_unlock(&lock);
  return dying;
}

static int count_fd(const char *call, int fd) {
  char path[PATH_MAX] = "";
  return root_size ? count(call, locate(fd, NULL, path), NULL) : 0;
}

static void count_at(const char *call, int dir, const char *name) {
  char path[PATH_MAX] = "";
  if (root_size) count(call, locate(dir, name, path), NULL);
}

static void count_move(int from, const char *old, int to, const char *new) {
  char a[PATH_MAX] = "", b[PATH_MAX] = "";
  if (root_size) count("rename", locate(from, old, a), locate(to, new, b));
}

#define OPEN(name)                                                       \
  int name(const char *path, int flags, ...) {                           \
    va_list rest;                                                        \
    va_start(rest, flags);                                               \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                        \
    if (flags & (O_CREAT | O_TRUNC)) count_at("create", AT_FDCWD, path); \
    return REAL(name)(path, flags, mode);                                \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                     \
  int name(int dir, const char *path, int flags, ...) {                  \
    va_list rest;                                                        \
    va_start(rest, flags);                                               \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                        \
    if (flags & (O_CREAT | O_TRUNC)) count_at("create", dir, path);      \
    return REAL(name)(dir, path, flags, mode);                           \
  }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
  if (!count_fd("write", fd)) return REAL(write)(fd, data, size);
  REAL(write)(fd, data, size / 2);
  end_process();
  return -1;
}

#define PWRITE(name, offset_type)                                        \
  ssize_t name(int fd, const void *data, size_t size, offset_type at) {  \
    if (!count_fd("write", fd)) return REAL(name)(fd, data, size, at);   \
    REAL(name)(fd, data, size / 2, at);                                  \
    end_process();                                                       \
    return -1;                                                           \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!count_fd("write", fd)) return REAL(writev)(fd, parts, count);
  REAL(writev)(fd, parts, (count + 1) / 2);
  end_process();
  return -1;
}

#define PWRITEV(name, offset_type)                                       \
  ssize_t name(int fd, const struct iovec *parts, int count, offset_type at) { \
    if (!count_fd("write", fd)) return REAL(name)(fd, parts, count, at); \
    REAL(name)(fd, parts, (count + 1) / 2, at);                          \
    end_process();                                                       \
    return -1;                                                           \
  }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define ON_FD(name)               \
  int name(int fd) {              \
    count_fd("flush", fd);        \
    return REAL(name)(fd);        \
  }
ON_FD(fsync)
ON_FD(fdatasync)

int ftruncate(int fd, off_t size) {
  count_fd("truncate", fd);
  return REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size) {
  count_fd("truncate", fd);
  return REAL(ftruncate64)(fd, size);
}

int mkdir(const char *path, mode_t mode) {
  count_at("create", AT_FDCWD, path);
  return REAL(mkdir)(path, mode);
}

int mkdirat(int dir, const char *path, mode_t mode) {
  count_at("create", dir, path);
  return REAL(mkdirat)(dir, path, mode);
}

int unlink(const char *path) {
  count_at("unlink", AT_FDCWD, path);
  return REAL(unlink)(path);
}

int unlinkat(int dir, const char *path, int flags) {
  count_at("unlink", dir, path);
  return REAL(unlinkat)(dir, path, flags);
}

int rmdir(const char *path) {
  count_at("unlink", AT_FDCWD, path);
  return REAL(rmdir)(path);
}

int rename(const char *old, const char *new) {
  count_move(AT_FDCWD, old, AT_FDCWD, new);
  return REAL(rename)(old, new);
}

int renameat(int from, const char *old, int to, const char *new) {
  count_move(from, old, to, new);
  return REAL(renameat)(from, old, to, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
  count_move(from, old, to, new);
  return REAL(renameat2)(from, old, to, new, flags);
}

int link(const char *old, const char *new) {
  count_at("create", AT_FDCWD, new);
  return REAL(link)(old, new);
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
  count_at("create", to, new);
  return REAL(linkat)(from, old, to, new, flags);
}
