//! From a notification that somebody has sent to one that the manager understands: who sent it, from which unit, and
//! in incident coordinates.

use std::collections::BTreeSet;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;

use super::Fault;
use super::incident::Incident;
use super::tree::{Notice, Origin, Process, ProcessId, Tree, complaint};
use crate::control::Answer;
use crate::ctl::Output;
use crate::ctl::notify::{self, Caller, Outcome};
use crate::manager::{DescriptorId, Effect, Input, Message, Pid};
use crate::sys::process;

impl Incident {
    /// Serves one datagram.
    pub(super) fn notified(&mut self, notice: Notice) -> Result<(), Fault> {
        let text = match notice.text {
            Ok(text) => text,
            Err(complaint) => return self.complain(complaint),
        };
        self.number_processes();
        let (pid, unit) = match self.tree.sender(notice.host) {
            Some(id) => (self.named(id), self.tree.get(id).and_then(unit_of)),
            // A process outside this run has sent it.
            None if process::look(notice.host).is_some_and(|look| look.state != 'Z') => {
                (self.pids.name(notice.host), None)
            }
            None => (self.pids.name(notice.host), self.unit_of_the_dead()),
        };
        let mut lines = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            lines.push(match std::str::from_utf8(line) {
                Ok(line) if line.starts_with("STATUS=") => self.layout.mapping.to_incident(line).into_bytes(),
                Ok(line) => self.translated(unit.as_deref(), line).into_bytes(),
                Err(_) => line.to_vec(),
            });
        }
        let text = lines.join(&b'\n');
        let mut descriptors = Vec::new();
        for descriptor in notice.descriptors {
            let id = self.next_descriptor;
            self.next_descriptor += 1;
            let of = descriptor.identity().unwrap_or_else(|| format!("number {id}"));
            descriptors.push(crate::manager::Descriptor { id, of });
            self.store.insert(id, Arc::new(descriptor));
        }
        self.input(Input::Notify { pid, unit, text, descriptors })
    }

    /// Tells the manager of a stored descriptor whose other end is closed. False if there is none.
    pub(super) fn hung_up(&mut self) -> Result<bool, Fault> {
        let is_hung_up = |id: &DescriptorId| self.store.get(id).is_some_and(|descriptor| descriptor.is_hung_up());
        let found = self.machinery.manager.polled_descriptors().find(is_hung_up);
        let Some(id) = found else { return Ok(false) };
        self.input(Input::HungUp { id })?;
        Ok(true)
    }

    /// Runs `systemd-notify` for the process that asks for it. It is done when the manager has served the message: what
    /// the real one waits for with BARRIER=1.
    pub(super) fn notify_command(&mut self, id: ProcessId, argv: &[String], socket: Option<&str>) -> Result<(), Fault> {
        self.number_processes();
        let Some(process) = self.tree.get(id) else { return Ok(()) };
        let unit = unit_of(process);
        let parent = self.tree.parent(process).map(|parent| parent.id);
        let pid = self.named(id);
        let parent = parent.map_or(1, |parent| self.named(parent));
        let args: Vec<String> = argv.iter().skip(1).map(|arg| self.translated(unit.as_deref(), arg)).collect();
        let caller = Caller {
            pid,
            parent,
            uptime: self.uptime(),
            is_unknown_user: &|user| self.machinery.unknown_accounts.contains(user),
        };
        let own = socket.is_some_and(|socket| Path::new(socket) == self.layout.notify_socket());
        let (mut output, mut command) = (Output::default(), 0);
        match notify::read(&args, self.machinery.profile, &caller) {
            Outcome::Said(said) => output = said,
            Outcome::Refused(refusal) => {
                output = refusal;
                if own {
                    self.input(Input::Notify { pid, unit, text: b"ERRNO=22".to_vec(), descriptors: Vec::new() })?;
                }
            }
            Outcome::Sends(sends) => {
                let user = sends.user.unwrap_or_else(|| match &unit {
                    Some(unit) => self.user_of(unit),
                    None => self.console_user.clone(),
                });
                let text = sends.text.into_bytes();
                let sent = match socket {
                    None => Err(notify::not_told()),
                    Some(_) if own => {
                        // Only root may pretend to be another process, and only one that there is.
                        let source = Some(sends.source).filter(|_| matches!(user.as_str(), "root" | "0"));
                        let (pid, unit) = match source.and_then(|source| self.tree.by_pid(source)) {
                            Some(process) => (sends.source, unit_of(process)),
                            None if source == Some(1) => (1, None),
                            None => (pid, unit),
                        };
                        match complaint(&text) {
                            Some(complaint) => self.complain(complaint)?,
                            None => self.input(Input::Notify { pid, unit, text, descriptors: Vec::new() })?,
                        }
                        Ok(())
                    }
                    Some(socket) => send_elsewhere(socket, &text).map_err(|errno| notify::not_sent(errno.desc())),
                };
                match sent {
                    Ok(()) => command = sends.command,
                    Err(refusal) => output = refusal,
                }
            }
        }
        let Output { stdout, stderr, code } = output;
        self.tree.answer(id, Answer::Notified { stdout, stderr, code, command })
    }

    /// Sees to it that the process that a program means by a number has an incident PID.
    fn name_meant(&mut self, unit: Option<&str>, number: &str) {
        if let Some(id) = meant(&self.tree, unit, number).map(|process| process.id) {
            self.named(id);
        }
    }

    /// The same for what stands in the PID files of services that the manager may look at now.
    pub(super) fn name_in_pid_files(&mut self) {
        let files: Vec<(String, String)> =
            self.machinery.pid_files.iter().map(|(unit, path)| (unit.clone(), path.clone())).collect();
        for (unit, path) in files {
            if let Some(line) = self.layout.first_line(&path) {
                self.name_meant(Some(&unit), &line);
            }
        }
    }

    /// The incident PID of a process, from now on if it had none.
    pub(super) fn named(&mut self, id: ProcessId) -> Pid {
        let process = self.tree.get(id);
        if let Some(pid) = process.and_then(|process| process.pid) {
            return pid;
        }
        let pid = process.map_or_else(|| self.pids.fork(), |process| self.pids.name(process.host));
        if let Some(process) = self.tree.get_mut(id) {
            process.pid = Some(pid);
        }
        pid
    }

    fn uptime(&mut self) -> crate::time::Span {
        self.now().since(self.machinery.machine.boot)
    }

    /// An assignment or option in which a program says a PID or a time as it knows it.
    fn translated(&mut self, unit: Option<&str>, text: &str) -> String {
        for key in ["MAINPID=", "--pid="] {
            let Some(number) = text.strip_prefix(key) else { continue };
            self.name_meant(unit, number);
            if let Some(pid) = incident_pid(&self.tree, unit, number) {
                return format!("{key}{pid}");
            }
        }
        if text.starts_with("MONOTONIC_USEC=") {
            // Read from the host's clock a moment ago; no incident time has passed since.
            let uptime = self.tree.now.since(self.machinery.machine.boot);
            return format!("MONOTONIC_USEC={}", uptime.as_micros());
        }
        text.to_owned()
    }

    /// The unit of a sender that is gone and was not one of those that are watched: the one that it can only be from.
    /// Real systemd loses such a message if it is late, which in lock-step it never is; if there are several such
    /// units, it is lost here, too.
    fn unit_of_the_dead(&self) -> Option<String> {
        let units = self.tree.all().filter_map(unit_of);
        let mut units = units.filter(|unit| self.machinery.notifying.contains(unit)).collect::<BTreeSet<_>>();
        units.pop_first().filter(|_| units.is_empty())
    }

    /// What the manager says of a message that it drops.
    fn complain(&mut self, text: &str) -> Result<(), Fault> {
        self.apply(Effect::Journal(Message {
            unit: None,
            priority: 4,
            text: text.to_owned(),
            message_id: None,
            invocation_id: None,
            fields: Vec::new(),
            child: None,
        }))
    }
}

