//! `ps` over the incident's process table, in procps's columns.

use crate::control::{Answer, ProcessRow, Query};
use crate::program::link::Link;
use crate::time::{IncidentTime, Span};

/// The process table, when it was taken, and who asked for it.
pub(super) fn table(link: &mut Link) -> (IncidentTime, u32, Vec<ProcessRow>) {
    match link.ask(Query::Processes) {
        Answer::Processes { now, you, rows } => (now, you, rows),
        _ => (link.now(), 0, Vec::new()),
    }
}

/// What `ps` was asked for.
#[derive(Default)]
struct Request {
    layout: Option<Layout>,
    all: bool,
    no_header: bool,
    /// Any of these lists choose; without one, all or what is typed at the console.
    pids: Vec<u32>,
    names: Vec<String>,
    users: Vec<String>,
    sort: Option<String>,
}

impl Request {
    fn parse(args: &[String]) -> Result<Request, String> {
        let mut request = Request::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let (option, inline) = match word.split_once('=') {
                Some((option, value)) if word.starts_with("--") => (option, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let mut list = || inline.clone().or_else(|| words.next().cloned()).unwrap_or_default();
            match option {
                "aux" | "-aux" | "auxw" | "auxww" => (request.layout, request.all) = (Some(Layout::User), true),
                "u" | "ux" => request.layout = Some(Layout::User),
                "ax" | "-ax" | "-e" | "-A" => request.all = true,
                "-ef" | "-eF" => (request.layout, request.all) = (Some(Layout::Full), true),
                "-f" => request.layout = Some(Layout::Full),
                "w" | "ww" | "-w" | "-ww" => {}
                "--no-headers" | "--no-heading" | "--no-headings" | "h" => request.no_header = true,
                "-p" | "--pid" | "p" => {
                    let list = list();
                    let pids = list.split([',', ' ']).map(str::parse::<u32>).collect::<Result<Vec<_>, _>>();
                    request.pids.extend(pids.map_err(|_| "process ID list syntax error")?);
                }
                "-C" => request.names.extend(list().split(',').map(str::to_owned)),
                "-u" | "-U" | "--user" => request.users.extend(list().split(',').map(str::to_owned)),
                "-o" | "-eo" | "o" | "--format" => {
                    request.all |= option == "-eo";
                    let more = Layout::columns(&list())
                        .map_err(|unknown| format!("unknown user-defined format specifier \"{unknown}\""))?;
                    match &mut request.layout {
                        Some(Layout::Custom(columns)) => columns.extend(more),
                        layout => *layout = Some(Layout::Custom(more)),
                    }
                }
                "--sort" => {
                    let key = list();
                    if !SORT_KEYS.contains(&key.trim_start_matches(['+', '-'])) {
                        return Err(format!(
                            "unknown sort specifier \"{key}\" (this ps knows {})",
                            SORT_KEYS.join(", ")
                        ));
                    }
                    request.sort = Some(key);
                }
                other => {
                    return Err(format!(
                        "unsupported option: {other} (this ps knows aux, -ef, -e, -p, -C, -u, -o, --sort, --no-headers)"
                    ));
                }
            }
        }
        Ok(request)
    }

    fn chooses(&self, row: &ProcessRow) -> bool {
        if self.pids.is_empty() && self.names.is_empty() && self.users.is_empty() {
            return self.all || row.unit.is_none();
        }
        self.pids.contains(&row.pid) || self.names.contains(&row.comm) || self.users.contains(&row.user)
    }
}

/// What `--sort` knows; a minus turns the order.
const SORT_KEYS: &[&str] = &["pid", "pcpu", "%cpu", "time", "etimes", "start_time"];

fn sort(rows: &mut [&ProcessRow], key: &str, now: IncidentTime) {
    let value = |row: &ProcessRow| match key.trim_start_matches(['+', '-']) {
        "pcpu" | "%cpu" => cpu_tenths(row.cpu, now.since(row.started)),
        "time" => row.cpu.as_micros(),
        "etimes" => now.since(row.started).as_micros(),
        "start_time" => row.started.as_micros(),
        _ => u64::from(row.pid),
    };
    rows.sort_by_key(|row| value(row));
    if key.starts_with('-') {
        rows.reverse();
    }
}

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let request = match Request::parse(&args[1..]) {
        Ok(request) => request,
        Err(message) => {
            link.stderr(&format!("error: {message}"));
            return 1;
        }
    };
    let (now, _, rows) = table(link);
    let mut chosen: Vec<&ProcessRow> = rows.iter().filter(|row| request.chooses(row)).collect();
    if let Some(key) = &request.sort {
        sort(&mut chosen, key, now);
    }
    let layout = request.layout.unwrap_or(Layout::Short);
    let mut text = String::new();
    if !request.no_header
        && let Some(line) = layout.header()
    {
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
    ("rss", "RSS"),
    ("vsz", "VSZ"),
    ("pmem", "%MEM"),
    ("%mem", "%MEM"),
    ("tty", "TT"),
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
    fn columns(list: &str) -> Result<Vec<(String, String)>, String> {
        let mut columns = Vec::new();
        for item in list.split([',', ' ']).filter(|item| !item.is_empty()) {
            let (name, heading) = item.split_once('=').map_or((item, None), |(name, heading)| (name, Some(heading)));
            let (_, default) = COLUMNS.iter().find(|(known, _)| *known == name).ok_or_else(|| name.to_owned())?;
            columns.push((name.to_owned(), heading.unwrap_or(default).to_owned()));
        }
        Ok(columns)
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
                MEMORY_SHARE,
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
        "rss" => memory(row).1.to_string(),
        "vsz" => memory(row).0.to_string(),
        "pmem" | "%mem" => MEMORY_SHARE.to_owned(),
        "tty" => "?".to_owned(),
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
        "pcpu" | "%cpu" | "pmem" | "%mem" => format!("{text:>4}"),
        "rss" => format!("{text:>5}"),
        "vsz" => format!("{text:>6}"),
        "etime" | "etimes" => format!("{text:>11}"),
        "time" | "start" => format!("{text:>8}"),
        "lstart" => format!("{text:>24}"),
        _ if last => text.to_owned(),
        "user" => format!("{text:<8}"),
        "stat" => format!("{text:<4}"),
        "comm" => format!("{text:<15}"),
        "tty" => format!("{text:<8}"),
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

/// %MEM of the measured machine.
const MEMORY_SHARE: &str = "0.1";

/// VSZ and RSS in KiB as measured for the real server; small commands have what dash has.
fn memory(row: &ProcessRow) -> (u32, u32) {
    if row.comm.starts_with("python") { (54_008, 46_276) } else { (4_360, 3_164) }
}
