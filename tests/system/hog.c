/* A process that takes memory when it is told to, and ends by itself after a minute.
 *
 * usage: hog MIB LEAK [MODE...]     it takes MIB once a line comes on standard input, and says "full";
 *                                   then LEAK more MiB, one after another
 *   ignore      SIGTERM
 *   rename      itself to "sshd"
 *   nobody      be that user
 * and with three more, of a quarter each, which say their pids and have in common with it
 *   child       that it is their parent
 *   grandchild  the process group
 *   stray       the session
 *   lost        the control group
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIFE = 60, CHILDREN = 3 };

static void touch(size_t mib)
{
	char *at = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < mib << 20; i += 4096)
		at[i] = 1;
}

static void beget(const char *mode, size_t mib)
{
	int orphan = strcmp(mode, "child") != 0;
	int full[2];
	char byte = 0;
	pid_t between;

	if (pipe(full))
		err(1, "pipe");
	between = fork();
	if (between > 0) {
		if (orphan)
			waitpid(between, NULL, 0);
		close(full[1]);
		if (read(full[0], &byte, 1) != 1)
			errx(1, "one of mine is gone");
		close(full[0]);
		return;
	}
	if (orphan && fork() > 0)
		_exit(0);
	alarm(LIFE);
	if (!strcmp(mode, "stray"))
		setpgid(0, 0);
	if (!strcmp(mode, "child") || !strcmp(mode, "lost"))
		setsid();
	touch(mib);
	printf("%d\n", getpid());
	fflush(stdout);
	if (write(full[1], &byte, 1) != 1)
		err(1, "write");
	for (;;)
		pause();
}

static void await(void)
{
	char line[8];

	if (!fgets(line, sizeof line, stdin))
		exit(0);
}

/* The kernel itself would rather end this than anything else, should it come to that. */
static void volunteer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0 || write(fd, "1000", 4) != 4)
		err(1, "oom_score_adj");
	close(fd);
}

int main(int argc, char **argv)
{
	size_t mib = strtoul(argv[1], NULL, 10), leak = strtoul(argv[2], NULL, 10);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFE);
	volunteer();
	puts("ready");
	fflush(stdout);
	await();
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "ignore"))
			signal(SIGTERM, SIG_IGN);
		else if (!strcmp(argv[i], "rename"))
			prctl(PR_SET_NAME, "sshd");
		else if (!strcmp(argv[i], "nobody")) {
			if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
				err(1, "setuid");
		} else
			for (int n = 0; n < CHILDREN; n++)
				beget(argv[i], mib / 4);
	}
	touch(mib);
	puts("full");
	fflush(stdout);
	for (size_t taken = 0; taken < leak; taken++) {
		touch(1);
		usleep(2000);
	}
	for (;;)
		pause();
}
