/* recorder SECONDS LINGER HOGS GUARD START BOARD...: starts the hogs and writes down what happens.
 *
 * HOGS, GUARD: their control groups; GUARD is "-" where there is none. START: the program that starts
 * the hogs. Ends after SECONDS, or once there has been no hog for LINGER seconds, whatever is first;
 * then it ends the hogs and prints lines of JSON.
 *
 * In C and locked, for it must run while nobody else does. Nothing is printed, allocated or opened
 * between the start and the end, but for the lists of the hogs while they are being started. Deaths come
 * from the process connector, so none is missed.
 */
#define _GNU_SOURCE
#include "board.h"
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK 50000000ULL
#define GIGA 1e9
enum { SAMPLES = 20 * 600, PEOPLE = 8192, DEATHS = 8192, BOARDS = 8, NAME = 32, PATH = 256 };
#define KERNEL_THREAD 0x00200000UL /* PF_KTHREAD, include/linux/sched.h */

struct sample {
	double at;
	unsigned long available, swap_free; /* KiB */
	unsigned long long some, full;      /* us */
};
struct person {
	int pid;
	bool dead;
	unsigned long long start;
	char comm[NAME], cgroup[PATH];
};
struct death {
	double at;
	int pid;
	unsigned code;
};
struct guard {
	unsigned long processes, rss, faults; /* rss in KiB */
	unsigned long long cpu;               /* us */
};

static struct sample samples[SAMPLES];
static struct person people[PEOPLE];
static struct death deaths[DEATHS];
static int kernel_victims[DEATHS];
static size_t sample_count, person_count, death_count, kernel_victim_count;
static unsigned char hogs[1 << 19]; /* a bit for each pid there can be: PID_MAX_LIMIT is 4 Mi */
static unsigned long missed; /* events that the connector had no room for */
static uint64_t zero, longest_gap;

static char *read_at(int fd, char *buffer, size_t size)
{
	ssize_t got = pread(fd, buffer, size - 1, 0);
	buffer[got > 0 ? got : 0] = 0;
	return buffer;
}

static char *read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	buffer[0] = 0;
	if (fd >= 0) {
		read_at(fd, buffer, size);
		close(fd);
	}
	return buffer;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static unsigned long long after(const char *text, const char *word)
{
	const char *found = strstr(text, word);
	return found ? strtoull(found + strlen(word), NULL, 10) : 0;
}

static double since_zero(uint64_t at)
{
	return (double)(int64_t)(at - zero) / GIGA;
}

/* /proc/PID/stat behind the name: the field of that number, counted as proc(5) does. */
static unsigned long long stat_field(const char *stat, int number)
{
	const char *rest = strrchr(stat, ')');
	for (int i = 2; rest && i < number; i++)
		rest = strchr(rest + 1, ' ');
	return rest ? strtoull(rest + 1, NULL, 10) : 0;
}

static void plain(char *to, const char *from, size_t length, size_t size)
{
	size_t i = 0;
	for (; i < length && i < size - 1; i++)
		to[i] = strchr("\"\\", from[i]) || from[i] < ' ' || from[i] > '~' ? '?' : from[i];
	to[i] = 0;
}

static void count_people(void)
{
	static char text[4096], path[PATH];
	DIR *folder = opendir("/proc");
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		int pid = atoi(entry->d_name);
		if (pid <= 0 || pid == getpid() || person_count == PEOPLE)
			continue;
		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		read_file(path, text, sizeof text);
		char *open = strchr(text, '('), *close = strrchr(text, ')');
		/* udev's workers come and go as they please. */
		if (!open || !close || stat_field(text, 9) & KERNEL_THREAD || strstr(text, "(udev-worker)"))
			continue;
		struct person *person = &people[person_count++];
		person->pid = pid;
		person->start = stat_field(text, 22);
		plain(person->comm, open + 1, (size_t)(close - open - 1), NAME);
		snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
		read_file(path, text, sizeof text);
		char *group = strstr(text, "0::");
		if (group)
			plain(person->cgroup, group + 3, strcspn(group + 3, "\n"), PATH);
	}
	closedir(folder);
}

static bool is_gone(const struct person *person)
{
	static char text[4096], path[PATH];
	snprintf(path, sizeof path, "/proc/%d/stat", person->pid);
	return stat_field(read_file(path, text, sizeof text), 22) != person->start;
}

static bool is_hog(int pid)
{
	return hogs[pid >> 3] >> (pid & 7) & 1;
}

static void add_hog(int pid)
{
	hogs[pid >> 3] |= (unsigned char)(1 << (pid & 7));
}

/* The hogs that there are while they are being started, as the first may end before the last begins; from
 * then on, forks tell who joins them. */
