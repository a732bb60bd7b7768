/* What cannot be said in C: where the kernel enters the program, and a child on a stack of its own. */
#include <linux/sched.h>
#include <linux/signal.h>

#include "init.h"
#include "sys.h"

#define SPAWN_FLAGS (CLONE_VM | CLONE_VFORK | SIGCHLD)

#if defined(__x86_64__)

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    and $-16, %rsp\n"
        "    call init_main\n"
        "    hlt\n");

long sys_spawn(int (*run)(void *arg), void *arg, void *stack_top)
{
    long *stack = stack_top;
    *--stack = (long)arg;
    *--stack = (long)run;
    long result;
    __asm__ volatile("xor %%r10d, %%r10d\n"
                     "xor %%r8d, %%r8d\n"
                     "syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "xor %%ebp, %%ebp\n" /* the child: on its own stack from here */
                     "pop %%rax\n"
                     "pop %%rdi\n"
                     "call *%%rax\n"
                     "mov %%eax, %%edi\n"
                     "mov %[exit], %%eax\n"
                     "syscall\n"
                     "hlt\n"
                     "1:\n"
                     : "=a"(result)
                     : "a"(__NR_clone), "D"((long)SPAWN_FLAGS), "S"(stack),
                       "d"(0), [exit] "i"(__NR_exit_group)
                     : "rcx", "r8", "r10", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

__asm__(".globl _start\n"
        "_start:\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    bl init_main\n"
        "    brk #0\n");

long sys_spawn(int (*run)(void *arg), void *arg, void *stack_top)
{
    long *stack = stack_top;
    *--stack = (long)arg;
    *--stack = (long)run;
    register long x8 __asm__("x8") = __NR_clone;
    register long x0 __asm__("x0") = SPAWN_FLAGS;
    register long x1 __asm__("x1") = (long)stack;
    register long x2 __asm__("x2") = 0;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0\n"
                     "cbnz x0, 1f\n"
                     "mov x29, #0\n" /* the child: on its own stack from here */
                     "ldp x1, x0, [sp], #16\n"
                     "blr x1\n"
                     "mov x8, %[exit]\n"
                     "svc 0\n"
                     "brk #0\n"
                     "1:\n"
                     : "+r"(x0), "+r"(x1)
                     : "r"(x8), "r"(x2), "r"(x3), "r"(x4), [exit] "i"(__NR_exit_group)
                     : "memory");
    return x0;
}

#endif
