//! The words of supervisord, pm2 and Docker: managers whose names stand in the line.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::fact::{Cause, Fact};

/// What a manager's line says of one of its programs.
pub(super) struct Told<'a> {
    pub name: &'a str,
    pub pid: Option<u32>,
    pub facts: Vec<Fact>,
    /// How long ago that was, in seconds: a line that looks back may tell of the same restart again.
    pub age: Option<u64>,
}

fn told<'a>(name: &'a str, facts: impl Into<Vec<Fact>>) -> Option<Told<'a>> {
    let name = name.trim_matches(['\'', '"']);
    (!name.is_empty() && name.len() <= 200).then(|| Told { name, pid: None, facts: facts.into(), age: None })
}

pub(super) fn read(text: &str) -> Option<Told<'_>> {
    supervisord(text).or_else(|| pm2(text)).or_else(|| docker_ps(text)).or_else(|| docker_events(text))
}

/// A signal as they print it: without `SIG`.
fn signal(word: &str) -> String {
    word.trim_start_matches("SIG").trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

fn supervisord(text: &str) -> Option<Told<'_>> {
    let text =
        ["INFO ", "WARN ", "CRIT ", "DEBG "].into_iter().find_map(|level| text.strip_prefix(level)).unwrap_or(text);
    if let Some(rest) = text.strip_prefix("spawned: '") {
        let (name, rest) = rest.split_once("' with pid ")?;
        return Some(Told { pid: rest.trim().parse().ok(), ..told(name, [Fact::Spawned])? });
    }
    if let Some(rest) = text.strip_prefix("exited: ") {
        let (name, rest) = rest.split_once(" (")?;
        let cause = if let Some(status) = rest.strip_prefix("exit status ") {
            let digits = status.split([';', ')']).next()?;
            digits.trim().parse().ok().filter(|status| *status != 0).map(|status| Cause::ExitCode { status })
        } else if let Some(by) = rest.strip_prefix("terminated by ") {
            let word = by.split([';', ')']).next()?;
            let name = signal(word.split_whitespace().next()?);
            Some(match word.contains("core dumped") {
                true => Cause::CoreDump { signal: Some(name) },
                false => Cause::Signal { signal: name },
            })
        } else {
            return None;
        };
        return told(name, [Fact::Exited(cause)]);
    }
    if let Some(rest) = text.strip_prefix("gave up: ") {
        return told(rest.split(" entered FATAL state").next()?, [Fact::Limited]);
    }
    if let Some(rest) = text.strip_prefix("waiting for ") {
        return told(rest.strip_suffix(" to stop")?, [Fact::Stopping]);
    }
    if let Some(rest) = text.strip_prefix("stopped: ") {
        return told(rest.split_once(" (")?.0, [Fact::Stopping, Fact::Exited(None)]);
    }
    if let Some(rest) = text.strip_prefix("success: ") {
        let (name, _) = rest.split_once(" entered RUNNING state")?;
        // It only says that `startsecs` have passed.
        return told(name, []);
    }
    None
}

fn pm2(text: &str) -> Option<Told<'_>> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("PM2"));
    // It stands near the beginning.
    let at = NAME.find(&text.as_bytes()[..text.len().min(43)])?;
    let text = text[at..].trim_start_matches("PM2").trim_start_matches([' ', '|', ']']);
    let text = text.trim_start_matches("log: ").trim_start_matches("error: ");
    // A stamp between, as `pm2 logs` prints it.
    let text = text.split_once("PM2 log: ").map_or(text, |(_, rest)| rest);
    let text = text.split_once("PM2 error: ").map_or(text, |(_, rest)| rest);
    if let Some(rest) = text.strip_prefix("App [").or_else(|| text.strip_prefix("App name:")) {
        let (name, rest) = rest.split_once(']').or_else(|| rest.split_once(' '))?;
        // A name may have a colon of its own; behind the last one is a number.
        let name = match name.rsplit_once(':') {
            Some((stem, id)) if id.parse::<u32>().is_ok() => stem,
            _ => name,
        };
        let rest = rest.trim_start();
        if rest.starts_with("starting in") {
            return told(name, [Fact::Spawned]);
        }
        if let Some(rest) = rest.strip_prefix("exited with code [") {
            let (code, rest) = rest.split_once(']')?;
            let by = rest.split('[').nth(1).and_then(|rest| rest.split(']').next()).map(signal);
            let cause = match (code.parse::<i32>(), by) {
                (Ok(0) | Err(_), Some(by)) if by != "INT" => Some(Cause::Signal { signal: by }),
                (Ok(status), _) if status != 0 => Some(Cause::ExitCode { status }),
                _ => None,
            };
            return told(name, [Fact::Exited(cause)]);
        }
        return None;
    }
    if let Some(rest) = text.strip_prefix("Stopping app:") {
        return told(rest.split(" id:").next()?, [Fact::Stopping]);
    }
    if let Some(rest) = text.strip_prefix("Script ") {
        let (script, _) = rest.split_once(" had too many unstable restarts")?;
        return Some(Told { name: script, pid: None, facts: vec![Fact::Limited], age: None });
    }
    None
}

/// A line of `docker ps`: `ID IMAGE COMMAND CREATED Restarting (1) 5 seconds ago PORTS NAME`.
fn docker_ps(text: &str) -> Option<Told<'_>> {
    static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("Restarting ("));
    let at = WORD.find(text.as_bytes())?;
    let (before, rest) = (&text[..at], &text[at + WORD.needle().len()..]);
    let (code, rest) = rest.split_once(") ")?;
    let (ago, after) = rest.split_once(" ago")?;
    let status: i32 = code.parse().ok()?;
    let cause = (status != 0).then_some(Cause::ExitCode { status });
    // `--format "{{.Names}} {{.Status}}"` has the name in front.
    let name = after.split_whitespace().next_back().or_else(|| before.split_whitespace().next())?;
    let mut words = ago.split(' ').rev();
    let unit = match words.next()?.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        _ => 3600,
    };
    let count = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(1);
    Some(Told { age: Some(count * unit), ..told(name, [Fact::Exited(cause), Fact::Scheduled { counter: None }])? })
}

/// `container die 4f2a… (exitCode=1, image=app, name=web)`.
fn docker_events(text: &str) -> Option<Told<'_>> {
    let rest = text.strip_prefix("container ")?;
    let (action, rest) = rest.split_once(' ')?;
    let (_, attributes) = rest.split_once(" (")?;
    let attributes = attributes.strip_suffix(')').unwrap_or(attributes);
    let value = |key: &str| attributes.split(", ").find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    container(action, value("name")?, value("exitCode"))
}

/// What an event of a container comes to.
pub(super) fn container<'a>(action: &str, name: &'a str, exit_code: Option<&str>) -> Option<Told<'a>> {
    match action {
        "start" => told(name, [Fact::Started]),
        // `docker stop` and `docker restart` send a signal first; a restart policy sends none.
        "kill" | "stop" | "restart" => told(name, [Fact::Stopping]),
        "die" => {
            let status: i32 = exit_code.unwrap_or("0").parse().ok()?;
            told(name, [Fact::Exited((status != 0).then_some(Cause::ExitCode { status }))])
        }
        _ => None,
    }
}
