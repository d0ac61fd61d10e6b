//! The timeline as text, one event a line: `12:28:18.000 lumiera-whatsapp[3368903] log "FSM Running"`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::event::{Answer, Ended, Event, EventKind, Timeline};
use super::signal::signal_name;
use super::text::{brief, printable};

/// Characters of a line that are shown; the rest of a long log line is cut off.
const WIDTH: usize = 200;

/// All events as text, one line each, safe for a terminal.
pub fn render(timeline: &Timeline) -> String {
    let mut out = String::new();
    for line in render_range(timeline, 0..timeline.events().len()) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Some of the events as lines without their line ends. Processes are named as they were at that moment.
pub fn render_range(timeline: &Timeline, range: Range<usize>) -> Vec<String> {
    let mut names = Names::default();
    let mut lines = Vec::new();
    for (index, event) in timeline.events().iter().enumerate().take(range.end) {
        names.learn(event);
        if index >= range.start {
            lines.push(names.line(event));
        }
    }
    lines
}

/// The events at these indexes, in ascending order, as lines without their line ends.
pub fn render_at(timeline: &Timeline, indexes: &BTreeSet<usize>) -> Vec<(usize, String)> {
    let end = indexes.last().map_or(0, |last| last + 1);
    let mut names = Names::default();
    let mut lines = Vec::new();
    for (index, event) in timeline.events().iter().enumerate().take(end) {
        names.learn(event);
        if indexes.contains(&index) {
            lines.push((index, names.line(event)));
        }
    }
    lines
}

/// What processes that belong to no unit are called: the name of their program.
#[derive(Default)]
struct Names(BTreeMap<u32, String>);

impl Names {
    fn learn(&mut self, event: &Event) {
        if let EventKind::Start { pid, cmdline, .. } | EventKind::Exec { pid, cmdline } = &event.kind {
            let program = cmdline.split(' ').next().unwrap_or_default();
            let name = program.rsplit('/').next().unwrap_or_default();
            self.0.insert(*pid, name.to_owned());
        }
    }

    /// `unit[PID]` or `program[PID]`.
    fn who(&self, unit: Option<&str>, pid: u32) -> String {
        let name = match unit {
            Some(unit) => stem(unit),
            None => self.0.get(&pid).map_or("", String::as_str),
        };
        format!("{name}[{pid}]")
    }

    fn line(&self, event: &Event) -> String {
        let what = self.what(&event.kind);
        let text = format!("{} {what}", event.at.strftime("%H:%M:%S%.3f"));
        let text = printable(&text);
        match text.char_indices().nth(WIDTH) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.into_owned(),
        }
    }

    fn what(&self, kind: &EventKind) -> String {
        match kind {
            EventKind::Phase { title } => format!("## {title}"),
            EventKind::Command { command, .. } => format!("$ {}", command.replace('\n', " ⏎ ")),
            EventKind::CommandEnded { status, .. } => format!("? {status}"),
            EventKind::Start { unit, role, pid, cmdline, .. } => {
                let role = role.as_deref().filter(|role| *role != "ExecStart").map(|role| format!("{role} "));
                let who = self.who(unit.as_deref(), *pid);
                format!("{who} {}start {cmdline}", role.unwrap_or_default())
            }
            EventKind::Exec { pid, cmdline } => format!("{} exec {cmdline}", self.who(None, *pid)),
            EventKind::Exit { unit, pid, ended, .. } => {
                let how = match ended {
                    Ended::Exited(code) => format!("exit {code}"),
                    Ended::Killed(signal) => format!("killed {}", signal_name(*signal)),
                    Ended::Dumped(signal) => format!("killed {} (core dumped)", signal_name(*signal)),
                };
                format!("{} {how}", self.who(unit.as_deref(), *pid))
            }
            EventKind::Log { unit, pid, stream, line } => {
                let who = match (pid, unit) {
                    (Some(pid), unit) => self.who(unit.as_deref(), *pid),
                    (None, Some(unit)) => stem(unit).to_owned(),
                    (None, None) => stream.clone(),
                };
                format!("{who} log \"{line}\"")
            }
            EventKind::Listening { unit, pid, address, port } => {
                format!("{} listening {port} on {address}", self.who(unit.as_deref(), *pid))
            }
            EventKind::Closed { pid, address, port } => {
                format!("{} closed {port} on {address}", self.who(None, *pid))
            }
            EventKind::Refused { unit, pid, address, port, errno } => {
                format!("{} refused {port} on {address} ({errno})", self.who(unit.as_deref(), *pid))
            }
            EventKind::Journal { unit, message, .. } => {
                format!("{} journal \"{message}\"", unit.as_deref().map_or("manager", stem))
            }
            EventKind::Properties { unit, changed } => {
                let changed: Vec<String> = changed.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} {}", stem(unit), changed.join(" "))
            }
            EventKind::RestartIn { unit, delay } => format!("{} restart in {}", stem(unit), brief(*delay)),
            EventKind::Signal { by, pid, signal } => {
                format!("{} gets {} from {by}", self.who(None, *pid), signal_name(*signal))
            }
            EventKind::Request { port, answer, pid, .. } => {
                let answer = match answer {
                    Answer::Status(status) => status.to_string(),
                    Answer::Refused => "refused".into(),
                    Answer::Timeout => "timeout".into(),
                    Answer::Reset => "reset".into(),
                };
                let by = pid.map(|pid| format!(" by {}", self.who(None, pid))).unwrap_or_default();
                format!("client asks {port}: {answer}{by}")
            }
        }
    }
}

/// A service without its suffix; other units in full.
fn stem(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}