static void find_hogs(const char *cgroup)
{
	static char list[65536], path[PATH * 3];
	DIR *folder = opendir(cgroup);
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s/cgroup.procs", cgroup, entry->d_name);
		read_file(path, list, sizeof list);
		for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n"))
			add_hog(atoi(line));
	}
	closedir(folder);
}

static int listen_for_events(void)
{
	int fd = socket(PF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
	int room = 8 << 20;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address))
		err(1, "process connector");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	struct __attribute__((packed)) {
		struct nlmsghdr header;
		struct cn_msg message;
		enum proc_cn_mcast_op what;
	} request = {
	    .header = {.nlmsg_len = sizeof request, .nlmsg_type = NLMSG_DONE},
	    .message = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .len = sizeof request.what},
	    .what = PROC_CN_MCAST_LISTEN,
	};
	if (send(fd, &request, sizeof request, 0) < 0)
		err(1, "process connector");
	return fd;
}

static void note_events(int fd)
{
	static char buffer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	for (;;) {
		ssize_t got = recv(fd, buffer, sizeof buffer, 0);
		if (got < 0 && errno == ENOBUFS) {
			missed++;
			continue;
		}
		if (got <= 0)
			return;
		struct nlmsghdr *header = (struct nlmsghdr *)buffer;
		for (int left = (int)got; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
			const struct cn_msg *message = NLMSG_DATA(header);
			const struct proc_event *event = (const void *)message->data;
			if (event->what == PROC_EVENT_FORK && is_hog(event->event_data.fork.parent_tgid))
				add_hog(event->event_data.fork.child_tgid);
			int pid = event->event_data.exit.process_pid;
			if (event->what != PROC_EVENT_EXIT || pid != event->event_data.exit.process_tgid)
				continue;
			if (death_count < DEATHS)
				deaths[death_count++] = (struct death){
				    since_zero(event->timestamp_ns), pid, event->event_data.exit.exit_code};
		}
	}
}

static void note_kernel_kills(int fd)
{
	static char record[8192];
	ssize_t got;
	while ((got = read(fd, record, sizeof record - 1)) > 0 || (got < 0 && errno == EPIPE)) {
		record[got > 0 ? got : 0] = 0;
		int pid = (int)after(record, "Killed process ");
		if (pid && kernel_victim_count < DEATHS)
			kernel_victims[kernel_victim_count++] = pid;
	}
}

static bool killed_by_kernel(int pid)
{
	for (size_t i = 0; i < kernel_victim_count; i++)
		if (kernel_victims[i] == pid)
			return true;
	return false;
}

static struct guard weigh(const char *cgroup)
{
	static char list[4096], text[4096], path[PATH * 2];
	struct guard guard = {0};
	if (!strcmp(cgroup, "-"))
		return guard;
	snprintf(path, sizeof path, "%s/cpu.stat", cgroup);
	guard.cpu = after(read_file(path, text, sizeof text), "usage_usec ");
	snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
	read_file(path, list, sizeof list);
	for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
		snprintf(path, sizeof path, "/proc/%s/stat", line);
		read_file(path, text, sizeof text);
		guard.processes++;
		guard.faults += stat_field(text, 12);
		guard.rss += stat_field(text, 24) * 4;
	}
	return guard;
}

static void take_sample(int meminfo, int pressure, uint64_t at)
{
	static char text[4096];
	struct sample *sample = &samples[sample_count++];
	sample->at = since_zero(at);
	read_at(meminfo, text, sizeof text);
	sample->available = after(text, "MemAvailable:");
	sample->swap_free = after(text, "SwapFree:");
	read_at(pressure, text, sizeof text);
	sample->some = after(text, "total=");
	const char *full = strstr(text, "full");
	sample->full = full ? after(full, "total=") : 0;
}

static void print_death(const struct death *death)
{
	struct person *person = NULL;
	for (size_t i = 0; i < person_count && !person; i++)
		if (people[i].pid == death->pid && !people[i].dead)
			person = &people[i];
	unsigned signal = death->code & 0x7f;
	bool hog = !person && is_hog(death->pid);
	if (!person && !signal)
		return;
	if (person)
		person->dead = true;
	printf("{\"death\": {\"at\": %.3f, \"pid\": %d, \"comm\": \"%s\", \"cgroup\": \"%s\", \"signal\": %u, "
	       "\"kernel\": %s, \"hog\": %s}}\n",
	       death->at, death->pid, person ? person->comm : "newcomer", person ? person->cgroup : "", signal,
	       killed_by_kernel(death->pid) ? "true" : "false", hog ? "true" : "false");
}

