/* What a probe tells: one page that it shares with the recorder, who locks it for both. */
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

struct board {
	_Atomic uint64_t last;    /* CLOCK_MONOTONIC of the latest beat */
	_Atomic uint64_t longest; /* the longest gap between two beats */
	_Atomic uint64_t late;    /* the sum of what gaps had beyond what was due, where that was noticeable */
	_Atomic uint64_t beats;
};

#define BEAT 20000000ULL       /* due every 20 ms */
#define NOTICEABLE 60000000ULL /* a gap up to this is what an emulated CPU does on a quiet machine */

static inline uint64_t now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000ULL + (uint64_t)at.tv_nsec;
}
