//! Incident coordinates ↔ host coordinates, in text: absolute paths and port numbers.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The commands that a run puts first in PATH.
pub const COMMANDS: &[&str] = &[
    "curl",
    "date",
    "flock",
    "fuser",
    "journalctl",
    "kill",
    "killall",
    "lsof",
    "netstat",
    "pgrep",
    "pidof",
    "pkill",
    "ps",
    "sleep",
    "ss",
    "sudo",
    "systemctl",
    "systemd-escape",
    "systemd-notify",
    "timeout",
    "watch",
];

/// The shells that it puts there too: each becomes the real one after a word in its ear, see [`KILL_FUNCTION`].
pub const SHELLS: &[&str] = &["bash", "dash", "sh"];

/// Where a system has its commands.
pub const SYSTEM_DIRECTORIES: &[&str] = &["/bin", "/usr/bin", "/usr/sbin", "/sbin"];

/// What the shells of a run are given to run first. `kill` is built into a shell, so that only a function can put ours
/// in its place: PIDs of the incident are not those of the host. What needs no PID of the incident is left to the
/// builtin: the shell itself, its group, its jobs.
pub const KILL_FUNCTION: &str = r#"kill() { case "$#:$*" in *%*|1:$$|1:0|2:-*\ $$|2:-*\ 0|3:-*\ --\ -$$) command kill "$@";; *) "$RELAPSE_KILL" "$@";; esac; }; "#;

/// Which paths and ports of an incident lie where on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The run's own root directory on the host, without a slash at its end.
    pub root: String,
    /// Incident paths that lie below that root, each with all that is below it.
    pub own: Vec<String>,
    /// Incident port and leased port.
    pub ports: Vec<(u16, u16)>,
    /// Below which directory of the host the run has its own commands ([`COMMANDS`], [`SHELLS`]), in each of the
    /// [`SYSTEM_DIRECTORIES`]; without a slash at its end.
    pub commands: String,
}

impl Mapping {
    /// Text of the incident as the host must see it: own paths below the root, ports as leased.
    pub fn to_host(&self, text: &str) -> String {
        let mut edits = Vec::new();
        if !self.root.is_empty() {
            for path in absolute_paths(text) {
                if self.is_own(&text[path.clone()]) {
                    edits.push((path.start..path.start, self.root.clone()));
                } else if self.is_command(text, &path) {
                    edits.push((path.start..path.start, self.commands.clone()));
                }
            }
        }
        edits.extend(self.renumbered(text, |(incident, host)| (*incident, *host)));
        apply(text, edits)
    }

