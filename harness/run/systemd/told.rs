//! What happens on the machine, as those tell it who do it: systemd in its journal and on its bus, programs of ours by the
//! control protocol.

use std::fs;
use std::net::SocketAddr;

use super::feed;
use super::links::{LinkId, Said};
use super::scale::Scale;
use super::{Gone, OnSystemd, Process, REASON};
use crate::control::{Changed, Mapping, Note, Role, Status, Welcome};
use crate::journal::Record;
use crate::program::{CLIENT, EXECUTABLE, MOMENTS};
use crate::run::sockets::MANAGER;
use crate::run::{Fault, stage};
use crate::sys::real_time;
use crate::time::Span;
use crate::timeline::{Answer, Ended, EventKind};

/// Properties that conditions and the end of a process need.
const ASKED: [&str; 12] = [
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "MainPID",
    "ExecMainPID",
    "ExecMainCode",
    "ExecMainStatus",
    "LoadState",
    "UnitFileState",
    MOMENTS[0],
    MOMENTS[1],
];

impl OnSystemd {
    pub(super) fn read_journal(&mut self) -> Result<(), Fault> {
        for line in self.journal.lines()? {
            let Ok(record) = Record::from_json(&line) else { continue };
            let at = feed::stamp(&record);
            if feed::is_the_managers(&record) {
                self.explain_by(&record, at);
                self.hold(at, feed::event(&record));
            } else if let Some(unit) = record.get("_SYSTEMD_UNIT").filter(|unit| *unit != "init.scope") {
                let pid = record.get("_PID").and_then(|pid| pid.parse().ok());
                // A stand-in has said itself what it printed. The journal may not know whose words they were any more.
                let ours = record.get("_EXE") == Some(EXECUTABLE) || pid.is_some_and(|pid| self.servers.contains(&pid));
                if !ours && record.get("_TRANSPORT") == Some("stdout") {
                    let (unit, line) = (Some(unit.to_owned()), record.message());
                    // The journal stamps a line when it reads it, which may be after its writer's end.
                    let begun = |kind: &EventKind| matches!(kind, EventKind::Start { pid: of, .. } if Some(*of) == pid);
                    let ended = |kind: &EventKind| matches!(kind, EventKind::Exit { pid: of, .. } if Some(*of) == pid);
                    let at = self.held_moments(begun).last().map_or(at, |begin| at.max(begin));
                    let at = self.held_moments(ended).last().map_or(at, |end| at.min(end.saturating_sub(1)));
                    self.hold(at, EventKind::Log { unit, pid, stream: "stdout".to_owned(), line });
                }
            }
            self.records.append(record);
        }
        Ok(())
    }

    pub(super) fn read_changes(&mut self) -> Result<(), Fault> {
        for line in self.changes.lines()? {
            let Ok(changed) = serde_json::from_str::<Changed>(&line) else { continue };
            self.take_change(changed);
        }
        Ok(())
    }

    /// What has become of the units before anybody listened on the bus.
    pub(super) fn ask(&mut self) -> Result<(), Fault> {
        let root = self.container.kept_root().to_owned();
        for unit in Scale::names(&root)? {
            let mut show = vec!["systemctl", "show"];
            show.extend(ASKED.iter().flat_map(|name| ["-p", name]));
            show.extend(["--", &unit]);
            let (_, said) = self.container.run(&show)?;
            let lines = said.lines().filter_map(|line| line.split_once('='));
            let changed = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            self.take_change(Changed { at: real_time(), unit, changed });
        }
        Ok(())
    }

    fn take_change(&mut self, changed: Changed) {
        let at = changed.at;
        self.main_process(&changed);
        self.socket(&changed);
        let root = self.container.kept_root().to_owned();
        let scale = &self.scale;
        let delay = |unit: &str| {
            let unit = scale.unit(&root, unit).ok().and_then(|unit| unit.service);
            unit.map_or(Span::ZERO, |service| service.restart_sec)
        };
        for event in self.known.events(changed, delay) {
            self.hold(at, event);
        }
    }

    /// A socket unit listens, or no longer does: its ports are systemd's own.
    fn socket(&mut self, changed: &Changed) {
        let Some(state) = changed.changed.get("SubState").filter(|_| changed.unit.ends_with(".socket")) else { return };
        let holds = |state: &str| matches!(state, "listening" | "running");
        let did = self.known.get(&changed.unit, "SubState").is_some_and(holds);
        if did == holds(state) {
            return;
        }
        let unit = self.scale.unit(self.container.kept_root(), &changed.unit).ok();
        let listens = unit.and_then(|unit| unit.socket).map(|socket| socket.listen).unwrap_or_default();
        let ports = listens.iter().filter_map(|listen| listen.address.parse::<SocketAddr>().ok());
        for (address, port) in ports.map(|place| (place.ip().to_string(), place.port())).collect::<Vec<_>>() {
            let unit = Some(changed.unit.clone());
            self.hold(
                changed.at,
                match did {
                    false => EventKind::Listening { unit, pid: MANAGER, address, port },
                    true => EventKind::Closed { pid: MANAGER, address, port },
                },
            );
        }
    }

