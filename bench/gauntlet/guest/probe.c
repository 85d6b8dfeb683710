/* probe BOARD MIB [locked]: an innocent process that wants to touch some of its MIB every 20 ms,
 * and tells on its board how late it was. Locked: all of its memory is.
 */
#define _GNU_SOURCE
#include "board.h"
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, TOUCHED = 64 };

static uint64_t seed = 88172645463325252ULL;

static uint64_t next_random(void) /* xorshift64, Marsaglia 2003 */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static struct board *open_board(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, PAGE))
		err(1, "%s", path);
	struct board *board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		err(1, "%s", path);
	return board;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: probe BOARD MIB [locked]");
	size_t pages = strtoul(argv[2], NULL, 10) << 8;
	if (!pages)
		errx(2, "%s: a whole number of MiB above 0 is wanted", argv[2]);
	if (argc > 3 && mlockall(MCL_CURRENT | MCL_FUTURE))
		err(1, "mlockall");
	struct board *board = open_board(argv[1]);
	uint64_t *memory =
	    mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < pages * PAGE / sizeof *memory; i++)
		memory[i] = next_random();
	for (uint64_t last = now();;) {
		struct timespec pause = {.tv_nsec = BEAT};
		nanosleep(&pause, NULL);
		for (int i = 0; i < TOUCHED; i++)
			memory[next_random() % pages * (PAGE / sizeof *memory)]++;
		uint64_t at = now(), gap = at - last;
		if (gap > atomic_load(&board->longest))
			atomic_store(&board->longest, gap);
		if (gap > NOTICEABLE)
			atomic_fetch_add(&board->late, gap - BEAT);
		atomic_store(&board->last, at);
		atomic_fetch_add(&board->beats, 1);
		last = at;
	}
}
