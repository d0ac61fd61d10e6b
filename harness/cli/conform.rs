//! `relapse conform`: the embedded manager beside a real systemd.

use std::io::{self, Write};

use crate::conform::generate;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many units
    #[arg(long, value_name = "N", default_value_t = 100)]
    cases: usize,
    /// What they are made of
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print them as JSON, one a line, and end
    #[arg(long, hide = true)]
    print: bool,
}

pub(super) fn main(args: &Args) -> u8 {
    if args.print {
        let mut out = io::stdout().lock();
        for case in generate::cases(args.seed).take(args.cases) {
            let Ok(line) = serde_json::to_string(&case) else { continue };
            if writeln!(out, "{line}").is_err() {
                break;
            }
        }
    }
    0
}
