/* What a Cortex-M4 needs before main, and how a program says what it has measured: for qemu's board mps2-an386 with -icount
 * shift=0, where an instruction takes a nanosecond and a timer counts 25 million ticks a second. */
#include <stdint.h>
#include <string.h>

extern char stack_top[], data_start[], data_end[], data_load[], bss_start[], bss_end[];
int main(void);

static void call_host(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void write_text(const char *text)
{
    call_host(0x04, text);
}

/* Instructions since the start, to 40. */
uint32_t count_instructions(void)
{
    volatile uint32_t *timer = (volatile uint32_t *)0x40000000;
    if (timer[0] == 0) {
        timer[2] = 0xFFFFFFFFu;
        timer[1] = 0xFFFFFFFFu;
        timer[0] = 1;
    }
    return 40 * (0xFFFFFFFFu - timer[1]);
}

void __attribute__((noreturn)) reset(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* the floating-point unit */
    __asm__ volatile("dsb\nisb");
#endif
    memcpy(data_start, data_load, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    main();
    call_host(0x18, (const void *)0x20026); /* the program has ended */
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_top, (const void *)reset};
