//! `ps`, `pgrep` and `pkill` over the incident's process table (procps's columns).

use crate::control::{Answer, ProcessRow, Query};
use crate::program::link::Link;
use crate::time::{IncidentTime, Span};

fn table(link: &mut Link) -> (IncidentTime, u32, Vec<ProcessRow>) {
    match link.ask(Query::Processes) {
        Answer::Processes { now, you, rows } => (now, you, rows),
        _ => (link.now(), 0, Vec::new()),
    }
}

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut layout = Layout::Short;
    let mut all = false;
    let mut pids: Vec<u32> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut header = true;
    let mut words = args[1..].iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "aux" | "-aux" | "auxw" | "auxww" => (layout, all) = (Layout::User, true),
            "ax" | "-ax" => all = true,
            "-e" | "-A" => all = true,
            "-ef" => (layout, all) = (Layout::Full, true),
            "-f" => layout = Layout::Full,
            "--no-headers" | "--no-heading" | "h" => header = false,
            "-p" | "--pid" | "p" => {
                let list = words.next().cloned().unwrap_or_default();
                pids.extend(list.split([',', ' ']).filter_map(|pid| pid.parse::<u32>().ok()));
                if pids.is_empty() {
                    link.stderr("error: process ID list syntax error");
                    return 1;
                }
            }
            "-C" => names.push(words.next().cloned().unwrap_or_default()),
            "-o" | "-eo" | "o" | "--format" => {
                all |= word == "-eo";
                let list = words.next().cloned().unwrap_or_default();
                match Layout::custom(&list) {
                    Ok(custom) => layout = custom,
                    Err(unknown) => {
                        link.stderr(&format!("error: unknown user-defined format specifier \"{unknown}\""));
                        return 1;
                    }
                }
            }
            other => {
                link.stderr(&format!(
                    "error: unsupported option: {other} (this ps knows aux, -ef, -e, -p, -C, -o, --no-headers)"
                ));
                return 1;
            }
        }
    }
    let (now, _, rows) = table(link);
    let chosen: Vec<&ProcessRow> = rows
        .iter()
        .filter(|row| match (pids.is_empty(), names.is_empty()) {
            (true, true) => all || row.unit.is_none(),
            (_, _) => pids.contains(&row.pid) || names.contains(&row.comm),
        })
        .collect();
    let mut text = String::new();
    if header && let Some(line) = layout.header() {
        text.push_str(&line);
    }
    for row in &chosen {
        text.push_str(&layout.row(row, now));
    }
    link.stdout(text.as_bytes());
    u8::from(chosen.is_empty())
}

enum Layout {
    Short,
    User,
    Full,
    /// (column, heading): an empty heading for all columns means no line of headings.
    Custom(Vec<(String, String)>),
}

const COLUMNS: &[(&str, &str)] = &[
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("user", "USER"),
    ("comm", "COMMAND"),
    ("args", "COMMAND"),
    ("cmd", "CMD"),
    ("command", "COMMAND"),
    ("pcpu", "%CPU"),
    ("%cpu", "%CPU"),
    ("stat", "STAT"),
    ("etime", "ELAPSED"),
    ("etimes", "ELAPSED"),
    ("time", "TIME"),
    ("lstart", "STARTED"),
    ("start", "STARTED"),
    ("unit", "UNIT"),
];

impl Layout {
    fn custom(list: &str) -> Result<Layout, String> {
        let mut columns = Vec::new();
        for item in list.split([',', ' ']).filter(|item| !item.is_empty()) {
            let (name, heading) = item.split_once('=').map_or((item, None), |(name, heading)| (name, Some(heading)));
            let (_, default) = COLUMNS.iter().find(|(known, _)| *known == name).ok_or_else(|| name.to_owned())?;
            columns.push((name.to_owned(), heading.unwrap_or(default).to_owned()));
        }
        Ok(Layout::Custom(columns))
    }

    fn header(&self) -> Option<String> {
        match self {
            Layout::Short => Some("    PID TTY          TIME CMD\n".into()),
            Layout::User => Some("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n".into()),
            Layout::Full => Some("UID          PID    PPID  C STIME TTY          TIME CMD\n".into()),
            Layout::Custom(columns) => columns.iter().any(|(_, heading)| !heading.is_empty()).then(|| {
                let last = columns.len() - 1;
                let cells: Vec<String> =
                    columns.iter().enumerate().map(|(i, (name, text))| pad(name, text, i == last)).collect();
                format!("{}\n", cells.join(" "))
            }),
        }
    }

