/* eat: a program that uses memory in a stated way.
 *
 * In C, for a Python process is 8 MiB before it has begun, takes a second to start on an emulated
 * CPU, and grows by whatever its allocator likes. Every page is filled whole with pseudo-random
 * words, so that neither zram nor same-page merging makes it smaller than it claims to be.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "eat [--deaf] [--name COMM] [--adj N] MODE\n"
    "  --deaf                    ignore SIGTERM, as do the children\n"
    "  --name COMM               call yourself COMM (prctl PR_SET_NAME)\n"
    "  --adj N                   set the own oom_score_adj\n"
    "modes:\n"
    "  flat MIB                  grow to MIB as fast as it goes, then hold it\n"
    "  leak MIB RATE             grow to MIB at RATE MiB a second, then hold it\n"
    "  cache MIB RATE            the same, and give all of it back at SIGUSR1\n"
    "  promise MIB RATE          have MIB promised at RATE MiB a second, and use none of it\n"
    "  spike MIB SECONDS         grow to MIB as fast as it goes, hold it for SECONDS, and exit\n"
    "  work MIB                  grow to MIB, then use its pages at random for ever\n"
    "  workers COUNT MIB RATE    be the parent of COUNT children that leak\n"
    "  bomb COUNT MIB            fork as fast as it goes, COUNT processes in all, each grows to MIB\n"
    "  crowd COUNT               be the parent of COUNT idle children\n"
    "  file PATH MIB             write a file of MIB and exit\n"
    "  map PATH MIB              write a file of MIB, then read it at random through a mapping for ever\n"
    "  read PATH MIB             read the first MIB of a file or disk at random through a mapping for ever\n"
    "Without memory for the next MiB (ENOMEM) it exits with status 12.\n";

#define MIB ((size_t)1 << 20)
enum { PAGE = 4096, NO_MEMORY = 12 };

static uint64_t seed = 88172645463325252ULL;

static uint64_t next_random(void) /* xorshift64, Marsaglia 2003 */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static void fill(void *memory, size_t size)
{
	uint64_t *word = memory;
	for (size_t i = 0; i < size / sizeof *word; i++)
		word[i] = next_random();
}

static char *map_anonymous(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(errno == ENOMEM ? NO_MEMORY : 1, "mmap");
	return memory;
}

static void hold(void)
{
	for (;;)
		pause();
}

/* Sleeps until the instant at which `done` MiB are due at `rate`: falling behind is caught up with. */
static void keep_pace(const struct timespec *start, long done, long rate)
{
	struct timespec due = *start;
	due.tv_sec += done / rate;
	due.tv_nsec += done % rate * (1000000000L / rate);
	if (due.tv_nsec >= 1000000000L) {
		due.tv_nsec -= 1000000000L;
		due.tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

static void grow(long mib, long rate)
{
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < mib; i++) {
		fill(map_anonymous(MIB), MIB);
		if (rate)
			keep_pace(&start, i + 1, rate);
	}
}

static volatile sig_atomic_t asked;

static void note_that_asked(int number)
{
	asked = number;
}

static void cache(long mib, long rate)
{
	static const struct timespec moment = {.tv_nsec = 100000000};
	char **block = calloc((size_t)mib, sizeof *block);
	if (!block)
		err(1, "calloc");
	signal(SIGUSR1, note_that_asked);
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < mib && !asked; i++) {
		block[i] = map_anonymous(MIB);
		fill(block[i], MIB);
		keep_pace(&start, i + 1, rate);
	}
	while (!asked)
		nanosleep(&moment, NULL);
	for (long i = 0; i < mib && block[i]; i++)
		munmap(block[i], MIB);
	hold();
}

static void promise(long mib, long rate)
{
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < mib; i++) {
		map_anonymous(MIB);
		keep_pace(&start, i + 1, rate);
	}
}

