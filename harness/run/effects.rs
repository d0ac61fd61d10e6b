//! What the manager decided on, done: in its order, and for each step as a whole.

use std::collections::BTreeMap;

use super::Fault;
use super::incident::Incident;
use super::tree::{HARMLESS, Origin};
use crate::control::Status;
use crate::manager::{Effect, ExecRole, Exit, Input, Pid};
use crate::timeline::{Ended, EventKind};

/// A program that the manager starts and stops in one go.
struct Stopped {
    unit: String,
    role: ExecRole,
    signal: i32,
}

/// Programs that are started and, before anything else can happen, sent a signal. How far they would get is a race; on a real
/// machine they nearly always die before their first line, and have no handler yet. So they are not begun.
fn stopped_at_once(effects: &[Effect]) -> BTreeMap<Pid, Stopped> {
    let mut begun = BTreeMap::new();
    let mut stopped = BTreeMap::new();
    for effect in effects {
        match effect {
            Effect::Spawn(spawn) => drop(begun.insert(spawn.pid, spawn)),
            Effect::Signal { pid, signal } if !HARMLESS.contains(signal) => {
                if let Some(spawn) = begun.remove(pid) {
                    stopped.insert(*pid, Stopped { unit: spawn.unit.to_string(), role: spawn.role, signal: *signal });
                }
            }
            _ => {}
        }
    }
    stopped
}

impl Incident {
    /// Does everything that one step of the manager asks for.
    pub(super) fn apply_all(&mut self, effects: Vec<Effect>) -> Result<(), Fault> {
        let stopped = stopped_at_once(&effects);
        for effect in effects {
            match effect {
                Effect::Spawn(spawn) if stopped.contains_key(&spawn.pid) => {
                    let (unit, cmdline) = (String::from(spawn.unit), spawn.argv.join(" "));
                    let role = Some(spawn.role.as_str().to_owned());
                    self.event(EventKind::Start { unit: Some(unit), role, pid: spawn.pid, ppid: 1, cmdline });
                }
                Effect::Signal { pid, signal } if stopped.contains_key(&pid) => {
                    self.event(EventKind::Signal { by: "systemd".into(), pid, signal });
                }
                effect => self.apply(effect)?,
            }
        }
        for (pid, stopped) in stopped {
            let (unit, role) = (Some(stopped.unit.clone()), Some(stopped.role.as_str().to_owned()));
            let (ended, exit) = match self.with_core(&stopped.unit, Status::Signal(stopped.signal)) {
                Status::Dumped(signal) => (Ended::Dumped(signal), Exit::Dumped(signal)),
                _ => (Ended::Killed(stopped.signal), Exit::Signal(stopped.signal)),
            };
            self.event(EventKind::Exit { unit, role, pid, ended });
            self.inputs.push_back(Input::Exited { pid, exit });
            if !self.tree.alive().any(|p| matches!(&p.origin, Origin::Unit { unit, .. } if *unit == stopped.unit)) {
                self.inputs.push_back(Input::CgroupEmpty { unit: stopped.unit });
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, effect: Effect) -> Result<(), Fault> {
        match effect {
            Effect::Journal(message) => {
                let now = self.now();
                self.machinery.log(now, &message);
                self.event(EventKind::Journal {
                    unit: message.unit.map(String::from),
                    priority: message.priority,
                    message_id: message.message_id.map(str::to_owned),
                    message: message.text,
                });
            }
            Effect::Spawn(spawn) => self.spawn(*spawn)?,
            Effect::Signal { pid, signal } => {
                if let Some(id) = self.tree.by_pid(pid).map(|process| process.id) {
                    if self.clock.is_virtual() && self.tree.is_fresh(id) {
                        // How far it got would be a race: what it does first takes no time, so it has done it.
                        self.tree.settle()?;
                    }
                    self.tree.signal(id, signal)?;
                    self.signals_sent = true;
                    self.event(EventKind::Signal { by: "systemd".into(), pid, signal });
                }
            }
            Effect::Reply { id, reply } => {
                self.machinery.replies.insert(id, reply);
            }
            Effect::JobRemoved { job, unit, result } => {
                self.job_removed(job, &unit, result);
            }
            Effect::Symlink { path, target } => {
                self.layout.symlink(&path, &target)?;
                self.refresh_files()?;
            }
            Effect::Remove { path } => {
                // Somebody may have been quicker.
                let _ = self.layout.remove(&path);
                self.refresh_files()?;
            }
            // Whoever asked for it gets the answer, and is gone with the rest once the command line has ended.
            Effect::Reboot => self.reboot_due = true,
            Effect::Poweroff => {
                self.tree.kill_all()?;
                self.close_all();
            }
            Effect::Listen { unit, socket } => self.listen(unit, &socket)?,
            Effect::CloseListen { unit, remove } => self.close_listen(&unit, remove),
            Effect::Watch { unit, on } => self.watch(&unit, on),
            Effect::CloseConnection { id } => self.sockets.close_connection(id),
            Effect::CloseDescriptor { id } => drop(self.store.remove(&id)),
            Effect::Flush { unit } => self.flush(&unit)?,
        }
        Ok(())
    }
}
