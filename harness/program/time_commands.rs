//! `sleep`, `date`, `timeout` and `watch`: the commands that read or spend time, in the incident's.

use std::io;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::control::Note;
use crate::program::link::{Link, Woke};
use crate::time::{IncidentTime, Span};

/// sleep(1): numbers with s, m, h, d; several add up.
pub(super) fn sleep(link: &mut Link, args: &[String]) -> u8 {
    if args.len() < 2 {
        link.stderr("sleep: missing operand");
        return 1;
    }
    let mut total = Span::ZERO;
    for arg in &args[1..] {
        match duration(arg) {
            Some(span) => total = total + span,
            None => {
                link.stderr(&format!("sleep: invalid time interval ‘{arg}’"));
                return 1;
            }
        }
    }
    let until = (!total.is_infinite()).then(|| link.now() + total);
    while link.wait(until, 0, false, &[]) != Woke::Deadline {}
    0
}

/// A duration as coreutils take it: seconds, with a fraction, or with one suffix.
fn duration(text: &str) -> Option<Span> {
    if text == "infinity" || text == "inf" {
        return Some(Span::INFINITY);
    }
    let number = text.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or(text);
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = number.strip_suffix('.').unwrap_or(number);
    let unit = if text.ends_with(['s', 'm', 'h', 'd']) { &text[text.len() - 1..] } else { "s" };
    plain.then(|| Span::parse(&format!("{number}{unit}")).ok()).flatten()
}

/// date(1): `date`, `-u`, `+FORMAT`, `-d @SECONDS`, `-Is`.
pub(super) fn date(link: &mut Link, args: &[String]) -> u8 {
    let mut at = link.now();
    let mut format = "%a %b %e %H:%M:%S UTC %Y".to_owned();
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-u" | "--utc" | "--universal" => {}
            "-Is" | "--iso-8601=seconds" => format = "%Y-%m-%dT%H:%M:%S+00:00".to_owned(),
            "-d" | "--date" => {
                let given = rest.next().cloned().unwrap_or_default();
                let seconds = given.strip_prefix('@').and_then(|n| n.parse::<u64>().ok());
                match seconds.and_then(|n| n.checked_mul(1_000_000)) {
                    Some(micros) => at = IncidentTime::from_micros(micros),
                    None if given == "now" => {}
                    None => {
                        link.stderr(&format!("date: invalid date ‘{given}’ (this date knows @SECONDS and now)"));
                        return 1;
                    }
                }
            }
            text if text.starts_with('+') => format = text[1..].to_owned(),
            other => {
                link.stderr(&format!("date: extra operand ‘{other}’"));
                return 1;
            }
        }
    }
    let format = format.replace("%N", &format!("{:09}", at.as_micros() % 1_000_000 * 1000));
    let text = format!("{}\n", at.strftime(&format));
    link.stdout(text.as_bytes());
    0
}

/// timeout(1): runs a command and signals it when incident time is up.
pub(super) fn timeout(link: &mut Link, args: &[String]) -> u8 {
    let mut signal = Signal::SIGTERM;
    let mut kill_after = None;
    let mut words = args[1..].iter();
    let limit = loop {
        let Some(word) = words.next() else {
            link.stderr("timeout: missing operand");
            return 125;
        };
        match word.as_str() {
            "-s" | "--signal" => {
                let name = words.next().cloned().unwrap_or_default();
                match super::tool::signal_by_name(&name).and_then(|number| Signal::try_from(number).ok()) {
                    Some(number) => signal = number,
                    None => {
                        link.stderr(&format!("timeout: ‘{name}’: invalid signal"));
                        return 125;
                    }
                }
            }
            "-k" | "--kill-after" => kill_after = words.next().and_then(|text| duration(text)),
            "--foreground" | "--preserve-status" => {}
            text => match duration(text) {
                Some(span) => break span,
                None => {
                    link.stderr(&format!("timeout: invalid time interval ‘{text}’"));
                    return 125;
                }
            },
        }
    };
    let command: Vec<String> = words.cloned().collect();
    let Some((program, rest)) = command.split_first() else {
        link.stderr("timeout: missing operand");
        return 125;
    };
    let child = match Child::start(link, Command::new(program).args(rest)) {
        Ok(child) => child,
        Err(error) => {
            link.stderr(&format!("timeout: failed to run command ‘{program}’: {error}"));
            return if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        }
    };
    if let Some(code) = child.wait(link, Some(link.now() + limit)) {
        return code;
    }
    child.kill(signal);
    if let Some(span) = kill_after
        && child.wait(link, Some(link.now() + span)).is_none()
    {
        child.kill(Signal::SIGKILL);
    }
    child.wait(link, None);
    124
}

/// watch(1) without a terminal: the title and the output at each interval, one after the other.
pub(super) fn watch(link: &mut Link, args: &[String]) -> u8 {
    let mut every = Span::from_secs(2);
    let mut title = true;
    let mut words = args[1..].iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        match word.as_str() {
            "-n" | "--interval" => match words.next().and_then(|text| duration(text)) {
                Some(span) => every = span,
                None => {
                    link.stderr("watch: failed to parse argument");
                    return 1;
                }
            },
            "-t" | "--no-title" => title = false,
            text if text.starts_with("-n") => match duration(&text[2..]) {
                Some(span) => every = span,
                None => {
                    link.stderr(&format!("watch: failed to parse argument: '{}'", &text[2..]));
                    return 1;
                }
            },
            _ => {}
        }
    }
    let command = words.cloned().collect::<Vec<_>>().join(" ");
    if command.is_empty() {
        link.stderr("watch: no command given");
        return 1;
    }
    loop {
        if title {
            let tenths = every.as_micros() / 100_000;
            let shown = link.mapping().to_incident(&command);
            let head = format!(
                "Every {}.{}s: {shown}    {}: {}\n\n",
                tenths / 10,
                tenths % 10,
                link.hostname(),
                link.now().strftime("%a %b %e %H:%M:%S %Y")
            );
            link.stdout(head.as_bytes());
        }
        let child = match Child::start(link, Command::new("/bin/sh").args(["-c", &command])) {
            Ok(child) => child,
            Err(error) => {
                link.stderr(&format!("watch: cannot run /bin/sh: {error}"));
                return 1;
            }
        };
        child.wait(link, None);
        let next = link.now() + every;
        while link.now() < next {
            link.wait(Some(next), 0, false, &[]);
        }
    }
}

/// A child of a command; while it runs the command waits for SIGCHLD, as a participant.
struct Child {
    pid: Pid,
}

impl Child {
    fn start(link: &mut Link, command: &mut Command) -> io::Result<Child> {
        link.note(Note::Foreign);
        link.flush();
        // A blocked SIGCHLD would be inherited, and a shell could not wait for its children.
        link.leave_signals()?;
        let child = command.stdin(Stdio::null()).spawn()?;
        link.take_signals(&[Signal::SIGCHLD])?;
        Ok(Child { pid: Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?) })
    }

    /// The exit code as a shell shows it, or `None` at the deadline.
    fn wait(&self, link: &mut Link, deadline: Option<IncidentTime>) -> Option<u8> {
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => return u8::try_from(code & 0xff).ok(),
                Ok(WaitStatus::Signaled(_, signal, _)) => return u8::try_from(128 + signal as i32).ok(),
                Ok(_) => {}
                Err(_) => return Some(1),
            }
            if link.wait(deadline, 0, false, &[]) == Woke::Deadline {
                return None;
            }
        }
    }

    fn kill(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }
}
