//! Restrictions that a test's child process puts on itself.

// Every test uses its own part of this.
#![allow(dead_code)]

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

/// One instruction of classic BPF.
#[repr(C)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    value: u32,
}

#[repr(C)]
struct Program {
    len: u16,
    instructions: *const Instruction,
}

const IO_URING_SETUP: u32 = 425;

/// From now on, io_uring_setup(2) fails with this number, in all threads.
pub(crate) fn refuse_io_uring_setup(errno: u32) {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jump_false, value| Instruction { code, jump_true: 0, jump_false, value };
    let instructions = [
        step(LOAD_WORD, 0, 0), // the number of the system call
        step(JUMP_EQUAL, 1, IO_URING_SETUP),
        step(RETURN, 0, 0x0005_0000 | errno), // SECCOMP_RET_ERRNO
        step(RETURN, 0, 0x7fff_0000),         // SECCOMP_RET_ALLOW
    ];
    let program = Program { len: instructions.len() as u16, instructions: instructions.as_ptr() };
    set_no_new_privs(true).unwrap();
    let result: isize;
    // SAFETY: seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program) reads the program, which is valid,
    // and writes no memory of ours. The registers that the kernel clobbers are listed.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") 317_isize => result,
            in("rdi") 1,
            in("rsi") 1,
            in("rdx") &raw const program,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    assert_eq!(result, 0, "seccomp");
}

pub(crate) fn drop_capabilities() {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
}