    /// As [`Mapping::to_incident`], of what need not be text: bytes that are none stay as they are.
    pub fn bytes_to_incident(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            out.extend_from_slice(self.to_incident(chunk.valid()).as_bytes());
            out.extend_from_slice(chunk.invalid());
        }
        out
    }

    /// Text of the host as the incident sees it. Undoes [`Mapping::to_host`], and hides [`KILL_FUNCTION`].
    pub fn to_incident(&self, text: &str) -> String {
        let mut edits: Vec<(Range<usize>, String)> =
            text.match_indices(KILL_FUNCTION).map(|(at, function)| (at..at + function.len(), String::new())).collect();
        let mut from = 0;
        while !self.root.is_empty()
            && let Some(found) = text.get(from..).and_then(|rest| rest.find(&self.root))
        {
            let span = from + found..from + found + self.root.len();
            from = span.end;
            match text[span.end..].chars().next() {
                Some('/') => edits.push((span, String::new())),
                // A longer name that begins alike is another directory.
                Some(c) if is_name(c) => {}
                _ => edits.push((span, "/".into())),
            }
        }
        if !self.commands.is_empty() {
            let found = text.match_indices(&self.commands).map(|(at, directory)| at..at + directory.len());
            edits.extend(found.filter(|span| text[span.end..].starts_with('/')).map(|span| (span, String::new())));
        }
        edits.extend(self.renumbered(text, |(incident, host)| (*host, *incident)));
        apply(text, edits)
    }

    /// Whether the path is one of the run's commands. The shell that interprets a script is left to the kernel.
    fn is_command(&self, text: &str, path: &Range<usize>) -> bool {
        let Some((directory, name)) = text[path.clone()].rsplit_once('/') else { return false };
        let ours = COMMANDS.contains(&name) || SHELLS.contains(&name) && !text[..path.start].ends_with("#!");
        ours && !self.commands.is_empty() && SYSTEM_DIRECTORIES.contains(&directory)
    }

    /// The host's port for an incident port; ports that nobody leased stay what they are.
    pub fn host_port(&self, port: u16) -> u16 {
        self.ports.iter().find(|(incident, _)| *incident == port).map_or(port, |(_, host)| *host)
    }

    /// Undoes [`Mapping::host_port`].
    pub fn incident_port(&self, port: u16) -> u16 {
        self.ports.iter().find(|(_, host)| *host == port).map_or(port, |(incident, _)| *incident)
    }

    /// Where an absolute incident path is on the host.
    pub fn host_path(&self, path: &str) -> String {
        if self.is_own(path) { format!("{}{path}", self.root) } else { path.to_owned() }
    }

    /// Whether a path lies in the run's own part of the file system.
    pub fn is_own(&self, path: &str) -> bool {
        self.own.iter().any(|own| is_below(path, own))
    }

    fn renumbered(&self, text: &str, pair: impl Fn(&(u16, u16)) -> (u16, u16)) -> Vec<(Range<usize>, String)> {
        let pairs: Vec<(String, String)> =
            self.ports.iter().map(pair).map(|(from, to)| (from.to_string(), to.to_string())).collect();
        let mut edits = Vec::new();
        for number in whole_numbers(text) {
            if let Some((_, to)) = pairs.iter().find(|(from, _)| *from == text[number.clone()]) {
                edits.push((number, to.clone()));
            }
        }
        edits
    }
}

/// Replaces the ranges. Those that overlap an earlier one are left out.
fn apply(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, with) in edits {
        if span.start < at {
            continue;
        }
        out.push_str(&text[at..span.start]);
        out.push_str(&with);
        at = span.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Whether `path` is `directory` or lies below it.
pub(crate) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || directory.ends_with('/'))
}

/// A character that goes on with a file name.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '@' | '~' | '%')
}

/// The absolute paths in a text, in order: from a `/` that begins a word, or follows one of `=`, `:`, `,`, a quote, a
/// bracket or an operator, to the end of the path. Paths within a URL are none of the file system's.
pub fn absolute_paths(text: &str) -> Vec<Range<usize>> {
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('/') {
        let start = at + found;
        let before = text[..start].chars().next_back();
        if before == Some(':') && text[start..].starts_with("//") {
            let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|' | ';');
            at = text[start..].find(ends).map_or(text.len(), |length| start + length);
            continue;
        }
        let length = text[start..].find(|c: char| !is_name(c) && c != '/').unwrap_or(text.len() - start);
        if begins_word(text, start) {
            paths.push(start..start + length);
        }
        at = start + length.max(1);
    }
    paths
}

/// Whether a word of its own may begin at `at`.
fn begins_word(text: &str, at: usize) -> bool {
    let mut before = text[..at].chars().rev();
    match before.next() {
        // A quote that closes goes on with a word, one that opens begins it.
        Some('"' | '\'' | '`') => before.next().is_none_or(is_opening),
        Some(c) => is_opening(c),
        None => true,
    }
}

fn is_opening(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | ':' | ',' | '(' | '[' | '{' | '<' | '>' | '|' | '&' | ';' | '!' | '^')
}

/// The whole numbers in a text: digits that are no part of a longer word or of a decimal fraction.
pub fn whole_numbers(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(|c: char| c.is_ascii_digit()) {
        let start = at + found;
        let end = text[start..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |length| start + length);
        let digit = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
        let joins_before = match text[..start].chars().next_back() {
            Some('.') => digit(start.checked_sub(2)),
            Some(c) => c.is_alphanumeric() || c == '_',
            None => false,
        };
        let joins_after = match text[end..].chars().next() {
            Some('.') => digit(Some(end + 1)),
            Some(c) => c.is_alphanumeric() || c == '_',
            None => false,
        };
        if !joins_before && !joins_after {
            numbers.push(start..end);
        }
        at = end;
    }
    numbers
}
