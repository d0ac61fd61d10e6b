//! `killall` and `pidof`: processes by their exact name.

use nix::sys::signal::Signal;

use super::ps::table;
use crate::control::{Answer, ProcessRow, Query};
use crate::program::link::Link;

/// The kernel keeps so much of a name.
const COMM: usize = 15;

fn is_named(row: &ProcessRow, name: &str) -> bool {
    row.comm.chars().take(COMM).eq(name.chars().take(COMM))
}

/// `killall [-SIGNAL] NAME…`.
pub(super) fn killall(link: &mut Link, args: &[String]) -> u8 {
    let (mut quiet, mut verbose) = (false, false);
    let mut signal = Signal::SIGTERM as i32;
    let mut names = Vec::new();
    let mut words = args[1..].iter();
    while let Some(word) = words.next() {
        let named = match word.as_str() {
            "-q" | "--quiet" => {
                quiet = true;
                continue;
            }
            "-v" | "--verbose" => {
                verbose = true;
                continue;
            }
            "-e" | "--exact" | "--" => continue,
            "-s" | "--signal" => words.next().map(String::as_str).unwrap_or_default(),
            option if option.starts_with('-') && option.len() > 1 => &option[1..],
            name => {
                names.push(name);
                continue;
            }
        };
        match super::tool::signal_by_name(named) {
            Some(number) => signal = number,
            None => {
                link.stderr(&format!("{named}: unknown signal (this killall knows -SIGNAL, -s, -e, -q, -v)"));
                return 1;
            }
        }
    }
    if names.is_empty() {
        link.stderr("Usage: killall [OPTION]... [--] NAME...");
        return 1;
    }
    let (_, me, rows) = table(link);
    let mut code = 0;
    for name in names {
        let found: Vec<&ProcessRow> = rows.iter().filter(|row| row.pid != me && is_named(row, name)).collect();
        if found.is_empty() {
            code = 1;
            if !quiet {
                link.stderr(&format!("{name}: no process found"));
            }
        }
        for row in found {
            match link.ask(Query::Kill { pid: row.pid.into(), signal }) {
                Answer::Killed(Some(reason)) => {
                    code = 1;
                    link.stderr(&format!("{name}{reason}"));
                }
                _ if verbose => link.stderr(&format!("Killed {name}({}) with signal {signal}", row.pid)),
                _ => {}
            }
        }
    }
    code
}

/// `pidof NAME…`, the newest first.
pub(super) fn pidof(link: &mut Link, args: &[String]) -> u8 {
    let single = args[1..].iter().any(|word| word == "-s");
    let names: Vec<&String> = args[1..].iter().filter(|word| !word.starts_with('-')).collect();
    let (_, me, rows) = table(link);
    // A program is known by the name in its argv, too.
    let named = |row: &ProcessRow| {
        let first = row.cmdline.split(' ').next().unwrap_or_default();
        names.iter().any(|name| is_named(row, name) || first == *name || first.rsplit('/').next() == Some(name))
    };
    let mut found: Vec<String> =
        rows.iter().rev().filter(|row| row.pid != me && named(row)).map(|row| row.pid.to_string()).collect();
    if single {
        found.truncate(1);
    }
    if found.is_empty() {
        return 1;
    }
    link.stdout(format!("{}\n", found.join(" ")).as_bytes());
    0
}
