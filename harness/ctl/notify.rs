//! systemd-notify(1): from its command line to the message that it sends.

use super::getopt::{Getopt, Spec, Takes};
use super::{Output, version_of, version_output};
use crate::time::Span;
use crate::unit::Profile;

/// Who calls it, and when.
#[expect(missing_debug_implementations, reason = "it holds a question")]
pub struct Caller<'a> {
    /// Its own PID.
    pub pid: u32,
    /// Its parent's; 1 if the manager has started it.
    pub parent: u32,
    /// How long the machine has been up (CLOCK_MONOTONIC).
    pub uptime: Span,
    /// Users that do not exist.
    pub is_unknown_user: &'a dyn Fn(&str) -> bool,
}

/// What comes of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Only output.
    Said(Output),
    /// It makes no sense, which it tells the manager as well: `ERRNO=22`, from its own PID.
    Refused(Output),
    /// A message goes out.
    Sends(Sends),
}

/// A message that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sends {
    /// Newline-separated assignments.
    pub text: String,
    /// The PID that it pretends to have, which only root can.
    pub source: u32,
    /// The user that it becomes first, if any.
    pub user: Option<String>,
    /// How many of the last arguments are a command to execute then.
    pub command: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Help,
    Version,
    Ready,
    Reloading,
    Stopping,
    Pid,
    Status,
    Booted,
    User,
    NoBlock,
    Exec,
}

/// The first so many are 252's.
const OF_252: usize = 8;
/// `--reloading` and `--stopping` came with 253, `--exec` with 254.
const OPTIONS: &[Spec<Opt>] = &[
    ("help", Some('h'), Takes::Nothing, Opt::Help),
    ("version", None, Takes::Nothing, Opt::Version),
    ("ready", None, Takes::Nothing, Opt::Ready),
    ("pid", None, Takes::Optional, Opt::Pid),
    ("status", None, Takes::Value, Opt::Status),
    ("booted", None, Takes::Nothing, Opt::Booted),
    ("uid", None, Takes::Value, Opt::User),
    ("no-block", None, Takes::Nothing, Opt::NoBlock),
    ("reloading", None, Takes::Nothing, Opt::Reloading),
    ("stopping", None, Takes::Nothing, Opt::Stopping),
    ("exec", None, Takes::Nothing, Opt::Exec),
];

/// Reads a command line, without the program's name. Whether the caller waits (`--no-block`) makes no difference in
/// lock-step: what is sent is served before the sender goes on.
pub fn read(args: &[String], profile: Profile, caller: &Caller<'_>) -> Outcome {
    let version = version_of(profile);
    let specs = if version >= 254 { OPTIONS } else { &OPTIONS[..OF_252] };
    let refuse = |message: &str| Outcome::Refused(Output::refuse(message));
    let mut getopt = Getopt::new("systemd-notify", specs, args);
    let (mut ready, mut reloading, mut stopping, mut booted, mut exec) = (false, false, false, false, false);
    let (mut status, mut user, mut main_pid) = (None, None, None);
    while let Some(next) = getopt.next() {
        let (option, value) = match next {
            Ok(option) => option,
            Err(message) => return refuse(&message),
        };
        let value = value.unwrap_or_default();
        match option {
            Opt::Help => return Outcome::Said(help(specs, 0)),
            Opt::Version => return Outcome::Said(version_output(version)),
            Opt::Ready => ready = true,
            Opt::Reloading => reloading = true,
            Opt::Stopping => stopping = true,
            Opt::Booted => booted = true,
            Opt::NoBlock => {}
            Opt::Exec => exec = true,
            Opt::Status => status = Some(value),
            Opt::User => {
                let numeric = value.parse::<u32>().is_ok_and(|uid| uid != u32::MAX);
                if !numeric && (caller.is_unknown_user)(&value) {
                    return refuse(&format!("Can't resolve user {value}: Invalid argument"));
                }
                user = Some(value);
            }
            Opt::Pid => {
                main_pid = Some(match value.as_str() {
                    "" | "auto" if caller.parent > 1 => caller.parent,
                    "" | "auto" | "self" => caller.pid,
                    "parent" => caller.parent,
                    text => match text.parse::<u32>().ok().filter(|pid| *pid > 0 && i32::try_from(*pid).is_ok()) {
                        Some(pid) => pid,
                        None if version >= 257 => {
                            return refuse(&format!("Failed to refer to --pid='{text}': Invalid argument"));
                        }
                        None => return refuse(&format!("Failed to parse PID {text}.")),
                    },
                });
            }
        }
    }
    let mut words = std::mem::take(&mut getopt.operands);
    let mut command = 0;
    if exec {
        let Some(at) = words.iter().position(|word| word == ";") else {
            return refuse("If --exec is used, argument list must contain ';' separator, refusing.");
        };
        command = words.len() - at - 1;
        if command == 0 {
            return refuse("Empty command line specified after ';' separator, refusing.");
        }
        words.truncate(at);
    }
    if booted {
        return Outcome::Said(Output::default());
    }
    let mut assignments: Vec<String> = Vec::new();
    if reloading {
        assignments.push("RELOADING=1".to_owned());
        assignments.push(format!("MONOTONIC_USEC={}", caller.uptime.as_micros()));
    }
    assignments.extend(ready.then(|| "READY=1".to_owned()));
    assignments.extend(stopping.then(|| "STOPPING=1".to_owned()));
    assignments.extend(status.map(|status| format!("STATUS={status}")));
    assignments.extend(main_pid.map(|pid| format!("MAINPID={pid}")));
    if assignments.is_empty() && words.is_empty() {
        return match exec {
            true => refuse("No notify message specified while --exec, refusing."),
            false => Outcome::Refused(help(specs, 1)),
        };
    }
    // What is said again takes the place of what was said before, as in an environment.
    for word in words {
        let name = |text: &str| text.split_once('=').map(|(name, _)| name.to_owned());
        match assignments.iter_mut().find(|known| name(known).is_some() && name(known) == name(&word)) {
            Some(known) => *known = word,
            None => assignments.push(word),
        }
    }
    let source = match main_pid {
        Some(pid) => pid,
        None if caller.parent > 1 => caller.parent,
        None => caller.pid,
    };
    Outcome::Sends(Sends { text: assignments.join("\n"), source, user, command })
}

fn help(specs: &[Spec<Opt>], code: u8) -> Output {
    let mut output = Output { code, ..Output::default() };
    output.say("systemd-notify [OPTIONS...] [VARIABLE=VALUE...]");
    output.say("");
    output.say("Tells the incident's manager about a service. Options:");
    output.say("");
    for (name, _, takes, _) in specs {
        let value = match takes {
            Takes::Nothing => "",
            Takes::Value => "=…",
            Takes::Optional => "[=…]",
        };
        output.say(format!("  --{name}{value}"));
    }
    output
}

/// What it says when there is nobody to tell.
pub fn not_told() -> Output {
    Output::refuse("No status data could be sent: $NOTIFY_SOCKET was not set")
}

/// What it says when the message could not be sent.
pub fn not_sent(reason: &str) -> Output {
    Output::refuse(format!("Failed to notify init system: {reason}"))
}
