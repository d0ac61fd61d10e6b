//! Making and removing symlinks on the copy of the unit directories.

use std::collections::BTreeSet;

use super::failure::{Event, Failure};
use super::{Change, Operation, find};
use crate::unit::{FileEntry, name, path};

/// As many symlinks after one another as the kernel follows.
const MOST_PASSES: usize = 40;

impl Operation {
    /// Makes a symlink unless an equivalent one is there.
    pub(super) fn create(&mut self, target: &str, place: &str, force: bool) -> Result<(), Failure> {
        let dir = path::split(place).0;
        let Some(real) = self.disk.place(place) else { return Err(self.fail(Failure::Loop, place, None)) };
        if self.disk.entries.contains_key(path::split(&real).0) {
            return Err(self.fail(Failure::NotDirectory, place, None));
        }
        match self.disk.entries.get(&real) {
            None if self.disk.children(&real).next().is_some() => return Err(self.fail(Failure::Exists, place, None)),
            None => {}
            Some(FileEntry::Regular { .. }) => return Err(self.fail(Failure::Exists, place, None)),
            Some(FileEntry::Symlink { target: old }) => {
                if self.equivalent(dir, old, target) {
                    return Ok(());
                }
                if !force {
                    let old = old.clone();
                    return Err(self.fail(Failure::Exists, place, Some(&old)));
                }
                self.events.push(Event::Removed { path: place.to_owned() });
            }
        }
        self.disk.symlink(real, target);
        self.events.push(Event::Created { path: place.to_owned(), target: target.to_owned() });
        self.changes.push(Change::Symlink { path: place.to_owned(), target: target.to_owned() });
        Ok(())
    }

    /// Whether two targets mean the same unit: the same file, or the same name in the unit directories.
    pub(super) fn equivalent(&self, dir: &str, one: &str, other: &str) -> bool {
        let (one, other) = (path::absolute(dir, one), path::absolute(dir, other));
        let same_file = || {
            let real = self.disk.canonical(&one);
            real == self.disk.canonical(&other) && real.is_some_and(|real| self.disk.read(&real).is_some())
        };
        let same_unit = || {
            path::split(&one).1 == path::split(&other).1
                && find::is_below_search_path(&one)
                && find::is_below_search_path(&other)
        };
        one == other || same_file() || same_unit()
    }

    /// Removes symlinks whose name or target is marked, and then those to what was removed.
    pub(super) fn remove_marked(&mut self, mut marked: BTreeSet<String>) -> Result<(), Failure> {
        if marked.is_empty() {
            return Ok(());
        }
        let mut loops: BTreeSet<String> = BTreeSet::new();
        let config = self.config_dir();
        let mut links: Vec<String> = Vec::new();
        if let Some(real) = self.disk.canonical(config) {
            links.extend(
                self.disk
                    .children(&real)
                    .filter(|(relative, entry)| {
                        matches!(entry, FileEntry::Symlink { .. }) && name::is_valid(path::split(relative).1)
                    })
                    .map(|(relative, _)| relative.to_owned()),
            );
        }
        // systemd takes them as the directory has them; newest first is usual, last by name is as good.
        links.sort_by(|one, other| other.split('/').cmp(one.split('/')));
        // A symlink to a removed symlink goes in a later pass, as far as the kernel would follow them.
        for _ in 0..=MOST_PASSES {
            let before = links.len();
            links.retain(|relative| {
                let place = format!("{config}/{relative}");
                let link = path::split(relative).1;
                let named = |name: &str| marked.contains(name);
                let found = named(link)
                    || name::template(link).is_some_and(|template| named(&template))
                    || match self.disk.canonical(&place) {
                        Some(target) => named(&target) || named(path::split(&target).1),
                        None => {
                            loops.insert(place.clone());
                            false
                        }
                    };
                if found {
                    self.disk.entries.remove(&place);
                    self.events.push(Event::Removed { path: place.clone() });
                    self.changes.push(Change::Remove { path: place.clone() });
                    marked.insert(place);
                }
                !found
            });
            if links.len() == before {
                break;
            }
        }
        match loops.first() {
            None => Ok(()),
            Some(place) => Err(self.fail(Failure::Loop, place, None)),
        }
    }
}