fn unit_of(process: &Process) -> Option<String> {
    match &process.origin {
        Origin::Unit { unit, .. } => Some(unit.clone()),
        _ => None,
    }
}

/// The incident PID that a program means by a number, which is the number itself if it is nobody's. `None` if it is no
/// number.
pub(super) fn incident_pid(tree: &Tree, unit: Option<&str>, number: &str) -> Option<Pid> {
    let pid = meant(tree, unit, number).and_then(|process| process.pid);
    pid.or_else(|| number.trim().parse().ok())
}

/// The process that a program means by a number. It knows itself and its children by the host's PIDs, and others by the
/// incident's, from `$MAINPID` or `ps`; where a number is both, what belongs to the unit is meant, then the incident's.
fn meant<'a>(tree: &'a Tree, unit: Option<&str>, number: &str) -> Option<&'a Process> {
    let number: Pid = number.trim().parse().ok()?;
    let host = i32::try_from(number).ok().and_then(|host| tree.by_host_pid(host));
    let own = |process: &&Process| unit.is_some() && unit_of(process).as_deref() == unit;
    host.filter(own).or_else(|| tree.by_pid(number)).or(host)
}

/// Sends a message to a socket that is not the run's.
fn send_elsewhere(socket: &str, text: &[u8]) -> Result<(), Errno> {
    let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw);
    let address = match socket.strip_prefix('@') {
        Some(name) if !name.is_empty() => SocketAddr::from_abstract_name(name),
        None if socket.starts_with('/') => SocketAddr::from_pathname(socket),
        _ => return Err(Errno::EINVAL),
    };
    let sender = UnixDatagram::unbound().map_err(errno)?;
    sender.set_nonblocking(true).map_err(errno)?;
    sender.send_to_addr(text, &address.map_err(errno)?).map_err(errno)?;
    Ok(())
}
