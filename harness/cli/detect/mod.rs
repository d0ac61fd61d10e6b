//! `relapse detect`: restart loops in logs and journals.

mod buffer;
mod follow;
mod input;

use std::path::PathBuf;

use regex::Regex;

use super::USAGE;
use super::run::{complain, say};
use crate::detect::{Report, Settings};
use crate::time::Span;
use crate::timeline::printable;

const HELP: &str = "\
Application logs, journalctl's text (short, short-iso, short-precise, short-full and the like) and its JSON are read,
plain, gzip or zstd, and what supervisord, pm2, Docker, gunicorn and uvicorn print. It is a loop if one subject is
restarted at least three times by itself, or a start limit ended it; a stop that was asked for does not count.

--format json prints one object a line for each input: `input`, `verdict` (loop|clean), and `loops`, each with `subject`,
`signature` (restart-counter|main-pid|duplicate-owner|port-conflict|banner), `starts`, `first`, `last`, `period_us` (`min`,
`median`, `max`), `periodic`, `cause`, `ended` (ongoing|start-limit|recovered|unknown) and `growing`.

Of files above 16 MiB whose lines nobody signs, samples are read in whole, and then the lines that they say matter: a banner
that no sample shows is not found. --banner names it; standard input is always read in whole.

Exit codes: 0 clean, 1 a loop in any of them, 2 bad input or usage.";

/// Find restart loops in logs and journals
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Logs to read; `-` is standard input, and so is none at all
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The line that the program prints when it starts, as a regular expression; found if it is not given
    #[arg(long, value_name = "REGEX", value_parser = banner)]
    banner: Option<Regex>,
    /// So many automatic restarts are a loop
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u64).range(1..))]
    min_restarts: u64,
    /// A run as long as this breaks the chain
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span)]
    hold: Span,
    /// The year of time stamps that have none
    #[arg(long, value_name = "YYYY", value_parser = clap::value_parser!(i16).range(1970..9000))]
    year: Option<i16>,
    /// Watch one file as it grows, or standard input, and tell when a loop begins and ends
    #[arg(long)]
    follow: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

fn banner(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("an empty one matches every line".to_owned());
    }
    Regex::new(text).map_err(|error| error.to_string())
}

fn span(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).map_err(|error| format!("{error}; expected a time span such as 1h or 10min"))?;
    if span.is_zero() {
        return Err("no run is as short as that".to_owned());
    }
    Ok(span)
}

impl Args {
    fn settings(&self) -> Settings {
        Settings { min_restarts: self.min_restarts, hold: self.hold, year: self.year, banner: self.banner.clone() }
    }
}

pub(super) fn main(args: &Args) -> u8 {
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin[..] } else { &args.files };
    if args.follow {
        return match files {
            [one] => follow::main(args, one),
            _ => {
                complain("error: --follow watches one input, and several are named");
                USAGE
            }
        };
    }
    let (mut found, mut failed) = (false, false);
    for (index, file) in files.iter().enumerate() {
        match input::read(file, &args.settings()) {
            Ok(report) => {
                found |= report.has_loop();
                let gap = if index > 0 && args.format == "text" { "\n" } else { "" };
                say(&format!("{gap}{}", shown(args, file, &report)));
            }
            Err(why) => {
                complain(&format!("error: {}", printable(&why)));
                failed = true;
            }
        }
    }
    if failed { USAGE } else { u8::from(found) }
}

fn shown(args: &Args, file: &std::path::Path, report: &Report) -> String {
    let name = file.to_string_lossy();
    match args.format.as_str() {
        "json" => report.to_json(&name),
        _ => report.to_text(&name),
    }
}
