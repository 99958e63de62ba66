/* What a RISC-V processor needs before main, and how a program says what it has measured: for qemu's board virt with -icount
 * shift=0, which counts instructions. See startup.c. */
#include <stdint.h>
#include <string.h>

extern char data_start[], data_end[], data_load[], bss_start[], bss_end[];
int main(void);

void write_text(const char *text)
{
    while (*text)
        *(volatile char *)0x10000000 = *text++;
}

uint32_t count_instructions(void)
{
    uint32_t count;
    __asm__ volatile(".option arch, +zicsr\n csrr %0, minstret" : "=r"(count));
    return count;
}

void __attribute__((noreturn, used)) begin(void)
{
    memcpy(data_start, data_load, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    main();
    *(volatile uint32_t *)0x100000 = 0x5555; /* the program has ended */
    for (;;) {
    }
}

void __attribute__((naked, section(".start"), used)) reset(void)
{
    __asm__ volatile("la sp, stack_top\n tail begin");
}
