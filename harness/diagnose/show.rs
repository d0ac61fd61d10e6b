//! What `systemctl show` prints, read (systemctl(1), org.freedesktop.systemd1(5)).

use std::collections::BTreeSet;

use crate::time::{IncidentTime, Span};

/// What to ask for.
pub const PROPERTIES: &str = "Id,Description,LoadState,ActiveState,SubState,Result,Type,Restart,RestartUSec,RestartSteps,\
RestartMaxDelayUSec,StartLimitIntervalUSec,StartLimitBurst,MainPID,ExecMainPID,ExecMainCode,ExecMainStatus,\
ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic,NRestarts,User,KillMode,ControlGroup,ExecStart,\
NeedDaemonReload,FragmentPath,UnitFileState,CapabilityBoundingSet,AmbientCapabilities,Sockets,TriggeredBy,Triggers,\
Listen,ActiveEnterTimestampMonotonic";

/// A service, in systemd's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `Id`.
    pub id: String,
    /// `Description`.
    pub description: String,
    /// `LoadState`.
    pub load_state: String,
    /// `ActiveState`.
    pub active_state: String,
    /// `SubState`.
    pub sub_state: String,
    /// `Result`.
    pub result: String,
    /// `Restart`.
    pub restart: String,
    /// `RestartUSec`.
    pub restart_delay: Span,
    /// `RestartSteps`.
    pub restart_steps: u32,
    /// `RestartMaxDelayUSec`.
    pub restart_max_delay: Option<Span>,
    /// `StartLimitIntervalUSec`.
    pub limit_interval: Span,
    /// `StartLimitBurst`.
    pub limit_burst: u32,
    /// `MainPID`, 0 if there is none.
    pub main_pid: i32,
    /// `ExecMainCode` (wait(2): 1 is an exit, 2 a signal, 3 a signal with a core dump), 0 while it runs.
    pub exec_main_code: i32,
    /// `ExecMainStatus`.
    pub exec_main_status: i32,
    /// `ExecMainStartTimestamp`.
    pub started: Option<IncidentTime>,
    /// `ExecMainExitTimestamp`.
    pub exited: Option<IncidentTime>,
    /// `NRestarts`.
    pub n_restarts: u32,
    /// `User`, empty for root.
    pub user: String,
    /// The user's number; whoever collects the facts knows.
    pub uid: Option<u32>,
    /// Whether its processes may kill those of other users: CAP_KILL.
    pub may_kill: bool,
    /// `KillMode`.
    pub kill_mode: String,
    /// `ControlGroup`.
    pub control_group: String,
    /// The words of each `ExecStart`.
    pub exec_start: Vec<Vec<String>>,
    /// `NeedDaemonReload`.
    pub need_daemon_reload: bool,
    /// `FragmentPath`.
    pub fragment_path: String,
    /// `UnitFileState`.
    pub unit_file_state: String,
    /// `Sockets` and `TriggeredBy`: units of sockets that it belongs to.
    pub sockets: Vec<String>,
}

/// A socket unit, in systemd's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketUnit {
    /// `Id`.
    pub id: String,
    /// `ActiveState`.
    pub active_state: String,
    /// `Result`.
    pub result: String,
    /// Addresses of `Listen` that are streams.
    pub listen: Vec<String>,
    /// `Triggers`.
    pub triggers: Vec<String>,
}

impl SocketUnit {
    /// Whether it has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports().any(|own| own == port)
    }

    /// Its ports.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.listen.iter().filter_map(|address| address.rsplit(':').next()?.parse().ok())
    }
}

/// Reads the units that `systemctl show` printed, services and sockets. `now` is the moment and the reading of the
/// monotonic clock in it, in microseconds.
pub fn parse_show(text: &str, now: (IncidentTime, u64)) -> (Vec<Service>, Vec<SocketUnit>) {
    let (mut services, mut sockets) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for block in text.split("\n\n") {
        let id = value(block, "Id").unwrap_or_default();
        // A unit that is named and matches a pattern comes twice.
        if !seen.insert(id) {
            continue;
        }
        if id.ends_with(".service") {
            services.push(service(block, now));
        } else if id.ends_with(".socket") {
            sockets.push(SocketUnit {
                id: id.to_owned(),
                active_state: own(block, "ActiveState"),
                result: own(block, "Result"),
                listen: values(block, "Listen")
                    .filter_map(|v| v.strip_suffix(" (Stream)"))
                    .map(str::to_owned)
                    .collect(),
                triggers: words(block, "Triggers"),
            });
        }
    }
    (services, sockets)
}

