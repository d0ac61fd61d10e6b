//! What managers say: systemd, and those whose names stand in the line.

use super::super::chain::When;
use super::super::fact::Fact;
use super::super::others::Told;
use super::super::subject::{Kind, Subject};
use super::super::systemd::{self, Whose};
use super::{SUBJECTS, State};

impl State {
    pub(super) fn systemd(&mut self, host: &str, manager: u32, unit: Option<&str>, text: &str, when: &When) {
        let Some(said) = systemd::read(text) else { return };
        let key = |name: &str| format!("{host}\n{manager}\n{name}");
        let (name, description) = match said.whose {
            Whose::Boot => {
                self.boots += u64::from(self.boot.is_empty());
                return;
            }
            Whose::Clock => {
                self.axis.set = true;
                return;
            }
            Whose::Trigger(name) => {
                let Some((stem, _)) = name.rsplit_once('.') else { return };
                let service = format!("{stem}.service");
                let key = key(&service);
                if !self.subjects.contains_key(&key) {
                    self.make_room();
                }
                let subject = self.subjects.entry(key).or_insert_with(|| Subject::new(service, Kind::Managed));
                subject.triggered = true;
                subject.seen = self.order;
                return;
            }
            Whose::Unit(name) => (name.to_owned(), None),
            Whose::Description(text) => match unit {
                Some(unit) if unit.ends_with(".service") => (unit.to_owned(), None),
                Some(_) => return,
                None => (text.to_owned(), Some(text.to_owned())),
            },
        };
        let mut key_of = key(&name);
        let mut name = name;
        if let Some(description) = description {
            if let Some(known) = self.described(&key_of, &said.fact) {
                name = known.rsplit('\n').next().unwrap_or_default().to_owned();
                key_of = known;
            } else if !self.may_be_a_service(&description) {
                return;
            }
        }
        match said.fact {
            Fact::Scheduled { .. } => {
                self.claim(&key_of, when);
                self.scheduled.retain(|known| *known != key_of);
                self.scheduled.push_back(key_of.clone());
                if self.scheduled.len() > 64 {
                    self.scheduled.pop_front();
                }
            }
            Fact::Started | Fact::Starting => {
                self.recent.retain(|known| *known != key_of);
                self.recent.push_back(key_of.clone());
                if self.recent.len() > 32 {
                    self.recent.pop_front();
                }
            }
            Fact::Exited(_) | Fact::Result(_) => {
                self.pair(&key_of);
                self.claim(&key_of, when);
            }
            _ => {}
        }
        self.give(&key_of, &name, Kind::Managed, said.fact, None, when);
    }

    /// The unit that a description is of: the one that was scheduled just before it is stopped.
    fn described(&mut self, key: &str, fact: &Fact) -> Option<String> {
        if let Some(known) = self.descriptions.get(key) {
            let known = known.clone();
            self.scheduled.retain(|scheduled| *scheduled != known);
            return Some(known);
        }
        if *fact == Fact::Stopped
            && self.scheduled.len() == 1
            && let Some(unit) = self.scheduled.pop_front()
        {
            self.learn(key, &unit);
            return Some(unit);
        }
        None
    }

    /// An exit of a unit that was not seen to start: of the only description that was.
    fn pair(&mut self, unit: &str) {
        if self.subjects.get(unit).is_some_and(|subject| subject.current().is_some()) {
            return;
        }
        let unnamed = |key: &&String| !key.ends_with(".service") && !self.descriptions.contains_key(key.as_str());
        let open: Vec<String> = self.recent.iter().filter(unnamed).cloned().collect();
        if let [only] = &open[..] {
            self.learn(&only.clone(), unit);
        }
    }

    fn learn(&mut self, description: &str, unit: &str) {
        if self.descriptions.len() >= SUBJECTS {
            self.descriptions.clear();
        }
        self.descriptions.insert(description.to_owned(), unit.to_owned());
        self.recent.retain(|known| known != description);
        let Some(earlier) = self.subjects.remove(description) else { return };
        let name = unit.rsplit('\n').next().unwrap_or_default();
        let subject =
            self.subjects.entry(unit.to_owned()).or_insert_with(|| Subject::new(name.to_owned(), Kind::Managed));
        subject.absorb(earlier);
    }

    /// Sessions, slices and targets have descriptions, too.
    fn may_be_a_service(&self, description: &str) -> bool {
        !description.starts_with("Session ") && !description.starts_with("User ") && description.len() < 200
    }

    /// What a manager of another kind says.
    pub(super) fn told(&mut self, told: &Told<'_>, when: &When) {
        let key = format!("\n\n{}", told.name);
        if let Some(age) = told.age {
            let known = self.subjects.get_mut(&key);
            if let Some(subject) = known
                && subject.age.replace(age).is_some_and(|before| before < age)
            {
                return; // Still the restart that was told of before.
            }
        }
        for fact in &told.facts {
            // pm2 names the script where it gives up.
            let known = *fact != Fact::Limited || self.subjects.contains_key(&key);
            let key = if known { key.clone() } else { self.latest().unwrap_or_else(|| key.clone()) };
            self.give(&key, told.name, Kind::Managed, fact.clone(), told.pid, when);
        }
        if told.age.is_some()
            && let Some(subject) = self.subjects.get_mut(&key)
        {
            subject.age = told.age;
        }
    }

    /// The subject that was heard of last.
    fn latest(&self) -> Option<String> {
        self.subjects.iter().max_by_key(|(_, subject)| subject.seen).map(|(key, _)| key.clone())
    }
}