static void print_all(struct guard before, struct guard later, char **names, struct board **boards,
		      const unsigned long long kills, size_t innocents)
{
	uint64_t end = now();
	for (size_t i = 0; i < death_count; i++)
		print_death(&deaths[i]);
	for (size_t i = 0; i < person_count; i++)
		if (!people[i].dead && is_gone(&people[i]))
			print_death(&(struct death){since_zero(end), people[i].pid, 0});
	for (int i = 0; names[i]; i++) {
		uint64_t last = boards[i]->last, longest = boards[i]->longest, open = end > last ? end - last : 0;
		const char *slash = strrchr(names[i], '/');
		printf("{\"probe\": {\"name\": \"%s\", \"longest\": %.3f, \"late\": %.3f, \"beats\": %llu}}\n",
		       slash ? slash + 1 : names[i], (double)(open > longest ? open : longest) / GIGA,
		       (double)(boards[i]->late + (open > NOTICEABLE ? open - BEAT : 0)) / GIGA,
		       (unsigned long long)boards[i]->beats);
	}
	for (size_t i = 0; i < sample_count; i++)
		printf("{\"sample\": [%.3f, %lu, %lu, %llu, %llu]}\n", samples[i].at, samples[i].available,
		       samples[i].swap_free, samples[i].some, samples[i].full);
	printf("{\"guard\": {\"processes\": %lu, \"rss_kib\": %lu, \"cpu_us\": %llu, \"faults\": %lu}}\n",
	       later.processes, before.rss > later.rss ? before.rss : later.rss,
	       later.cpu > before.cpu ? later.cpu - before.cpu : 0,
	       later.faults > before.faults ? later.faults - before.faults : 0);
	printf("{\"recorder\": {\"seconds\": %.3f, \"gap\": %.3f, \"missed\": %lu, \"innocents\": %zu, "
	       "\"kernel_kills\": %llu}}\n",
	       since_zero(end), (double)longest_gap / GIGA, missed, innocents, kills);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc < 7 || argc - 6 > BOARDS)
		errx(2, "usage: recorder SECONDS LINGER HOGS GUARD START BOARD...");
	double limit = atof(argv[1]), linger = atof(argv[2]);
	static char path[PATH], text[65536];
	int meminfo = open_or_die("/proc/meminfo", O_RDONLY);
	int pressure = open_or_die("/proc/pressure/memory", O_RDONLY);
	int vmstat = open_or_die("/proc/vmstat", O_RDONLY);
	int kmsg = open_or_die("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	lseek(kmsg, 0, SEEK_END);
	snprintf(path, sizeof path, "%s/cgroup.events", argv[3]);
	int events = open_or_die(path, O_RDONLY);
	snprintf(path, sizeof path, "%s/cgroup.kill", argv[3]);
	int end_hogs = open_or_die(path, O_WRONLY);
	struct board *boards[BOARDS];
	for (int i = 6; i < argc; i++) {
		int fd = open_or_die(argv[i], O_RDWR);
		boards[i - 6] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (boards[i - 6] == MAP_FAILED)
			err(1, "%s", argv[i]);
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		err(1, "mlockall");
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &(struct sched_param){.sched_priority = 1});
	struct guard before = weigh(argv[4]);
	int connector = listen_for_events();
	count_people();
	size_t innocents = person_count;
	unsigned long long kills = after(read_at(vmstat, text, sizeof text), "oom_kill ");
	for (int i = 6; i < argc; i++) /* what they noted while the machine was made ready does not count */
		boards[i - 6]->longest = boards[i - 6]->late = 0;
	pid_t start = fork();
	if (!start) {
		execl(argv[5], argv[5], NULL);
		err(1, "%s", argv[5]);
	}
	zero = now();
	double last_hog = 0;
	bool started = false;
	for (uint64_t due = zero, last = zero; sample_count < SAMPLES; due += TICK) {
		struct timespec until = {(time_t)(due / 1000000000ULL), (long)(due % 1000000000ULL)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		uint64_t at = now();
		if (at - last > longest_gap)
			longest_gap = at - last;
		last = at;
		if (due + TICK < at)
			due = at;
		take_sample(meminfo, pressure, at);
		if (!started) {
			started = waitpid(start, NULL, WNOHANG) == start;
			find_hogs(argv[3]);
		}
		note_events(connector);
		note_kernel_kills(kmsg);
		if (!started || after(read_at(events, text, sizeof text), "populated "))
			last_hog = since_zero(at);
		if (since_zero(at) > limit || since_zero(at) - last_hog > linger)
			break;
	}
	kills = after(read_at(vmstat, text, sizeof text), "oom_kill ") - kills;
	struct guard later = weigh(argv[4]);
	if (write(end_hogs, "1", 1) < 0)
		warn("%s", path);
	print_all(before, later, argv + 6, boards, kills, innocents);
	return 0;
}
