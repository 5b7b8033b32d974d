//! Compiles the BPF programs with clang.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Objects: name, source, macros to define. All but the first five are for benchmarks and tests.
const OBJECTS: [(&str, &str, &[&str]); 13] = [
    ("evenkeel", "evenkeel", &["FAMILY=4"]),
    ("evenkeel6", "evenkeel", &["FAMILY=6"]),
    ("evenkeel_tc", "evenkeel", &["FAMILY=4", "HOOK_TC"]),
    ("evenkeel_tc6", "evenkeel", &["FAMILY=6", "HOOK_TC"]),
    ("inward", "inward", &[]),
    ("bench", "bench", &["FAMILY=4"]),
    ("bench_hash", "bench", &["FAMILY=4", "BENCH_KERNEL_HASH"]),
    ("drill", "drill", &["FAMILY=4"]),
    ("drill6", "drill", &["FAMILY=6"]),
    ("padded", "evenkeel", &["FAMILY=4", "LAYOUT_PADDED"]),
    ("padded6", "evenkeel", &["FAMILY=6", "LAYOUT_PADDED"]),
    ("padded_tc", "evenkeel", &["FAMILY=4", "HOOK_TC", "LAYOUT_PADDED"]),
    ("padded_tc6", "evenkeel", &["FAMILY=6", "HOOK_TC", "LAYOUT_PADDED"]),
];

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for (name, source, defines) in OBJECTS {
        let source = format!("bpf/{source}.bpf.c");
        let object = out.join(format!("{name}.bpf.o"));
        if let Err(reason) = compile(&clang, Path::new(&source), defines, &object) {
            println!("cargo::error={reason}");
            std::process::exit(1);
        }
    }
}

fn compile(clang: &str, source: &Path, defines: &[&str], object: &Path) -> Result<(), String> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let mut command = Command::new(clang);
    command.args(["-O2", "-g", "-Wall", "-Werror", "-Wno-unused-function"]);
    command.args(["-target", "bpf", "-mcpu=v3"]);
    // Where Debian keeps asm/types.h.
    command.arg(format!("-I/usr/include/{architecture}-linux-gnu"));
    command.args(defines.iter().map(|define| format!("-D{define}")));
    command.arg("-c").arg(source).arg("-o").arg(object);
    match command.output() {
        Err(error) => Err(format!(
            "the BPF programs need `{clang}`, which does not start ({error}): run scripts/setup, \
             or install the packages clang and libbpf-dev"
        )),
        Ok(output) if !output.status.success() => Err(format!(
            "{clang} does not compile {}: {}",
            source.display(),
            String::from_utf8_lossy(&output.stderr).replace('\n', " | ")
        )),
        Ok(_) => Ok(()),
    }
}
