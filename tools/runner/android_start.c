/* Where an Android program begins: the NDK's crtbegin, written by hand because there is no NDK here.
 *
 * The kernel leaves the arguments on the stack; bionic's __libc_init wants their address and calls main.
 */
#include "system.h"

int main(void);
void __libc_init(void *arguments, void (*at_exit)(void), int (*call)(void), const void *constructors)
    __attribute__((noreturn));

#if defined(__aarch64__)
__asm__(".globl _start\n.type _start, %function\n_start:\n  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n"
        "  b start_main\n");
#elif defined(__x86_64__)
__asm__(".globl _start\n.type _start, @function\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n"
        "  call start_main\n");
#endif

__attribute__((used)) void start_main(void *arguments) {
  static const void *const none[3]; /* this program has no constructors and no destructors */
  __libc_init(arguments, NULL, main, none);
}
