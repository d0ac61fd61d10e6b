//! flock(1): the lock is a real one of the kernel's, only the waiting for it is in incident time.
//!
//! A lock of flock(2) belongs to the open file, not to a process. The command inherits the descriptor, so that the lock
//! lasts as long as the command, or whoever has the descriptor from it, even if flock itself is killed.

use std::fs::{File, TryLockError};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::stat::Mode;

use super::time_commands::{Child, duration, option};
use crate::program::link::Link;
use crate::sys::socket;
use crate::time::Span;

/// Exit codes of sysexits.h, as the real one uses them.
const USAGE: u8 = 64;
const DATAERR: u8 = 65;
const NOINPUT: u8 = 66;
const UNAVAILABLE: u8 = 69;

const KNOWN: &str = "-s, -x, -u, -n, -w, -E, -o, -F, -c, --verbose";

#[derive(Clone, Copy)]
enum Operation {
    Exclusive,
    Shared,
    Unlock,
}

struct Options {
    operation: Operation,
    /// How long to wait; `None`: for ever.
    patience: Option<Span>,
    conflict: u8,
    /// Whether the command gets the descriptor.
    passes: bool,
    /// Whether it becomes the command.
    becomes: bool,
    verbose: bool,
}

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut options = Options {
        operation: Operation::Exclusive,
        patience: None,
        conflict: 1,
        passes: true,
        becomes: false,
        verbose: false,
    };
    let mut words = args[1..].iter();
    let operands = loop {
        let rest = words.as_slice();
        let Some(word) = words.next() else { break rest };
        if !word.starts_with('-') || word == "-" {
            break rest;
        }
        if word == "--" {
            break words.as_slice();
        }
        let (name, inline) = option(word, &["-w", "-E"]);
        let mut value = || inline.map(str::to_owned).or_else(|| words.next().cloned()).unwrap_or_default();
        match name {
            "-w" | "--wait" | "--timeout" => {
                let text = value();
                match duration(&text).filter(|_| text.ends_with(|c: char| c.is_ascii_digit() || c == '.')) {
                    Some(span) => options.patience = Some(span),
                    None => return usage(link, &format!("invalid timeout value: '{text}'")),
                }
            }
            "-E" | "--conflict-exit-code" => {
                let text = value();
                match text.parse() {
                    Ok(code) => options.conflict = code,
                    Err(_) => return usage(link, &format!("invalid exit code: '{text}'")),
                }
            }
            "--shared" => options.operation = Operation::Shared,
            "--exclusive" => options.operation = Operation::Exclusive,
            "--unlock" => options.operation = Operation::Unlock,
            "--nb" | "--nonblock" | "--nonblocking" => options.patience = Some(Span::ZERO),
            "--close" => options.passes = false,
            "--no-fork" => options.becomes = true,
            "--verbose" => options.verbose = true,
            short if !short.starts_with("--") && short[1..].chars().all(|flag| options.take(flag)) => {}
            other => return unknown(link, other),
        }
    };
    match operands {
        [] => wrong(link, "requires file descriptor, file or directory"),
        [number] => descriptor(link, &options, number),
        [file, command @ ..] => run(link, &options, file, command),
    }
}

impl Options {
    fn take(&mut self, flag: char) -> bool {
        match flag {
            's' => self.operation = Operation::Shared,
            'x' | 'e' => self.operation = Operation::Exclusive,
            'u' => self.operation = Operation::Unlock,
            'n' => self.patience = Some(Span::ZERO),
            'o' => self.passes = false,
            'F' => self.becomes = true,
            _ => return false,
        }
        true
    }
}

fn usage(link: &mut Link, message: &str) -> u8 {
    link.stderr(&format!("flock: {message}"));
    USAGE
}

fn wrong(link: &mut Link, message: &str) -> u8 {
    link.stderr(&format!("flock: {message}"));
    link.stderr("Try 'flock --help' for more information.");
    USAGE
}

fn unknown(link: &mut Link, word: &str) -> u8 {
    let message = match word.strip_prefix("--") {
        Some(_) => format!("unrecognized option '{word}' (this flock knows {KNOWN})"),
        None => format!("invalid option -- '{}' (this flock knows {KNOWN})", &word[1..]),
    };
    wrong(link, &message)
}