fn values<'a>(block: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    block.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

fn value<'a>(block: &'a str, name: &'a str) -> Option<&'a str> {
    values(block, name).next()
}

fn own(block: &str, name: &str) -> String {
    value(block, name).unwrap_or_default().to_owned()
}

fn words(block: &str, name: &str) -> Vec<String> {
    values(block, name).flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
}

fn service(block: &str, (now, monotonic): (IncidentTime, u64)) -> Service {
    let span = |name: &str| value(block, name).and_then(|text| Span::parse(text).ok());
    let number = |name: &str| value(block, name).and_then(|text| text.parse::<i32>().ok()).unwrap_or(0);
    let count = |name: &str| value(block, name).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let moment = |name: &str| {
        let at = value(block, name)?.parse::<u64>().ok().filter(|at| *at > 0)?;
        Some(now - Span::from_micros(monotonic.saturating_sub(at)))
    };
    let has = |name: &str| words(block, name).iter().any(|word| word == "cap_kill");
    let user = own(block, "User");
    let is_root = matches!(user.as_str(), "" | "root" | "0");
    let mut sockets = words(block, "Sockets");
    sockets.extend(words(block, "TriggeredBy").into_iter().filter(|unit| unit.ends_with(".socket")));
    sockets.sort();
    sockets.dedup();
    Service {
        id: own(block, "Id"),
        description: own(block, "Description"),
        load_state: own(block, "LoadState"),
        active_state: own(block, "ActiveState"),
        sub_state: own(block, "SubState"),
        result: own(block, "Result"),
        restart: own(block, "Restart"),
        restart_delay: span("RestartUSec").unwrap_or_default(),
        restart_steps: count("RestartSteps"),
        restart_max_delay: span("RestartMaxDelayUSec").filter(|span| !span.is_infinite()),
        limit_interval: span("StartLimitIntervalUSec").unwrap_or_default(),
        limit_burst: count("StartLimitBurst"),
        main_pid: number("MainPID"),
        exec_main_code: number("ExecMainCode"),
        exec_main_status: number("ExecMainStatus"),
        started: moment("ExecMainStartTimestampMonotonic"),
        exited: moment("ExecMainExitTimestampMonotonic"),
        n_restarts: count("NRestarts"),
        uid: is_root.then_some(0),
        // A system's service has all capabilities unless it is told otherwise; another user's has none.
        may_kill: has("AmbientCapabilities") || (is_root && has("CapabilityBoundingSet")),
        user,
        kill_mode: own(block, "KillMode"),
        control_group: own(block, "ControlGroup"),
        exec_start: values(block, "ExecStart").map(argv).collect(),
        need_daemon_reload: value(block, "NeedDaemonReload") == Some("yes"),
        fragment_path: own(block, "FragmentPath"),
        unit_file_state: own(block, "UnitFileState"),
        sockets,
    }
}

/// The words of `{ path=… ; argv[]=WORDS ; ignore_errors=… }`. systemctl does not quote them.
fn argv(text: &str) -> Vec<String> {
    let words = text.split_once("argv[]=").map_or("", |(_, rest)| rest);
    let words = words.rsplit_once(" ; ignore_errors=").map_or(words, |(words, _)| words);
    words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Service {
    /// Whether it waits for its next start.
    pub fn waits(&self) -> bool {
        self.sub_state.starts_with("auto-restart")
    }

    /// `activating (auto-restart), Result=exit-code, NRestarts=9`.
    pub fn state(&self) -> String {
        format!("{} ({}), Result={}, NRestarts={}", self.active_state, self.sub_state, self.result, self.n_restarts)
    }
}
