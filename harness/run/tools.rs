//! Answers to what commands ask: the process table, the sockets, signals.

use super::Fault;
use super::incident::Incident;
use super::tree::{Origin, Process, ProcessId};
use crate::control::{Answer, ProcessRow, Query, SocketRow};
use crate::timeline::EventKind;
use crate::unit::Profile;

impl Incident {
    pub(super) fn ask(&mut self, id: ProcessId, query: Query) -> Result<(), Fault> {
        if !self.clock.is_virtual() && matches!(query, Query::Processes | Query::Kill { .. }) {
            self.tree.discover_all();
        }
        match query {
            Query::Processes => {
                let answer = self.processes(id);
                self.tree.answer(id, answer)
            }
            Query::Sockets => {
                let answer = self.sockets(id);
                self.tree.answer(id, answer)
            }
            Query::Kill { pid, signal } => {
                let refused = self.kill(id, pid, signal)?;
                self.signalled.push((id, Answer::Killed(refused)));
                Ok(())
            }
            Query::Notify { argv, socket } => self.notify_command(id, &argv, socket.as_deref()),
            Query::Tool { argv, utf8, utf8_asked } => {
                let asked = utf8_asked.filter(|_| self.machinery.profile >= Profile::V257);
                self.begin_session(id, &argv, asked.unwrap_or(utf8))
            }
            Query::More => self.drive(id),
        }
    }

    /// The incident's process table: everybody has a PID from here on.
    fn processes(&mut self, asker: ProcessId) -> Answer {
        self.tree.serve_all();
        let unnamed: Vec<(ProcessId, i32)> = self
            .tree
            .alive()
            .filter(|process| process.pid.is_none() && process.origin != Origin::Client)
            .map(|process| (process.id, process.host))
            .collect();
        for (id, host) in unnamed {
            let pid = self.pids.name(host);
            if let Some(process) = self.tree.get_mut(id) {
                process.pid = Some(pid);
            }
        }
        let now = self.now();
        let mut rows: Vec<ProcessRow> = Vec::new();
        for process in self.tree.alive() {
            let Some(pid) = process.pid else { continue };
            let argv = self.tree.current_argv(process);
            let service = matches!(process.origin, Origin::Unit { .. });
            let unit = match &process.origin {
                Origin::Unit { unit, .. } => Some(unit.clone()),
                _ => None,
            };
            let user = self.user(process);
            let running = process.id == asker || self.tree.is_busy(process);
            let ppid = self.tree.parent(process).and_then(|parent| parent.pid).unwrap_or(1);
            rows.push(ProcessRow {
                pid,
                ppid,
                user,
                comm: self.tree.comm(process),
                cmdline: self.layout.mapping.to_incident(&argv.join(" ")),
                stat: format!("{}{}", if running { "R" } else { "S" }, if service { "s" } else { "" }),
                started: process.started,
                cpu: self.tree.cpu(process),
                unit,
            });
        }
        rows.sort_by_key(|row| row.pid);
        let you = self.tree.get(asker).and_then(|process| process.pid).unwrap_or(0);
        Answer::Processes { now, you, rows }
    }

    pub(super) fn user_of(&self, unit: &str) -> String {
        let user = self.machinery.manager.property(&self.view(), unit, "User");
        user.filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned())
    }

    /// Who a process runs as.
    pub(super) fn user(&self, process: &Process) -> String {
        match &process.origin {
            Origin::Unit { unit, .. } => self.user_of(unit),
            _ => self.console_user.clone(),
        }
    }

    fn sockets(&self, asker: ProcessId) -> Answer {
        let user = self.tree.get(asker).map(|process| self.user(process)).unwrap_or_default();
        let mut rows: Vec<SocketRow> = self.held_sockets();
        for listener in &self.listeners {
            let Some(process) = self.tree.get(listener.process) else { continue };
            rows.push(SocketRow {
                pid: process.pid.unwrap_or(0),
                comm: self.tree.comm(process),
                user: self.user(process),
                fd: listener.fd,
                address: listener.address.clone(),
                dual: listener.dual,
                port: listener.port,
                backlog: listener.backlog,
                device: listener.device,
            });
        }
        rows.sort_by_key(|row| (row.port, row.pid, row.fd));
        Answer::Sockets { user, rows }
    }

    /// Sends a signal for somebody; `Some` says why not.
    fn kill(&mut self, by: ProcessId, pid: i64, signal: i32) -> Result<Option<String>, Fault> {
        let targets = match pid {
            -1 => Err("everybody is not to be signalled in a run".to_owned()),
            0 => Ok(self.group_of(by, by)),
            group @ ..0 => self.process_named(by, -group).and_then(|leader| {
                let members = self.group_of(leader, by);
                // The group has its leader's number.
                let leads = self.host(leader).and_then(group_number) == self.host(leader);
                leads.then_some(members).ok_or_else(|| "No such process".to_owned())
            }),
            one => self.process_named(by, one).map(|id| vec![id]),
        };
        let targets = match targets {
            Ok(targets) => targets,
            Err(reason) => return Ok(Some(format!("({pid}) - {reason}"))),
        };
        let mut found = false;
        for target in targets {
            if !self.tree.signal(target, signal)? {
                continue;
            }
            found = true;
            if let (Some(pid), true) = (self.tree.get(target).and_then(|process| process.pid), signal != 0) {
                self.event(EventKind::Signal { by: "kill".into(), pid, signal });
            }
        }
        Ok((!found).then(|| format!("({pid}) - No such process")))
    }

    /// The process that `by` calls by this number: its PID in the incident; or the host's, which is what a shell has
    /// in `$!` and `$$`, and what may have gone from there into a file.
    fn process_named(&self, by: ProcessId, pid: i64) -> Result<ProcessId, String> {
        let incident = u32::try_from(pid).ok().and_then(|pid| self.tree.by_pid(pid)).map(|process| process.id);
        let host = i32::try_from(pid).ok().and_then(|host| self.tree.by_host_pid(host));
        let own = self.tree.get(by).map(|asker| &asker.origin);
        let is_own = host.is_some_and(|process| Some(&process.origin) == own);
        match (incident, host.map(|process| process.id)) {
            (Some(one), Some(other)) if one != other && is_own => {
                Err("ambiguous: also a process of this shell; name it by its PID in ps".to_owned())
            }
            (Some(id), _) => Ok(id),
            // The number of somebody who is gone stays his.
            (None, Some(id)) if is_own || !self.pids.was_given(pid) => Ok(id),
            _ => Err("No such process".to_owned()),
        }
    }

    /// The members of a process group but for the one that asks.
    fn group_of(&mut self, member: ProcessId, asker: ProcessId) -> Vec<ProcessId> {
        self.tree.serve_all();
        let wanted = self.host(member).and_then(group_number);
        let is_member = |host: i32| wanted.is_some() && group_number(host) == wanted;
        let members = self.tree.alive().filter(|process| process.id != asker && is_member(process.host));
        members.map(|process| process.id).collect()
    }

    fn host(&self, id: ProcessId) -> Option<i32> {
        self.tree.get(id).map(|process| process.host)
    }
}

fn group_number(host: i32) -> Option<i32> {
    crate::sys::process::look(host).map(|look| look.pgrp)
}