static void work(long mib)
{
	size_t size = (size_t)mib * MIB;
	char *memory = map_anonymous(size);
	fill(memory, size);
	for (;;)
		memory[next_random() % (size / PAGE) * PAGE]++;
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();
	if (pid < 0)
		err(errno == ENOMEM ? NO_MEMORY : 1, "fork");
	seed += (uint64_t)getpid() << 32;
	return pid;
}

static void wait_for_all(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

static void workers(long count, long mib, long rate)
{
	for (long i = 0; i < count; i++)
		if (!fork_or_die()) {
			grow(mib, rate);
			hold();
		}
	wait_for_all();
}

static void bomb(long count, long mib)
{
	atomic_long *left = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (left == MAP_FAILED)
		err(1, "mmap");
	atomic_store(left, count - 1);
	while (atomic_fetch_sub(left, 1) > 0)
		fork_or_die();
	grow(mib, 0);
	hold();
}

static void crowd(long count)
{
	for (long i = 0; i < count; i++)
		if (!fork_or_die())
			hold();
	wait_for_all();
}

static int write_file(const char *path, long mib)
{
	static uint64_t block[1 << 17];
	_Static_assert(sizeof block == 1 << 20, "a block is a MiB");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		err(1, "%s", path);
	for (long i = 0; i < mib; i++) {
		fill(block, sizeof block);
		for (size_t done = 0; done < sizeof block;) {
			ssize_t written = write(fd, (char *)block + done, sizeof block - done);
			if (written < 0)
				err(1, "%s", path);
			done += (size_t)written;
		}
	}
	return fd;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void read_mapping(int fd, long mib)
{
	size_t size = (size_t)mib * MIB;
	volatile char *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	for (;;)
		(void)memory[next_random() % (size / PAGE) * PAGE];
}

static long number(const char *text)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value <= 0)
		errx(2, "%s: a whole number above 0 is wanted", text);
	return value;
}

static void set_oom_score_adj(const char *value)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		err(1, "oom_score_adj");
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"deaf", no_argument, NULL, 'd'},
	    {"name", required_argument, NULL, 'n'},
	    {"adj", required_argument, NULL, 'a'},
	    {0},
	};
	for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		if (option == 'd')
			signal(SIGTERM, SIG_IGN);
		else if (option == 'n')
			prctl(PR_SET_NAME, optarg);
		else if (option == 'a')
			set_oom_score_adj(optarg);
		else
			errx(2, "usage:\n%s", usage);
	}
	char **word = argv + optind;
	int words = argc - optind;
	const char *mode = words ? word[0] : "";
	if (!strcmp(mode, "flat") && words == 2)
		grow(number(word[1]), 0), hold();
	else if (!strcmp(mode, "leak") && words == 3)
		grow(number(word[1]), number(word[2])), hold();
	else if (!strcmp(mode, "cache") && words == 3)
		cache(number(word[1]), number(word[2]));
	else if (!strcmp(mode, "promise") && words == 3)
		promise(number(word[1]), number(word[2])), hold();
	else if (!strcmp(mode, "spike") && words == 3)
		grow(number(word[1]), 0), sleep((unsigned)number(word[2]));
	else if (!strcmp(mode, "work") && words == 2)
		work(number(word[1]));
	else if (!strcmp(mode, "workers") && words == 4)
		workers(number(word[1]), number(word[2]), number(word[3]));
	else if (!strcmp(mode, "bomb") && words == 3)
		bomb(number(word[1]), number(word[2]));
	else if (!strcmp(mode, "crowd") && words == 2)
		crowd(number(word[1]));
	else if (!strcmp(mode, "file") && words == 3)
		write_file(word[1], number(word[2]));
	else if (!strcmp(mode, "map") && words == 3)
		read_mapping(write_file(word[1], number(word[2])), number(word[2]));
	else if (!strcmp(mode, "read") && words == 3)
		read_mapping(open_file(word[1]), number(word[2]));
	else
		errx(2, "usage:\n%s", usage);
	return 0;
}
