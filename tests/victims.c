/* Processes that are hard to read, or hard to end. Each ends with whoever started it, after five minutes at the latest.
 *
 * usage: victims MODE MIB          it takes MIB, and says the pid of who holds them
 *   plain      sleeps
 *   leader     its first thread has exited, and another one goes on
 *   vfork      waits for a child in vfork, on the same memory
 *   traced     is a child that stopped under a debugger, who will never let it go on
 *   execs N    runs itself anew, again and again, with N ms between
 *   nobody     becomes that user
 * usage: victims forks N           begets N children, one after another, which exit at once; for ever where N is 0
 */
#define _GNU_SOURCE
#include <err.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIFE = 300 };

static void take(size_t mib)
{
	char *at = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < mib << 20; i += 4096)
		at[i] = 1;
}

static void say(pid_t pid)
{
	printf("%d\n", pid);
	fflush(stdout);
}

static void *go_on(void *unused)
{
	(void)unused;
	usleep(100000);
	say(getpid());
	for (;;)
		pause();
}

static void forks(long number)
{
	for (long done = 0; number == 0 || done < number; done++) {
		pid_t child = fork();

		if (child < 0)
			err(1, "fork");
		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	long number = strtol(argv[2], NULL, 10);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFE);
	if (!strcmp(mode, "forks"))
		forks(number);
	if (!strcmp(mode, "nobody") && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
		err(1, "setuid");
	if (!strcmp(mode, "traced")) {
		pid_t child = fork();

		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			take(number);
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			raise(SIGSTOP);
			pause();
		}
		waitpid(child, NULL, WUNTRACED);
		say(child);
		for (;;)
			pause();
	}
	take(number);
	if (!strcmp(mode, "leader")) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, go_on, NULL))
			errx(1, "pthread_create");
		pthread_exit(NULL);
	}
	if (!strcmp(mode, "vfork") && vfork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		say(getppid());
		for (;;)
			pause();
	}
	if (argc > 3) {
		say(getpid());
		usleep(1000 * strtol(argv[3], NULL, 10));
		execv(argv[0], argv);
	}
	say(getpid());
	for (;;)
		pause();
}
