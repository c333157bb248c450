//! One board for each target, and its memory for the linker.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = env::var("TARGET").expect("cargo names the target");
    let (board, memory) = match target.as_str() {
        "thumbv7m-none-eabi" => ("lm3s6965", arm("256K", "64K")),
        "thumbv6m-none-eabi" => ("microbit", arm("256K", "16K")),
        "riscv32imc-unknown-none-elf" => ("virt", VIRT.to_owned()),
        // The pages alone, for their tests.
        _ => return,
    };
    println!("cargo:rustc-cfg=board=\"{board}\"");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    fs::write(out.join("memory.x"), memory).expect("a file in the build's own folder");
    println!("cargo:rustc-link-search={}", out.display());
}

fn arm(flash: &str, ram: &str) -> String {
    format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = 0x00000000, LENGTH = {flash}\n  RAM : ORIGIN = 0x20000000, LENGTH = {ram}\n}}\n"
    )
}

/// Everything is in RAM: QEMU loads the program there. The parts are as small as those of a microcontroller.
const VIRT: &str = "MEMORY
{
  FLASH : ORIGIN = 0x80000000, LENGTH = 256K
  RAM : ORIGIN = 0x80040000, LENGTH = 64K
}
REGION_ALIAS(\"REGION_TEXT\", FLASH);
REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";