    fn row(&self, row: &ProcessRow, now: IncidentTime) -> String {
        let age = now.since(row.started);
        let tenths = cpu_tenths(row.cpu, age);
        let started = if row.started.strftime("%F") == now.strftime("%F") {
            row.started.strftime("%H:%M")
        } else {
            row.started.strftime("%b%d")
        };
        let seconds = row.cpu.as_micros() / 1_000_000;
        match self {
            Layout::Short => format!("{:>7} ?        {} {}\n", row.pid, hms(seconds), row.comm),
            Layout::User => format!(
                "{:<8} {:>7} {:>2}.{} {:>4} {:>6} {:>5} {:<8} {:<4} {:<6} {:>5} {}\n",
                row.user,
                row.pid,
                tenths / 10,
                tenths % 10,
                "0.1",
                memory(row).0,
                memory(row).1,
                "?",
                row.stat,
                started,
                format!("{}:{:02}", seconds / 60, seconds % 60),
                row.cmdline
            ),
            Layout::Full => format!(
                "{:<8} {:>7} {:>7} {:>2} {:<5} {:<8} {} {}\n",
                row.user,
                row.pid,
                row.ppid,
                tenths / 10,
                started,
                "?",
                hms(seconds),
                row.cmdline
            ),
            Layout::Custom(columns) => {
                let last = columns.len().saturating_sub(1);
                let cells: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(i, (name, _))| pad(name, &cell(name, row, now, age, tenths), i == last))
                    .collect();
                format!("{}\n", cells.join(" "))
            }
        }
    }
}

fn cell(name: &str, row: &ProcessRow, now: IncidentTime, age: Span, tenths: u64) -> String {
    let seconds = age.as_micros() / 1_000_000;
    match name {
        "pid" => row.pid.to_string(),
        "ppid" => row.ppid.to_string(),
        "user" => row.user.clone(),
        "comm" => row.comm.clone(),
        "pcpu" | "%cpu" => format!("{}.{}", tenths / 10, tenths % 10),
        "stat" => row.stat.clone(),
        "etimes" => seconds.to_string(),
        "etime" if seconds >= 3600 => hms(seconds),
        "etime" => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        "time" => hms(row.cpu.as_micros() / 1_000_000),
        "lstart" => row.started.strftime("%a %b %e %H:%M:%S %Y"),
        "start" if row.started.strftime("%F") == now.strftime("%F") => row.started.strftime("%H:%M:%S"),
        "start" => row.started.strftime("%b %d"),
        "unit" => row.unit.clone().unwrap_or_else(|| "-".into()),
        _ => row.cmdline.clone(),
    }
}

fn pad(name: &str, text: &str, last: bool) -> String {
    match name {
        "pid" | "ppid" => format!("{text:>7}"),
        "pcpu" | "%cpu" => format!("{text:>4}"),
        "etime" | "etimes" => format!("{text:>11}"),
        _ if last => text.to_owned(),
        "user" => format!("{text:<8}"),
        "stat" => format!("{text:<4}"),
        "comm" => format!("{text:<15}"),
        "lstart" => format!("{text:>24}"),
        "unit" => format!("{text:<31}"),
        _ => format!("{text:<27}"),
    }
}

/// Tenths of a percent of one CPU over the whole life of the process: what ps(1) calls %CPU.
fn cpu_tenths(cpu: Span, age: Span) -> u64 {
    (cpu.as_micros() * 1000).checked_div(age.as_micros()).unwrap_or(0).min(999)
}

fn hms(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// VSZ and RSS in KiB as measured for the real server; small commands have what dash has.
fn memory(row: &ProcessRow) -> (u32, u32) {
    if row.comm.starts_with("python") { (54_008, 46_276) } else { (4_360, 3_164) }
}

/// `pgrep` prints, `pkill` signals; `-f` matches the whole command line. As the real ones, neither finds itself, but
/// both find the shell that runs them when its command line holds the pattern.
pub(super) fn pkill(link: &mut Link, name: &str, args: &[String]) -> u8 {
    let (mut full, mut list, mut exact) = (false, false, false);
    let mut signal = nix::sys::signal::Signal::SIGTERM as i32;
    let mut pattern = None;
    for word in &args[1..] {
        match word.as_str() {
            "-f" | "--full" => full = true,
            "-a" | "--list-full" => list = true,
            "-af" | "-fa" => (full, list) = (true, true),
            "-x" | "--exact" => exact = true,
            text if text.starts_with('-') && text.len() > 1 => match super::tool::signal_by_name(&text[1..]) {
                Some(number) if name == "pkill" => signal = number,
                _ => {
                    link.stderr(&format!("{name}: invalid option -- '{}'", &text[1..]));
                    return 2;
                }
            },
            text => pattern = Some(text.to_owned()),
        }
    }
    let Some(pattern) = pattern else {
        link.stderr(&format!("{name}: no matching criteria specified"));
        return 2;
    };
    let regex = match regex::Regex::new(&if exact { format!("^(?:{pattern})$") } else { pattern }) {
        Ok(regex) => regex,
        Err(error) => {
            link.stderr(&format!("{name}: {error}"));
            return 2;
        }
    };
    let (_, me, rows) = table(link);
    let mut found = false;
    for row in rows.iter().filter(|row| row.pid != me) {
        if !regex.is_match(if full { &row.cmdline } else { &row.comm }) {
            continue;
        }
        found = true;
        if name == "pkill" {
            if let Answer::Killed(Some(reason)) = link.ask(Query::Kill { pid: row.pid, signal }) {
                link.stderr(&format!("pkill: {reason}"));
            }
        } else {
            let line = if list { format!("{} {}\n", row.pid, row.cmdline) } else { format!("{}\n", row.pid) };
            link.stdout(line.as_bytes());
        }
    }
    u8::from(!found)
}
