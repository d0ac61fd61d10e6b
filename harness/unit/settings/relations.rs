//! How a unit stands to others: dependencies, conditions, sockets, slices, `[Install]`, and where it is documented.

use super::WARNING;
use crate::unit::Errno;
use crate::unit::name::{self, NameKind};
use crate::unit::number;
use crate::unit::read::{Draft, Place};
use crate::unit::specifier::Scope;
use crate::unit::words::{self, Syntax};
use crate::unit::{Condition, Profile, Unit};

impl Draft<'_> {
    pub(in crate::unit) fn documentation(&mut self, at: &Place<'_>) {
        if at.value.is_empty() {
            self.unit.documentation.clear();
            return;
        }
        let Some(text) = self.resolved(at, at.value, true) else { return };
        let mut rest = text.as_str();
        loop {
            match words::first_word(&mut rest, Syntax::STRINGS) {
                Ok(None) => break,
                Ok(Some(url)) if is_documentation(&url) => self.unit.documentation.push(url),
                Ok(Some(url)) => self.log(at, WARNING, format!("Invalid URL, ignoring: {url}")),
                Err(errno) => {
                    let text = if self.profile >= Profile::V257 {
                        format!("Failed to parse {}={}, ignoring: {errno}", at.key, at.value)
                    } else {
                        format!("Invalid syntax, ignoring: {text}")
                    };
                    self.log_errno(at, WARNING, errno, text);
                    break;
                }
            }
        }
    }

    pub(in crate::unit) fn dependencies(&mut self, at: &Place<'_>, key: &str) {
        let mut rest = at.value;
        while let Ok(Some(word)) = words::first_word(&mut rest, Syntax::NAMES) {
            let name = match self.expand(&word, Scope::Name) {
                Ok(name) => name,
                Err(errno) => {
                    let text = format!("Failed to resolve unit specifiers in '{word}', ignoring: {errno}");
                    self.log_errno(at, WARNING, errno, text);
                    continue;
                }
            };
            let Some(full) = self.instantiated(&name) else {
                self.not_added(at, &name);
                continue;
            };
            if full == self.unit.name {
                if matches!(key, "Conflicts" | "Before" | "After" | "OnSuccess" | "OnFailure") {
                    self.log_unit(WARNING, None, format!("Dependency {key}={full} is dropped."));
                }
                continue;
            }
            if key == "Before" && full.ends_with(".device") {
                self.log_unit(
                    WARNING,
                    None,
                    format!("Dependency Before={full} ignored (.device units cannot be delayed)"),
                );
                continue;
            }
            if self.is_new(modern(key), &full)
                && let Some(list) = dependency_list(&mut self.unit, modern(key))
            {
                list.push(full);
            }
        }
    }

    fn not_added(&mut self, at: &Place<'_>, name: &str) {
        let errno = Errno::EINVAL;
        self.log_errno(at, WARNING, errno, format!("Failed to add dependency on {name}, ignoring: {errno}"));
    }

    /// A name a dependency may have: a template is taken for the unit's own instance, or for its prefix.
    pub(in crate::unit) fn instantiated(&self, name: &str) -> Option<String> {
        match name::kind(name)? {
            NameKind::Plain | NameKind::Instance => Some(name.to_owned()),
            NameKind::Template => {
                let own = &self.unit.name;
                name::with_instance(name, name::instance(own).unwrap_or_else(|| name::prefix(own)))
            }
        }
    }

    pub(in crate::unit) fn condition(&mut self, at: &Place<'_>, is_path: bool) {
        let assert = at.key.starts_with("Assert");
        let list = if assert { &mut self.unit.asserts } else { &mut self.unit.conditions };
        if at.value.is_empty() {
            list.clear();
            return;
        }
        let (trigger, rest) = at.value.strip_prefix('|').map_or((false, at.value), |rest| (true, rest));
        // Blanks may follow the prefixes of a text, not those of a path.
        let rest = if is_path { rest } else { rest.trim_start_matches(number::BLANKS) };
        let (negate, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
        let rest = if is_path { rest } else { rest.trim_start_matches(number::BLANKS) };
        let Some(parameter) = self.resolved(at, rest, !is_path) else { return };
        let parameter = if is_path {
            let Some(path) = self.absolute(at, &parameter, false) else { return };
            path
        } else {
            parameter
        };
        let condition = Condition { key: at.key.to_owned(), negate, trigger, parameter };
        if assert { &mut self.unit.asserts } else { &mut self.unit.conditions }.push(condition);
    }

    pub(in crate::unit) fn sockets(&mut self, at: &Place<'_>) {
        let mut rest = at.value;
        loop {
            let word = match words::first_word(&mut rest, Syntax::PLAIN) {
                Ok(None) => return,
                Ok(Some(word)) => word,
                Err(errno) => {
                    self.log_errno(at, WARNING, errno, format!("Trailing garbage in sockets, ignoring: {}", at.value));
                    return;
                }
            };
            match self.expand(&word, Scope::Name) {
                Err(errno) => {
                    let text = format!("Failed to resolve unit specifiers in '{word}', ignoring: {errno}");
                    self.log_errno(at, WARNING, errno, text);
                }
                Ok(name) if !name.ends_with(".socket") => {
                    self.log(at, WARNING, format!("Unit must be of type socket, ignoring: {name}"));
                }
                Ok(name) => match self.instantiated(&name) {
                    Some(name) => {
                        if self.is_new(at.key, &name) {
                            self.service(|service| service.sockets.push(name));
                        }
                    }
                    // Logged for the pull-in and for the trigger.
                    None => {
                        for _ in 0..2 {
                            self.not_added(at, &name);
                        }
                    }
                },
            }
        }
    }

    pub(in crate::unit) fn slice(&mut self, at: &Place<'_>) {
        let Ok(name) = self.expand(at.value, Scope::Name) else {
            let errno = Errno::EBADSLT;
            let text = format!("Failed to resolve unit specifiers in {}, ignoring: {errno}", at.value);
            return self.log_errno(at, WARNING, errno, text);
        };
        match name::kind(&name) {
            Some(NameKind::Plain) if name.ends_with(".slice") => self.service(|service| service.slice = Some(name)),
            Some(NameKind::Plain | NameKind::Instance) => {
                let errno = Errno::EINVAL;
                let text = format!("Failed to assign slice {name} to unit {}, ignoring: {errno}", self.unit.name);
                self.log_errno(at, WARNING, errno, text);
            }
            kind => {
                let reason = match kind {
                    Some(_) => format!("Unit name {name} is missing the instance name."),
                    None => format!("Unit name {name} is not valid."),
                };
                let text = format!("Failed to load slice unit {name}, ignoring: {reason}");
                self.log_errno(at, WARNING, Errno::EINVAL, text);
            }
        }
    }

    pub(in crate::unit) fn install(&mut self, at: &Place<'_>) {
        let install = &mut self.unit.install;
        let list = match at.key {
            "WantedBy" => &mut install.wanted_by,
            "RequiredBy" => &mut install.required_by,
            "UpheldBy" => &mut install.upheld_by,
            "Alias" => &mut install.alias,
            "Also" => &mut install.also,
            _ => {
                install.default_instance = (!at.value.is_empty()).then(|| at.value.to_owned());
                return;
            }
        };
        // An empty value resets the lists of targets; the names of other units only ever add up.
        if at.value.is_empty() && at.key != "Also" {
            list.clear();
        }
        list.extend(words::split(at.value, Syntax::STRINGS).unwrap_or_default());
    }
}

