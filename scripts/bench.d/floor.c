/* The floor: what the kernel alone takes to tell a process of a file, and to end that process.
 *
 *   floor DIRECTORY NAME       waits until NAME was renamed into DIRECTORY, reads it, and ends
 *   floor -p DIRECTORY NAME    the same, and leaves the watch to a child, so that nobody waits for its tear-down
 *
 * It refuses everything that a waiter for people needs: no process is looked at, no limit holds, no word is said.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_there(const char *directory, const char *name) {
    char path[4096], word[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, word, sizeof word);
    close(file);
    return length > 0;
}

/* As src/os/linux/parting.rs: a child keeps the descriptor until this process has gone. */
static void leave(int watch) {
    int gone[2];
    if (pipe(gone) != 0 || fork() != 0) return;
    for (int number = 0; number <= gone[1]; number++)
        if (number != watch && number != gone[0]) close(number);
    char none;
    while (read(gone[0], &none, 1) < 0) {}
    _exit(0);
}

int main(int count, char **words) {
    int parts = count == 4 && strcmp(words[1], "-p") == 0;
    if (count != 3 + parts) return 2;
    const char *directory = words[1 + parts], *name = words[2 + parts];
    int watch = inotify_init1(IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch(watch, directory, IN_MOVED_TO) < 0) return 125;
    char events[4096] __attribute__((aligned(8)));
    while (!is_there(directory, name))
        if (read(watch, events, sizeof events) < 0) return 125;
    if (parts) leave(watch);
    return 0;
}
