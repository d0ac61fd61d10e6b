//! How the executable is linked.

use std::path::Path;
use std::process::Command;

/// What the standard library asks the linker for unless all is built with `crt-static` (and then no library of macros can be built
/// beside it), and the archives that say the same. Some are empty since glibc 2.34.
const LIBRARIES: [(&str, &str); 7] = [
    ("libc.so", "-l:libc.a -l:libgcc_eh.a -l:libgcc.a"),
    ("libgcc_s.so", "-l:libgcc_eh.a"),
    ("libdl.so", "-l:libdl.a"),
    ("libm.so", "-l:libm.a"),
    ("libpthread.so", "-l:libpthread.a"),
    ("librt.so", "-l:librt.a"),
    ("libutil.so", "-l:libutil.a"),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|one| one == "crt-static");
    if variable("CARGO_CFG_TARGET_OS") != "linux" || variable("CARGO_CFG_TARGET_ENV") != "gnu" || is_static {
        return;
    }
    // A run starts this executable hundreds of times under other names. One that may be loaded anywhere has 24,000 places to be
    // filled in at each start, in pages that are copied for it. Shared libraries are found, mapped and bound at each start, too.
    let mut arguments = vec!["-no-pie".to_owned()];
    arguments.extend(without_shared_libraries(&variable("OUT_DIR")).unwrap_or_default());
    for argument in arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Arguments for the linker, where a program that is linked with them works: the archives of the C library may not be installed.
fn without_shared_libraries(out: &str) -> Option<[String; 2]> {
    for (name, archives) in LIBRARIES {
        std::fs::write(Path::new(out).join(name), format!("GROUP ( {archives} )\n")).ok()?;
    }
    let arguments = ["-static".to_owned(), format!("-L{out}")];
    let (source, trial) = (Path::new(out).join("trial.rs"), Path::new(out).join("trial"));
    std::fs::write(&source, "fn main() {\n    std::thread::spawn(|| ()).join().unwrap();\n}\n").ok()?;
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "--target", &variable("TARGET"), "-Clink-arg=-no-pie"]);
    rustc.args(arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    let built = rustc.arg("-o").arg(&trial).arg(&source).output().is_ok_and(|output| output.status.success());
    // Built for another processor, it does not run here, and nobody can tell whether it would.
    let works = built && Command::new(&trial).status().is_ok_and(|status| status.success());
    works.then_some(arguments)
}