/// `flock 9`: a descriptor that the shell has opened, and keeps.
fn descriptor(link: &mut Link, options: &Options, number: &str) -> u8 {
    let Ok(fd) = number.parse::<i32>() else {
        return usage(link, &format!("bad file descriptor: '{number}'"));
    };
    match socket::inherited(fd) {
        Ok(own) => match lock(link, options, &File::from(own)) {
            Ok(()) => 0,
            Err(code) => code,
        },
        Err(_) => {
            link.stderr(&format!("flock: {fd}: Bad file descriptor"));
            DATAERR
        }
    }
}

/// `flock FILE COMMAND…` and `flock FILE -c COMMANDS`.
fn run(link: &mut Link, options: &Options, path: &str, command: &[String]) -> u8 {
    let mut command = command.to_vec();
    if matches!(command[0].as_str(), "-c" | "--command") {
        let [_, commands] = command.as_slice() else {
            return usage(link, &format!("{} requires exactly one command argument", command[0]));
        };
        command = vec!["/bin/sh".to_owned(), "-c".to_owned(), commands.clone()];
        super::shell::arm(&mut command);
    }
    let file = match open(path) {
        Ok(fd) => File::from(fd),
        Err(errno) => {
            let path = link.mapping().to_incident(path);
            link.stderr(&format!("flock: cannot open lock file {path}: {}", errno.desc()));
            return NOINPUT;
        }
    };
    if let Err(code) = lock(link, options, &file) {
        return code;
    }
    if options.passes
        && let Err(errno) = fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))
    {
        link.stderr(&format!("flock: {}", errno.desc()));
        return UNAVAILABLE;
    }
    let shown = link.mapping().to_incident(&command[0]);
    if options.verbose {
        link.stderr(&format!("flock: executing {shown}"));
    }
    let error = if options.becomes {
        super::tool::go_on_as(link, &command[0], &command[1..], &[])
    } else {
        match Child::start_beside(link, Command::new(&command[0]).args(&command[1..])) {
            Ok(child) => return child.wait(link, None).unwrap_or(1),
            Err(error) => error,
        }
    };
    link.stderr(&format!("flock: failed to execute {shown}: {}", super::tool::reason(&error)));
    UNAVAILABLE
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match nix::fcntl::open(path, flags | OFlag::O_CREAT, Mode::from_bits_truncate(0o666)) {
        // A directory can be locked, not created.
        Err(Errno::EISDIR) => nix::fcntl::open(path, flags, Mode::empty()),
        other => other,
    }
}

/// Has the lock, or the exit code for that it has not.
fn lock(link: &mut Link, options: &Options, file: &File) -> Result<(), u8> {
    let begin = link.now();
    let deadline = options.patience.map(|patience| begin + patience);
    loop {
        let tried = match options.operation {
            Operation::Exclusive => file.try_lock(),
            Operation::Shared => file.try_lock_shared(),
            Operation::Unlock => file.unlock().map_err(TryLockError::Error),
        };
        match tried {
            Ok(()) => {
                if options.verbose {
                    let took = link.now().since(begin).as_micros();
                    link.stderr(&format!(
                        "flock: getting lock took {}.{:06} seconds",
                        took / 1_000_000,
                        took % 1_000_000
                    ));
                }
                return Ok(());
            }
            Err(TryLockError::WouldBlock) if deadline.is_some_and(|deadline| link.now() >= deadline) => {
                if options.verbose {
                    let timed = options.patience.is_some_and(|patience| !patience.is_zero());
                    link.stderr(if timed {
                        "flock: timeout while waiting to get lock"
                    } else {
                        "flock: failed to get lock"
                    });
                }
                return Err(options.conflict);
            }
            // Whoever has it lets go of it at its end, or when another command of a shell does so.
            Err(TryLockError::WouldBlock) => drop(link.wait_for_others(deadline)),
            Err(TryLockError::Error(error)) => {
                link.stderr(&format!("flock: {}", super::tool::reason(&error)));
                return Err(DATAERR);
            }
        }
    }
}