    /// The bus names a new main process of a unit, or tells the end of one. A stand-in says both itself.
    fn main_process(&mut self, changed: &Changed) {
        let unit = &changed.unit;
        let get = |name: &str| changed.changed.get(name);
        let moment = |index: usize| {
            let said = get(MOMENTS[index]).and_then(|text| text.parse().ok()).filter(|at| *at > 0);
            said.map_or(changed.at, |at: u64| at.min(changed.at))
        };
        let Some(pid) = get("ExecMainPID").and_then(|pid| pid.parse::<u32>().ok()).filter(|pid| *pid > 0) else {
            return;
        };
        let code = match get("ExecMainCode").map(String::as_str) {
            Some("1") => "exited",
            Some("2") => "killed",
            Some("3") => "dumped",
            _ => "",
        };
        let is_new = self.known.get(unit, "ExecMainPID") != Some(&pid.to_string());
        if is_new && !self.servers.contains(&pid) {
            let root = self.container.kept_root();
            let service = self.scale.unit(root, unit).ok().and_then(|unit| unit.service);
            let argv = service.and_then(|service| service.exec_start.into_iter().next()).map(|command| command.argv);
            let argv = argv.unwrap_or_default();
            if stage::means_stand_in(&self.stand_ins, &argv) {
                return;
            }
            let (unit, role) = (Some(unit.clone()), Some("ExecStart".to_owned()));
            // A child may have printed something before systemd has noted that there is one.
            let line = self.held_moments(|kind| is_line_of(kind, pid)).next();
            let at = line.map_or(moment(0), |line| moment(0).min(line.saturating_sub(1)));
            self.hold(at, EventKind::Start { unit, role, pid, ppid: 1, cmdline: argv.join(" ") });
            self.foreign.insert(pid);
        }
        if let Some(ended) = get("ExecMainStatus").and_then(|status| ended(code, status))
            && self.foreign.remove(&pid)
        {
            // The journal stamps a line when it reads it, which may be after its writer's end.
            let at = moment(1);
            self.bring_forward(at.saturating_sub(1), |kind| is_line_of(kind, pid));
            self.exit(at, pid, Some(unit.clone()), ended);
        }
    }

    pub(super) fn said(&mut self, link: LinkId, said: Said) -> Result<(), Fault> {
        let at = real_time();
        match said {
            Said::Hello { host, argv } => self.hello(link, host, argv, at),
            Said::Note(note, said) => {
                self.note(link, note, if said == 0 { at } else { said.min(at) });
                Ok(())
            }
            Said::HungUp => {
                let Some(process) = self.processes.remove(&link).filter(|process| process.server) else {
                    return Ok(());
                };
                let Process { pid, unit, end, .. } = process;
                match end {
                    Some((at, ended)) => self.exit(at, pid, unit, ended),
                    None => self.gone.push(Gone { at, pid, unit }),
                }
                Ok(())
            }
        }
    }

    pub(super) fn exit(&mut self, at: u64, pid: u32, unit: Option<String>, ended: Ended) {
        let role = unit.as_ref().map(|_| "ExecStart".to_owned());
        self.hold(at, EventKind::Exit { unit, role, pid, ended });
    }

    fn hello(&mut self, link: LinkId, host: i32, argv: Vec<String>, at: u64) -> Result<(), Fault> {
        let name = argv.first().map_or("", |first| first.rsplit('/').next().unwrap_or(first));
        let stand_in = stage::due(&mut self.stand_ins, &argv, host);
        let role = match (name, stand_in, &self.setup.client) {
            (CLIENT, _, Some(client)) => Role::Client(client.clone()),
            (_, Some(role), _) => Role::Server(Box::new(role)),
            ("systemctl", ..) => {
                self.scale.write(self.container.kept_root())?;
                Role::Real("/usr/bin/systemctl".to_owned())
            }
            ("journalctl", ..) => Role::Real("/usr/bin/journalctl".to_owned()),
            _ => Role::Tool,
        };
        let server = matches!(role, Role::Server(_));
        let pid = crate::sys::process::innermost_pid(host).unwrap_or(0);
        let unit = self.unit_of(host);
        if server {
            // A child of the main process has none.
            let parent = crate::sys::process::look(host).and_then(|look| crate::sys::process::innermost_pid(look.ppid));
            let role = unit.as_ref().filter(|_| parent == Some(MANAGER)).map(|_| "ExecStart".to_owned());
            let cmdline = argv.join(" ");
            self.servers.insert(pid);
            // A shell that was the main process has become it.
            let event = if self.foreign.remove(&pid) {
                EventKind::Exec { pid, cmdline }
            } else {
                EventKind::Start { unit: unit.clone(), role, pid, ppid: 1, cmdline }
            };
            self.hold(at, event);
        }
        self.processes.insert(link, Process { pid, unit, server, end: None });
        // What the machine took to start it is no time of the incident's.
        let now = self.incident_time(crate::sys::process::born(host).unwrap_or(at).clamp(self.begin, at));
        self.links.welcome(
            link,
            Welcome {
                now,
                pid,
                role,
                mapping: Mapping::default(),
                wall_scale: self.clock.wall_scale(),
                hostname: self.setup.hostname.clone(),
                tells_lines: server,
            },
        );
        Ok(())
    }

