//! Descriptors that services leave with the manager (sd_notify(3), `FDSTORE=1`; systemd.service(5),
//! `FileDescriptorStoreMax=`).

use super::super::Manager;
use super::super::catalog::level;
use super::super::interface::{Descriptor, DescriptorId, Effect, Pid};
use super::super::job::JobType;
use super::super::loaded::{Stored, UnitId};
use super::super::states::ServiceState;
use super::super::step::Step;
use crate::unit::is_descriptor_name;

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
                self.log(unit, level::WARNING, &text);
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

    /// Gives up the stores of services that are down and will not be started again by themselves.
    pub(in super::super) fn release_stores(&mut self) {
        for unit in std::mem::take(&mut self.m.stores) {
            let this = self.unit(unit);
            let starts = this.job.as_ref().is_some_and(|job| matches!(job.kind, JobType::Start | JobType::Restart));
            let down = matches!(this.service.state, ServiceState::Dead | ServiceState::Failed);
            if down && !starts {
                self.give_up(unit, |_| true);
            }
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
