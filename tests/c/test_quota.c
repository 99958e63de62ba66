/* Checks how the CPU quota of a process is found, in folders that look like those of cgroups, and how OpenMP's variables are
 * read. Prints what differs; the exit code is 0 if nothing does. */
#define _GNU_SOURCE /* mkdtemp */
#include "../../csrc/engine/cpu.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct quota_case {
    const char *name;
    const char *files[6][2]; /* path and text; those of folders have no text, "self" says the group */
    double quota;
} quota_case;

static const quota_case cases[] = {
    {"nothing", {{"self", "0::/\n"}}, 0},
    {"version 2, none", {{"self", "0::/\n"}, {"cpu.max", "max 100000\n"}}, 0},
    {"version 2, one CPU", {{"self", "0::/\n"}, {"cpu.max", "100000 100000\n"}}, 1},
    {"version 2, one and a half", {{"self", "0::/\n"}, {"cpu.max", "75000 50000\n"}}, 1.5},
    {"version 2, a group",
     {{"self", "0::/a/b\n"}, {"a", NULL}, {"a/b", NULL}, {"a/cpu.max", "max 100000\n"}, {"a/b/cpu.max", "50000 100000\n"}},
     0.5},
    {"version 2, the group around it",
     {{"self", "0::/a/b\n"}, {"a", NULL}, {"a/b", NULL}, {"a/cpu.max", "100000 100000\n"}, {"a/b/cpu.max", "300000 100000\n"}},
     1},
    {"version 2, a group that is not seen", {{"self", "0::/elsewhere/x\n"}, {"cpu.max", "200000 100000\n"}}, 2},
    {"version 2, no file of groups", {{"cpu.max", "200000 100000\n"}}, 2},
    {"version 1, none",
     {{"self", "3:cpu,cpuacct:/\n"}, {"cpu", NULL}, {"cpu/cpu.cfs_quota_us", "-1\n"}, {"cpu/cpu.cfs_period_us", "100000\n"}},
     0},
    {"version 1, one CPU",
     {{"self", "3:cpu,cpuacct:/\n"}, {"cpu", NULL}, {"cpu/cpu.cfs_quota_us", "50000\n"}, {"cpu/cpu.cfs_period_us", "50000\n"}},
     1},
    {"version 1, a group",
     {{"self", "4:cpuset:/other\n3:cpuacct,cpu:/a\n"},
      {"cpu", NULL},
      {"cpu/a", NULL},
      {"cpu/a/cpu.cfs_quota_us", "25000\n"},
      {"cpu/a/cpu.cfs_period_us", "100000\n"}},
     0.25},
    {"no numbers", {{"self", "no group\n"}, {"cpu.max", "some text\n"}}, 0},
};

int main(void)
{
    int failures = 0;
    static const struct {
        const char *text;
        int count;
    } counts[] = {{NULL, 0}, {"", 0},   {"1", 1},   {" 2 ", 2}, {"2,1", 2}, {"3 , 1", 3}, {"64", 64},
                  {"0", 0},  {"-1", 0}, {"abc", 0}, {"2x", 0},  {",2", 0},  {"2 3", 0},   {"99999999999999999999", INT_MAX}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (fn_read_thread_count(counts[i].text) != counts[i].count) {
            printf("thread count '%s': %d, expected %d\n", counts[i].text, fn_read_thread_count(counts[i].text), counts[i].count);
            failures++;
        }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const quota_case *c = &cases[i];
        char root[] = "/tmp/fastnet-quota-XXXXXX", path[256];
        if (!mkdtemp(root)) {
            printf("no folder for temporary files\n");
            return 1;
        }
        int n_files = 0;
        for (; n_files < 6 && c->files[n_files][0]; n_files++) {
            snprintf(path, sizeof path, "%s/%s", root, c->files[n_files][0]);
            FILE *file = c->files[n_files][1] ? fopen(path, "w") : NULL;
            if (file) {
                fputs(c->files[n_files][1], file);
                fclose(file);
            } else {
                mkdir(path, 0700);
            }
        }
        snprintf(path, sizeof path, "%s/self", root);
        double quota = fn_read_cpu_quota(root, path);
        if (quota != c->quota) {
            printf("%s: %g, expected %g\n", c->name, quota, c->quota);
            failures++;
        }
        while (n_files > 0) {
            snprintf(path, sizeof path, "%s/%s", root, c->files[--n_files][0]);
            remove(path);
        }
        remove(root);
    }
    return failures != 0;
}
