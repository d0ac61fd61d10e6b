//! What the timeline is told of the properties of units.

use std::collections::{BTreeMap, BTreeSet};

use super::incident::Incident;
use crate::manager::is_always_up;
use crate::time::Span;
use crate::timeline::EventKind;

/// Properties that change all the time or say what other events say: they are not part of the timeline.
fn is_noise(name: &str) -> bool {
    name.contains("Timestamp") || name.starts_with("Exec") && !name.starts_with("ExecMain") || name == "CPUUsageNSec"
}

/// What `systemctl show` says of a unit that was unloaded because nothing needs it.
const UNLOADED: &[(&str, &str)] = &[
    ("ActiveState", "inactive"),
    ("SubState", "dead"),
    ("Result", "success"),
    ("NRestarts", "0"),
    ("MainPID", "0"),
    ("ControlPID", "0"),
    ("ExecMainPID", "0"),
    ("ExecMainCode", "0"),
    ("ExecMainStatus", "0"),
];

/// What the timeline has been told of a unit.
#[derive(Debug)]
pub(super) struct Told {
    properties: Properties,
    /// When the unit was touched last, and which files there were then: while both are the same, there is nothing to tell.
    when: (Option<u64>, u64),
}

type Properties = Vec<(&'static str, String)>;

/// Which properties are others now, and what they are.
fn changed(before: &[(&'static str, String)], now: &[(&'static str, String)]) -> BTreeMap<String, String> {
    let mut changed = BTreeMap::new();
    for (index, (name, value)) in now.iter().enumerate() {
        // Nearly always the property stands where it stood.
        let was = match before.get(index).filter(|(known, _)| known == name) {
            Some((_, was)) => Some(was),
            None => before.iter().find(|(known, _)| known == name).map(|(_, was)| was),
        };
        if was != Some(value) && !is_noise(name) {
            changed.insert((*name).to_owned(), value.clone());
        }
    }
    changed
}

impl Incident {
    fn properties_now(&self, unit: &str) -> Properties {
        let unloaded = || UNLOADED.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.machinery.manager.properties(&self.view(), unit).unwrap_or_else(unloaded)
    }

    /// Tells the timeline which properties of which units have changed.
    pub(super) fn tell_properties(&mut self) {
        let mut units: BTreeSet<String> = self.machinery.manager.units().into_iter().map(|row| row.name).collect();
        units.extend(self.machinery.told.keys().cloned());
        // Nothing ever happens to the machine's own.
        let tells = |unit: &String| (unit.ends_with(".service") || unit.ends_with(".socket")) && !is_always_up(unit);
        for unit in units.into_iter().filter(tells) {
            let when = (self.machinery.manager.touched(&unit), self.machinery.files_revision);
            let told = self.machinery.told.get(&unit);
            let is_known = told.is_some_and(|told| told.when == when);
            // Where tests run, they find out whether that is so.
            if is_known && !cfg!(debug_assertions) {
                continue;
            }
            let now = self.properties_now(&unit);
            let changed = changed(told.map_or(&[][..], |told| &told.properties), &now);
            debug_assert!(!is_known || changed.is_empty(), "{unit} was not touched, but is another: {changed:?}");
            let value_of = |wanted: &str| now.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            let delay = changed
                .get("SubState")
                .filter(|state| *state == "auto-restart")
                .and_then(|_| value_of("RestartUSecNext").or(value_of("RestartUSec")))
                .and_then(|text| Span::parse(text).ok());
            self.machinery.told.insert(unit.clone(), Told { properties: now, when });
            if changed.is_empty() {
                continue;
            }
            self.event(EventKind::Properties { unit: unit.clone(), changed });
            if let Some(delay) = delay {
                self.event(EventKind::RestartIn { unit, delay });
            }
        }
    }
}
