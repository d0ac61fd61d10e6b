//! `sleep`, `timeout` and `watch`: the commands that spend time, the incident's.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::control::Note;
use crate::program::link::{Link, Woke};
use crate::time::{IncidentTime, Span};

/// sleep(1): numbers with s, m, h, d; several add up.
pub(super) fn sleep(link: &mut Link, args: &[String]) -> u8 {
    if args.len() < 2 {
        return wrong(link, "sleep", "missing operand", 1);
    }
    let mut total = Span::ZERO;
    for arg in &args[1..] {
        match duration(arg) {
            Some(span) => total = total + span,
            None => return wrong(link, "sleep", &format!("invalid time interval ‘{arg}’"), 1),
        }
    }
    let until = (!total.is_infinite()).then(|| link.now() + total);
    while link.wait(until, 0, false, &[]) != Woke::Deadline {}
    0
}

/// What coreutils say of a command line that makes no sense.
fn wrong(link: &mut Link, name: &str, message: &str, code: u8) -> u8 {
    link.stderr(&format!("{name}: {message}"));
    link.stderr(&format!("Try '{name} --help' for more information."));
    code
}

/// A duration as coreutils take it: seconds, with a fraction, or with one suffix.
pub(super) fn duration(text: &str) -> Option<Span> {
    if text == "infinity" || text == "inf" {
        return Some(Span::INFINITY);
    }
    let number = text.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or(text);
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = number.strip_suffix('.').unwrap_or(number);
    let unit = if text.ends_with(['s', 'm', 'h', 'd']) { &text[text.len() - 1..] } else { "s" };
    plain.then(|| Span::parse(&format!("{number}{unit}")).ok()).flatten()
}

/// timeout(1): runs a command and signals it, and what it has started, when incident time is up.
pub(super) fn timeout(link: &mut Link, args: &[String]) -> u8 {
    let mut signal = Signal::SIGTERM;
    let mut kill_after = None;
    let mut preserve_status = false;
    let mut words = args[1..].iter();
    let limit = loop {
        let Some(word) = words.next() else {
            return wrong(link, "timeout", "missing operand", 125);
        };
        let (option, inline) = option(word, &["-s", "-k"]);
        let mut value = || inline.map(str::to_owned).or_else(|| words.next().cloned()).unwrap_or_default();
        match option {
            "-s" | "--signal" => {
                let name = value();
                // 0 is a signal to kill(1), which only looks; there is nothing to look at here.
                match super::tool::signal_by_name(&name).and_then(|number| Signal::try_from(number).ok()) {
                    Some(number) => signal = number,
                    None => return wrong(link, "timeout", &format!("‘{name}’: invalid signal"), 125),
                }
            }
            "-k" | "--kill-after" => {
                let text = value();
                match duration(&text) {
                    Some(span) => kill_after = Some(span),
                    None => return wrong(link, "timeout", &format!("invalid time interval ‘{text}’"), 125),
                }
            }
            "--preserve-status" => preserve_status = true,
            "--foreground" | "-v" | "--verbose" => {}
            text if text.starts_with('-') => {
                let message = format!("unrecognized option '{text}' (this timeout knows -s, -k, --preserve-status)");
                return wrong(link, "timeout", &message, 125);
            }
            text => match duration(text) {
                Some(span) => break span,
                None => return wrong(link, "timeout", &format!("invalid time interval ‘{text}’"), 125),
            },
        }
    };
    let command: Vec<String> = words.cloned().collect();
    let Some((program, rest)) = command.split_first() else {
        return wrong(link, "timeout", "missing operand", 125);
    };
    let child = match Child::start(link, Command::new(program).args(rest)) {
        Ok(child) => child,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let why =
                error.raw_os_error().map_or_else(|| error.to_string(), |raw| Errno::from_raw(raw).desc().to_owned());
            let program = link.mapping().to_incident(program);
            link.stderr(&format!("timeout: failed to run command ‘{program}’: {why}"));
            return if missing { 127 } else { 126 };
        }
    };
    // 0 and infinity are for ever.
    let deadline = (!limit.is_zero() && !limit.is_infinite()).then(|| link.now() + limit);
    if let Some(code) = child.wait(link, deadline) {
        return code;
    }
    child.kill(signal);
    let mut killed = signal == Signal::SIGKILL;
    let mut code = None;
    if let Some(span) = kill_after.filter(|span| !span.is_zero()) {
        code = child.wait(link, Some(link.now() + span));
        if code.is_none() {
            child.kill(Signal::SIGKILL);
            killed = true;
        }
    }
    let code = code.or_else(|| child.wait(link, None)).unwrap_or(125);
    if preserve_status || killed { code } else { 124 }
}

/// An option and the value that is joined to it: `--name=value`, or `-nvalue` for those that take one.
pub(super) fn option<'a>(word: &'a str, short: &[&str]) -> (&'a str, Option<&'a str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    match word.split_at_checked(2) {
        Some((name, value)) if short.contains(&name) && !value.is_empty() => (name, Some(value)),
        _ => (word, None),
    }
}

/// watch(1) without a terminal: the title and the output at each interval, one after the other.
pub(super) fn watch(link: &mut Link, args: &[String]) -> u8 {
    let mut every = Span::from_secs(2);
    let mut title = true;
    let mut words = args[1..].iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        match option(word, &["-n"]) {
            ("-n" | "--interval", inline) => {
                let text = inline.map(str::to_owned).or_else(|| words.next().cloned()).unwrap_or_default();
                // A tenth of a second is the least, as in the real one.
                match duration(&text) {
                    Some(span) => every = span.max(Span::from_millis(100)),
                    None => {
                        link.stderr(&format!("watch: failed to parse argument: '{text}': Invalid argument"));
                        return 1;
                    }
                }
            }
            ("-t" | "--no-title", None) => title = false,
            // How it looks on a terminal.
            ("-b" | "--beep" | "-c" | "--color" | "-d" | "--differences" | "-w" | "--no-wrap", _) => {}
            (other, _) => {
                link.stderr(&format!("watch: invalid option -- '{other}' (this watch knows -n, -t, -d, -b, -c, -w)"));
                return 1;
            }
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
pub(super) struct Child {
    pid: Pid,
}

impl Child {
    /// Starts it in a group of its own, so that what it has started can be signalled with it.
    fn start(link: &mut Link, command: &mut Command) -> io::Result<Child> {
        Self::start_beside(link, command.process_group(0))
    }

    /// Starts it.
    pub(super) fn start_beside(link: &mut Link, command: &mut Command) -> io::Result<Child> {
        link.note(Note::Foreign);
        link.flush();
        // A blocked SIGCHLD would be inherited, and a shell could not wait for its children.
        link.leave_signals()?;
        let child = command.stdin(Stdio::inherit()).spawn()?;
        link.take_signals(&[Signal::SIGCHLD])?;
        Ok(Child { pid: Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?) })
    }

    /// The exit code as a shell shows it, or `None` at the deadline.
    pub(super) fn wait(&self, link: &mut Link, deadline: Option<IncidentTime>) -> Option<u8> {
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
        // It may have ended meanwhile.
        let _ = killpg(self.pid, signal);
    }
}
