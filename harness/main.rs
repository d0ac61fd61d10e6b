//! The `relapse` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A run starts this executable under other names, too.
    relapse::init();
    relapse::cli::main()
}
