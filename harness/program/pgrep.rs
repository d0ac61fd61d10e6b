//! `pgrep` and `pkill` over the incident's process table.

use super::ps::table;
use crate::control::{Answer, ProcessRow, Query};
use crate::program::link::Link;

/// `pgrep` prints, `pkill` signals; `-f` matches the whole command line. As the real ones, neither finds itself, but
/// both find the shell that runs them when its command line holds the pattern.
pub(super) fn main(link: &mut Link, name: &str, args: &[String]) -> u8 {
    let (mut full, mut exact, mut newest, mut oldest) = (false, false, false, false);
    let (mut list, mut names, mut count, mut echo) = (false, false, false, false);
    let mut signal = nix::sys::signal::Signal::SIGTERM as i32;
    let mut pattern = None;
    for word in &args[1..] {
        match word.as_str() {
            "--full" => full = true,
            "--list-full" => list = true,
            "--exact" => exact = true,
            text if text.starts_with('-') && text.len() > 1 => match super::tool::signal_by_name(&text[1..]) {
                Some(number) if name == "pkill" => signal = number,
                _ => {
                    for flag in text[1..].chars() {
                        match flag {
                            'f' => full = true,
                            'x' => exact = true,
                            'a' if name == "pgrep" => list = true,
                            'l' if name == "pgrep" => names = true,
                            'c' if name == "pgrep" => count = true,
                            'n' => newest = true,
                            'o' => oldest = true,
                            'e' if name == "pkill" => echo = true,
                            other => {
                                let known = if name == "pkill" { "-SIGNAL, -e" } else { "-a, -l, -c" };
                                link.stderr(&format!(
                                    "{name}: invalid option -- '{other}' (this {name} knows -f, -x, -n, -o, {known})"
                                ));
                                return 2;
                            }
                        }
                    }
                }
            },
            text if pattern.is_none() => pattern = Some(text.to_owned()),
            _ => {
                link.stderr(&format!("{name}: only one pattern can be provided"));
                link.stderr(&format!("Try `{name} --help' for more information."));
                return 2;
            }
        }
    }
    let Some(pattern) = pattern else {
        link.stderr(&format!("{name}: no matching criteria specified"));
        link.stderr(&format!("Try `{name} --help' for more information."));
        return 2;
    };
    let regex = match regex::Regex::new(&if exact { format!("^(?:{pattern})$") } else { pattern }) {
        Ok(regex) => regex,
        Err(error) => {
            // The last line of the explanation is what is wrong.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            link.stderr(&format!("{name}: regex error: {reason}"));
            return 2;
        }
    };
    let (_, me, rows) = table(link);
    let mut found: Vec<&ProcessRow> = rows
        .iter()
        .filter(|row| row.pid != me && regex.is_match(if full { &row.cmdline } else { &row.comm }))
        .collect();
    // Of those that started at one moment, the later PID is the newer.
    found.sort_by_key(|row| (row.started, row.pid));
    match (newest, oldest) {
        (true, _) => drop(found.drain(..found.len().saturating_sub(1))),
        (_, true) => found.truncate(1),
        _ => found.sort_by_key(|row| row.pid),
    }
    if count {
        link.stdout(format!("{}\n", found.len()).as_bytes());
    }
    for row in &found {
        if name == "pkill" {
            if let Answer::Killed(Some(reason)) = link.ask(Query::Kill { pid: row.pid.into(), signal }) {
                link.stderr(&format!("pkill: {reason}"));
            } else if echo {
                link.stdout(format!("{} killed (pid {})\n", row.comm, row.pid).as_bytes());
            }
        } else if !count {
            let line = match (list, names) {
                (true, _) => format!("{} {}\n", row.pid, row.cmdline),
                (_, true) => format!("{} {}\n", row.pid, row.comm),
                _ => format!("{}\n", row.pid),
            };
            link.stdout(line.as_bytes());
        }
    }
    u8::from(found.is_empty())
}
