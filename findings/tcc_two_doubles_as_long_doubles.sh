#!/usr/bin/env bash
# TinyCC 0.9.27, as Debian 12 has it (git20200814), on x86-64: a call that takes two long doubles and is given two variables of type double
# gets NaN. The conversion of the arguments is C's own (C99 6.5.2.2); with one of them converted before, the result is right, and GCC's is
# right in both cases. fastnet's exports are compiled by TinyCC in the tests, which convert such arguments into variables first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download tcc=0.9.27+git20200814.62c30a4a-1 libtcc-dev=0.9.27+git20200814.62c30a4a-1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
cat >program.c <<'C'
#include <stdio.h>

static long double difference(long double x, long double y)
{
    return x - y;
}

int main(void)
{
    double a = 5, b = 3;
    long double first = a;
    printf("%g %g\n", (double)difference(a, b), (double)difference(first, b));
    return 0;
}
C
root/usr/bin/tcc -Broot/usr/lib/x86_64-linux-gnu/tcc program.c -o program
found=$(./program)
echo "difference of 5 and 3, as two doubles and as a long double and a double: $found"
case "$found" in
*nan\ 2) ;;
*) echo "this has changed" && exit 1 ;;
esac