/// The key of today for one that was renamed.
fn modern(key: &str) -> &str {
    match key {
        "BindTo" => "BindsTo",
        "PropagateReloadTo" => "PropagatesReloadTo",
        "PropagateReloadFrom" => "ReloadPropagatedFrom",
        key => key,
    }
}

fn dependency_list<'a>(unit: &'a mut Unit, key: &str) -> Option<&'a mut Vec<String>> {
    Some(match key {
        "Requires" => &mut unit.requires,
        "Requisite" => &mut unit.requisite,
        "Wants" => &mut unit.wants,
        "BindsTo" => &mut unit.binds_to,
        "PartOf" => &mut unit.part_of,
        "Upholds" => &mut unit.upholds,
        "Conflicts" => &mut unit.conflicts,
        "Before" => &mut unit.before,
        "After" => &mut unit.after,
        "OnFailure" => &mut unit.on_failure,
        "OnSuccess" => &mut unit.on_success,
        "PropagatesReloadTo" => &mut unit.propagates_reload_to,
        "ReloadPropagatedFrom" => &mut unit.reload_propagated_from,
        "PropagatesStopTo" => &mut unit.propagates_stop_to,
        "StopPropagatedFrom" => &mut unit.stop_propagated_from,
        "JoinsNamespaceOf" => &mut unit.joins_namespace_of,
        _ => return None,
    })
}

/// `http:`, `https:`, `file:`, `info:` and `man:` (systemd.unit(5), `Documentation=`).
fn is_documentation(url: &str) -> bool {
    ["http://", "https://", "file:/", "info:", "man:"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && rest.is_ascii()))
}
