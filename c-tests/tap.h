/* tap.h - the smallest TAP that names behaviours.
 *
 *     ok(cond, "what must hold")            is_int(got, want, "…")
 *     is_err(call, EADDRINUSE, "…")         is_str(got, want, "…")
 *     int main(void) { …; return done(); }
 *
 * is_err takes a call that answers -1 and errno on failure; 0 as the expected error means success.
 * Each check prints one line; one that fails also says where, what was got and what errno was. done()
 * prints the plan and returns the exit code: 0, or 1 if anything failed. bail() is for what the test needs
 * and does not test.
 *
 * A program that takes longer than TAP_SECONDS is ended as a failure, so nothing hangs. Checks belong to
 * the main thread of the first process: children and threads report by exit code, pipe or variable.
 * C and C++.
 */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAP_SECONDS = 240 };

static int tap_count, tap_failures;

static inline void tap_timeout(int sig)
{
	static const char message[] = "\nBail out! still running after 240 s\n";
	(void)sig;
	if (write(STDOUT_FILENO, message, sizeof message - 1) < 0)
		_exit(2);
	_exit(1);
}

/* fork clears the alarm, so children call this again. */
static inline void tap_watchdog(void)
{
	signal(SIGALRM, tap_timeout);
	alarm(TAP_SECONDS);
}

__attribute__((constructor)) static void tap_start(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0); /* so that a fork copies no half-written line */
	tap_watchdog();
}

/* The error's name; "success" for 0. */
static inline const char *tap_errno(int err)
{
	const char *name = err ? strerrorname_np(err) : "success";
	return name ? name : "unknown error";
}

__attribute__((format(printf, 2, 0))) static inline int tap_line(int pass, const char *what, va_list args)
{
	printf("%sok %d - ", pass ? "" : "not ", ++tap_count);
	vprintf(what, args);
	putchar('\n');
	tap_failures += !pass;
	return pass;
}

#define ok(cond, ...) tap_ok(!!(cond), errno, __FILE__, __LINE__, #cond, __VA_ARGS__)
__attribute__((format(printf, 6, 7))) static inline int
tap_ok(int pass, int err, const char *file, int line, const char *text, const char *what, ...)
{
	va_list args;
	va_start(args, what);
	tap_line(pass, what, args);
	va_end(args);
	if (!pass)
		printf("# %s:%d: %s is false; errno %d %s\n", file, line, text, err, tap_errno(err));
	return pass;
}

#define is_int(got, want, ...) tap_is_int((got), (want), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 5, 6))) static inline int
tap_is_int(long got, long want, const char *file, int line, const char *what, ...)
{
	int err = errno;
	va_list args;
	va_start(args, what);
	tap_line(got == want, what, args);
	va_end(args);
	if (got != want)
		printf("# %s:%d: got %ld, want %ld; errno %d %s\n", file, line, got, want, err, tap_errno(err));
	return got == want;
}

#define is_err(call, want, ...) tap_is_err((call) < 0 ? errno : 0, (want), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 5, 6))) static inline int
tap_is_err(int got, int want, const char *file, int line, const char *what, ...)
{
	va_list args;
	va_start(args, what);
	tap_line(got == want, what, args);
	va_end(args);
	if (got != want)
		printf("# %s:%d: got %s, want %s\n", file, line, tap_errno(got), tap_errno(want));
	return got == want;
}

#define is_str(got, want, ...) tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 5, 6))) static inline int
tap_is_str(const char *got, const char *want, const char *file, int line, const char *what, ...)
{
	int same = !strcmp(got, want);
	va_list args;
	va_start(args, what);
	tap_line(same, what, args);
	va_end(args);
	if (!same)
		printf("# %s:%d: got \"%s\", want \"%s\"\n", file, line, got, want);
	return same;
}

#define bail(...) tap_bail(errno, __FILE__, __LINE__, __VA_ARGS__)
__attribute__((noreturn, format(printf, 4, 5))) static inline void
tap_bail(int err, const char *file, int line, const char *what, ...)
{
	va_list args;
	va_start(args, what);
	printf("Bail out! %s:%d: ", file, line);
	vprintf(what, args);
	printf("; errno %d %s\n", err, tap_errno(err));
	va_end(args);
	fflush(stdout);
	_exit(1);
}

static inline int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures != 0;
}

#endif