    /// The unit that a process belongs to: the last part of its cgroup's path that names one.
    fn unit_of(&self, host: i32) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{host}/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        path.split('/').rfind(|part| part.ends_with(".service")).map(str::to_owned)
    }

    fn note(&mut self, link: LinkId, note: Note, at: u64) {
        let Some(process) = self.processes.get_mut(&link) else { return };
        let (pid, unit) = (process.pid, process.unit.clone());
        let event = match note {
            Note::Exiting { code, .. } => {
                process.end = Some((at, Ended::Exited(code)));
                return;
            }
            Note::Dying { signal } => {
                process.end = Some((at, Ended::Killed(signal)));
                return;
            }
            Note::Foreign => return,
            Note::Printed { line } => EventKind::Log { unit, pid: Some(pid), stream: "stdout".to_owned(), line },
            Note::Log { path, line } => EventKind::Log { unit, pid: Some(pid), stream: path, line },
            Note::Listening { address, port, .. } => EventKind::Listening { unit, pid, address, port },
            Note::Closed { address, port } => EventKind::Closed { pid, address, port },
            Note::Refused { address, port, errno } => EventKind::Refused { unit, pid, address, port, errno },
            Note::Request { port, status, error, by, sent } => {
                EventKind::Request { port, answer: Answer::of(status, &error), pid: by, sent }
            }
        };
        self.hold(at, event);
    }

    // ---- why a process ended ----

    /// The manager says how the main process of a unit ended.
    fn explain_by(&mut self, record: &Record, at: u64) {
        let (Some(unit), Some(code), Some(status)) =
            (record.get("UNIT"), record.get("EXIT_CODE"), record.get("EXIT_STATUS"))
        else {
            return;
        };
        let Some(index) = self.gone.iter().position(|gone| gone.unit.as_deref() == Some(unit)) else { return };
        let Some(ended) = ended(code, status) else { return };
        let Gone { at: since, pid, unit } = self.gone.remove(index);
        self.exit(since.min(at), pid, unit, ended);
    }

    /// The guard has reaped it; or systemd is asked, once, because it says nothing of an end that counts as clean.
    pub(super) fn explain(&mut self) -> Result<(), Fault> {
        let now = real_time();
        let (known, unknown): (Vec<Gone>, Vec<Gone>) =
            std::mem::take(&mut self.gone).into_iter().partition(|gone| self.statuses.contains_key(&gone.pid));
        for Gone { at, pid, unit } in known {
            let ended = match self.statuses.get(&pid) {
                Some(Status::Code(code)) => Ended::Exited(*code),
                Some(Status::Signal(signal)) => Ended::Killed(*signal),
                Some(Status::Dumped(signal)) => Ended::Dumped(*signal),
                None => continue,
            };
            self.exit(at, pid, unit, ended);
        }
        for gone in unknown {
            if now < gone.at + REASON {
                self.gone.push(gone);
                continue;
            }
            let unit = gone.unit.clone().unwrap_or_default();
            let show = ["systemctl", "show", "--value", "-p", "ExecMainCode", "-p", "ExecMainStatus", "--", &unit];
            let (_, text) = self.container.run(&show)?;
            let mut words = text.lines();
            // waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED.
            let code = match words.next() {
                Some("1") => "exited",
                Some("3") => "dumped",
                _ => "killed",
            };
            let ended = ended(code, words.next().unwrap_or_default()).unwrap_or(Ended::Killed(9));
            self.exit(gone.at, gone.pid, gone.unit, ended);
        }
        Ok(())
    }
}

fn is_line_of(kind: &EventKind, pid: u32) -> bool {
    matches!(kind, EventKind::Log { pid: of, .. } if *of == Some(pid))
}

/// How a process ended, in the words of the journal's fields `EXIT_CODE` and `EXIT_STATUS`.
fn ended(code: &str, status: &str) -> Option<Ended> {
    let number = status.parse::<i32>().ok().or_else(|| crate::unit::signal::from_name(status));
    match code {
        "exited" => status.parse().ok().map(Ended::Exited),
        "killed" => number.map(Ended::Killed),
        "dumped" => number.map(Ended::Dumped),
        _ => None,
    }
}
