//! Descriptors that services leave with the manager (sd_notify(3), `FDSTORE=1`; systemd.service(5),
//! `FileDescriptorStoreMax=`).

use super::super::Manager;
use super::super::catalog::level;
use super::super::interface::{Descriptor, DescriptorId, Effect, Pid, RequestError, RequestErrorKind};
use super::super::job::JobType;
use super::super::loaded::{Kind, Stored, UnitId};
use super::super::states::{ServiceState, SocketState};
use super::super::step::Step;
use crate::unit::{Errno, Preserve, is_descriptor_name};

impl Step<'_> {
    /// A datagram has come: the service says how it is, and may send descriptors.
    pub(in super::super) fn told(&mut self, pid: Pid, group: Option<&str>, text: &[u8], sent: Vec<Descriptor>) {
        let unit = self.notified(pid, group, text);
        let lines: Vec<&str> = text.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()).collect();
        let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME="));
        let valid = name.filter(|name| is_descriptor_name(name));
        let rest = match unit {
            Some(unit) if lines.contains(&"FDSTOREREMOVE=1") => {
                match valid {
                    Some(name) => self.give_up(unit, |stored| stored.name == name),
                    None => {
                        let text = "FDSTOREREMOVE=1 requested, but no valid file descriptor name passed, ignoring.";
                        self.log(unit, level::WARNING, text);
                    }
                }
                sent
            }
            Some(unit) if lines.contains(&"FDSTORE=1") => {
                if name.is_some() && valid.is_none() {
                    self.log(unit, level::WARNING, "Passed FDNAME= name is invalid, ignoring.");
                }
                self.store(unit, sent, valid.unwrap_or("stored"), !lines.contains(&"FDPOLL=0"))
            }
            _ => sent,
        };
        self.close_descriptors(rest.into_iter().map(|descriptor| descriptor.id));
    }

    /// Keeps descriptors; those that are not kept.
    fn store(&mut self, unit: UnitId, sent: Vec<Descriptor>, name: &str, polled: bool) -> Vec<Descriptor> {
        let most = self.unit(unit).config.file_descriptor_store_max;
        let mut sent = sent.into_iter();
        let mut rest = Vec::new();
        while let Some(descriptor) = sent.next() {
            let store = &mut self.unit_mut(unit).service.store;
            if store.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                let text = format!("Cannot store more fds than FileDescriptorStoreMax={most}, closing remaining.");
                self.log_errno(unit, level::WARNING, Errno::EXFULL, &text);
                rest.push(descriptor);
                rest.extend(sent);
                break;
            }
            if store.iter().any(|stored| stored.descriptor.of == descriptor.of) {
                rest.push(descriptor);
            } else {
                store.insert(0, Stored { descriptor, name: name.to_owned(), polled });
                if !self.m.stores.contains(&unit) {
                    self.m.stores.push(unit);
                }
            }
        }
        rest
    }

    /// Closes some of what is stored.
    fn give_up(&mut self, unit: UnitId, which: impl Fn(&Stored) -> bool) {
        let store = std::mem::take(&mut self.unit_mut(unit).service.store);
        let (gone, kept): (Vec<Stored>, Vec<Stored>) = store.into_iter().partition(which);
        self.unit_mut(unit).service.store = kept;
        self.close_descriptors(gone.into_iter().map(|stored| stored.descriptor.id));
    }

    fn close_descriptors(&mut self, which: impl Iterator<Item = DescriptorId>) {
        self.out.extend(which.map(|id| Effect::CloseDescriptor { id }));
    }

    /// Nobody is left at the other end of a descriptor.
    pub(in super::super) fn hung_up(&mut self, id: DescriptorId) {
        let holds = |stored: &Stored| stored.descriptor.id == id && stored.polled;
        let found = self.m.stores.iter().copied().find(|unit| self.unit(*unit).service.store.iter().any(holds));
        if let Some(unit) = found {
            self.give_up(unit, holds);
        }
    }

    /// What a service is in that is down and did not fail: what it has left may be kept.
    pub(in super::super) fn dead_state(&self, unit: UnitId) -> ServiceState {
        let this = self.unit(unit);
        let keeps = this.config.file_descriptor_store_preserve == Preserve::Yes;
        if keeps && !this.service.store.is_empty() { ServiceState::DeadResourcesPinned } else { ServiceState::Dead }
    }

    /// The service has ended, if only to be started again.
    pub(super) fn store_after_end(&mut self, unit: UnitId) {
        if self.unit(unit).config.file_descriptor_store_preserve == Preserve::No {
            self.give_up(unit, |_| true);
        }
    }

    /// Nothing is pinned any more by a store that is empty.
    fn unpin_empty(&mut self, unit: UnitId) {
        let run = &self.unit(unit).service;
        if run.state == ServiceState::DeadResourcesPinned && run.store.is_empty() {
            self.set_state(unit, ServiceState::Dead);
        }
    }

    /// `systemctl clean`. The directories of services (StateDirectory= and its siblings) are not made, and so there is
    /// only the store to give up, from 254 on.
    ///
    /// # Errors
    ///
    /// In systemd's words.
    pub(in super::super) fn clean(&mut self, name: &str, what: &[String]) -> Result<(), RequestError> {
        let failed = |message: String| Err(RequestError::new(RequestErrorKind::Failed, message));
        let unit = self.load(name);
        let this = self.unit(unit);
        if !matches!(this.kind, Kind::Service | Kind::Socket) {
            return failed(format!("Unit '{}' does not support cleaning.", this.name));
        }
        let known = |word: &&String| {
            let old = ["runtime", "state", "cache", "logs", "configuration", "all"].contains(&word.as_str());
            old || self.m.rules.store_preserve && *word == "fdstore"
        };
        if let Some(word) = what.iter().find(|word| !known(word)) {
            return failed(format!("Invalid resource type: {word}"));
        }
        let down = match this.kind {
            Kind::Service => matches!(this.service.state, ServiceState::Dead | ServiceState::DeadResourcesPinned),
            _ => this.socket.state == SocketState::Dead,
        };
        if !down || this.job.is_some() {
            return failed("Unit is not inactive or has pending job.".into());
        }
        let wanted = what.iter().any(|word| word == "fdstore" || word == "all");
        let store = !this.service.store.is_empty() || this.config.file_descriptor_store_max > 0;
        if !(self.m.rules.store_preserve && wanted && store) {
            return failed("No matching resources found.".into());
        }
        self.give_up(unit, |_| true);
        self.unpin_empty(unit);
        self.queue_gc(unit);
        Ok(())
    }

    /// Gives up the stores of services that are down and will not be started again by themselves.
    pub(in super::super) fn release_stores(&mut self) {
        for unit in std::mem::take(&mut self.m.stores) {
            let this = self.unit(unit);
            let starts = this.job.as_ref().is_some_and(|job| matches!(job.kind, JobType::Start | JobType::Restart));
            let down = matches!(
                this.service.state,
                ServiceState::Dead | ServiceState::Failed | ServiceState::DeadResourcesPinned
            );
            // One that is kept lasts as long as the unit is loaded.
            let keeps = this.config.file_descriptor_store_preserve == Preserve::Yes;
            if down && !starts && !(keeps && this.present) {
                self.give_up(unit, |_| true);
            }
            self.unpin_empty(unit);
            if !self.unit(unit).service.store.is_empty() {
                self.m.stores.push(unit);
            }
        }
    }
}

impl Manager {
    /// The stored descriptors that are given up once nobody is at their other ends.
    pub fn polled_descriptors(&self) -> impl Iterator<Item = DescriptorId> + '_ {
        let stores = self.stores.iter().flat_map(|unit| &self.units[unit.0 as usize].service.store);
        stores.filter(|stored| stored.polled).map(|stored| stored.descriptor.id)
    }
}
