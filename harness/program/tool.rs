//! Commands that the run answers (`systemctl`, `journalctl`, `systemd-notify`), `kill` and `sudo`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::control::{Answer, Note, Query};
use crate::program::link::Link;

/// Sends argv to the run and prints what comes back, until it is done.
pub(super) fn forward(link: &mut Link, args: &[String]) -> u8 {
    let name = args[0].rsplit('/').next().unwrap_or_default().to_owned();
    let mut argv = args.to_vec();
    argv[0] = name;
    let mut answer = link.ask(Query::Tool { argv, utf8: locale_has_utf8(), utf8_asked: utf8_asked() });
    loop {
        let Answer::Output { stdout, stderr, code, more, .. } = answer else { return 1 };
        link.stdout(&stdout);
        for line in String::from_utf8_lossy(&stderr).lines() {
            link.stderr(line);
        }
        if !more {
            return code;
        }
        answer = link.ask(Query::More);
    }
}

/// Whether the locale has UTF-8, as systemd finds out (locale(7)): only who asks for another one gets that.
fn locale_has_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_none_or(|locale| locale != "C" && locale != "POSIX")
}

fn utf8_asked() -> Option<bool> {
    match std::env::var("SYSTEMD_UTF8").ok()?.as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// systemd-notify(1): the run reads the command line and serves the message before it answers.
pub(super) fn notify(link: &mut Link, args: &[String]) -> u8 {
    let socket = std::env::var_os("NOTIFY_SOCKET").map(|socket| socket.to_string_lossy().into_owned());
    let Answer::Notified { stdout, stderr, code, command } = link.ask(Query::Notify { argv: args.to_vec(), socket })
    else {
        return 1;
    };
    link.stdout(&stdout);
    for line in String::from_utf8_lossy(&stderr).lines() {
        link.stderr(line);
    }
    let words = &args[args.len().saturating_sub(command)..];
    // What it goes on as is the host's again.
    let host: Vec<String> = words.iter().map(|word| link.mapping().to_host(word)).collect();
    let Some((program, rest)) = host.split_first() else { return code };
    let error = go_on_as(link, program, rest, &[]);
    link.stderr(&format!("Failed to execute command line: {}: {}", words.join(" "), reason(&error)));
    1
}

/// Replaces this process by another program; comes back only with the reason why not.
pub(super) fn go_on_as<S: AsRef<std::ffi::OsStr>>(
    link: &mut Link,
    program: &S,
    rest: &[S],
    environment: &[(&str, &str)],
) -> std::io::Error {
    link.note(Note::Foreign);
    link.flush();
    Command::new(program).args(rest).envs(environment.iter().copied()).exec()
}

pub(super) fn reason(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |raw| Errno::from_raw(raw).desc().to_owned())
}

/// kill(1) as shells have it.
pub(super) fn kill(link: &mut Link, args: &[String]) -> u8 {
    let mut signal = Signal::SIGTERM as i32;
    let mut pids = Vec::new();
    let mut words = args[1..].iter();
    let mut options = true;
    while let Some(word) = words.next() {
        let name = match word.as_str() {
            "--" if options => {
                options = false;
                continue;
            }
            "-l" if options => return list(link, words.as_slice()),
            text @ ("-s" | "-n") if options => match words.next() {
                Some(name) => name.clone(),
                None => {
                    link.stderr(&format!("kill: {text}: option requires an argument"));
                    return 1;
                }
            },
            text if options && text.starts_with('-') && text.len() > 1 => text[1..].to_owned(),
            text => {
                pids.push(text.to_owned());
                continue;
            }
        };
        match signal_by_name(&name) {
            Some(number) => signal = number,
            None => {
                link.stderr(&format!("kill: {name}: invalid signal specification"));
                return 1;
            }
        }
    }
    if pids.is_empty() {
        link.stderr("kill: usage: kill [-s sigspec | -n signum | -sigspec] pid ... or kill -l [sigspec]");
        return 2;
    }
    let mut code = 0;
    for text in pids {
        let refused = match text.parse::<i64>() {
            Ok(pid) => match link.ask(Query::Kill { pid, signal }) {
                Answer::Killed(refused) => refused,
                _ => Some("no answer".to_owned()),
            },
            Err(_) => Some(format!("{text}: arguments must be process or job IDs")),
        };
        if let Some(reason) = refused {
            link.stderr(&format!("kill: {reason}"));
            code = 1;
        }
    }
    code
}

/// `kill -l`: names of numbers, numbers of names; all names without either.
fn list(link: &mut Link, words: &[String]) -> u8 {
    if words.is_empty() {
        let names: Vec<&str> = Signal::iterator().map(|signal| &signal.as_str()[3..]).collect();
        link.stdout(format!("{}\n", names.join(" ")).as_bytes());
        return 0;
    }
    let mut code = 0;
    for word in words {
        // An exit status of the shell names the signal, too.
        let number = signal_by_name(word).or_else(|| word.parse::<i32>().ok().map(|status| status - 128));
        match number.and_then(|number| Signal::try_from(number).ok()) {
            Some(signal) if word.starts_with(|c: char| c.is_ascii_digit()) => {
                link.stdout(format!("{}\n", &signal.as_str()[3..]).as_bytes());
            }
            Some(signal) => link.stdout(format!("{}\n", signal as i32).as_bytes()),
            None => {
                link.stderr(&format!("kill: {word}: invalid signal specification"));
                code = 1;
            }
        }
    }
    code
}

/// A signal by number or name, with or without SIG; 0 is allowed.
pub(super) fn signal_by_name(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (number == 0 || Signal::try_from(number).is_ok()).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse::<Signal>().ok().map(|signal| signal as i32)
}

/// sudo(8): whoever may run a scenario may do what it says. It is told to the command as the real one tells it, in the
/// environment; the other options are accepted and dropped.
pub(super) fn sudo(link: &mut Link, args: &[String]) -> u8 {
    let mut user = "root".to_owned();
    let mut words = args[1..].iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with('-') || word.contains('=')) {
        match word.as_str() {
            "-u" | "--user" => user = words.next().cloned().unwrap_or(user),
            "-g" | "--group" => drop(words.next()),
            text => {
                let joined = text.strip_prefix("--user=").or_else(|| text.strip_prefix("-u"));
                user = joined.map_or(user, str::to_owned);
            }
        }
    }
    let command: Vec<String> = words.cloned().collect();
    let Some((program, rest)) = command.split_first() else {
        link.stderr("usage: sudo command [arg ...]");
        return 1;
    };
    let before = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let environment = [("SUDO_USER", before.as_str()), ("USER", &user), ("LOGNAME", &user)];
    let error = go_on_as(link, program, rest, &environment);
    let program = link.mapping().to_incident(program);
    if error.kind() == std::io::ErrorKind::NotFound {
        link.stderr(&format!("sudo: {program}: command not found"));
    } else {
        link.stderr(&format!("sudo: unable to execute {program}: {}", reason(&error)));
    }
    1
}
