/* What a program on a board says: a name and a number. */
#include <stdint.h>

void write_text(const char *text); /* of the board: startup.c, startup_riscv.c */

void write_number(const char *name, uint32_t number)
{
    char text[12], *at = text + sizeof text - 1;
    *at = 0;
    do {
        *--at = (char)('0' + number % 10);
    } while (number /= 10);
    write_text(name);
    write_text(" ");
    write_text(at);
    write_text("\n");
}
