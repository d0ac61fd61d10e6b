//! The `relapse` command.

fn main() {
    relapse::init();
    if let Err(e) = relapse::run::probe() { eprintln!("{e}"); }
}
