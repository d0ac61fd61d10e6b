//! `systemctl enable` and its siblings, and what reading a unit file for its `[Install]` section logs.

use super::interface::{Effect, Message, Reply, RequestError, RequestErrorKind};
use super::loaded::UnitId;
use super::step::Step;
use super::text::Text;
use super::{builtin, catalog};
use crate::unit::Warning;
use crate::unit::install::{self, Change, Options, Verb};

impl Step<'_> {
    /// Changes the links of units on disk. The manager sees the change when it reloads, as systemctl asks it to.
    pub(super) fn change_unit_files(&mut self, verb: Verb, units: &[String], runtime: bool) -> Reply {
        let names: Vec<&str> = units.iter().map(String::as_str).collect();
        let options = Options { profile: self.m.config.profile, runtime, ..Options::default() };
        let files = builtin::with_files_of_the_distribution(self.host.unit_files());
        let outcome = install::run(verb, &files, &names, options);
        self.log_warnings(&outcome.warnings);
        self.out.extend(outcome.changes.into_iter().map(|change| match change {
            Change::Symlink { path, target } => Effect::Symlink { path, target },
            Change::Remove { path } => Effect::Remove { path },
        }));
        if outcome.exit_code != 0 {
            let prefix = format!("Failed to {} unit: ", verb.as_str());
            let refusal = outcome.stderr.iter().rev().find_map(|line| line.strip_prefix(&prefix));
            let message = refusal.or(outcome.stderr.last().map(String::as_str)).unwrap_or("Input/output error");
            let message = message.to_owned();
            return Reply::Error(RequestError::new(RequestErrorKind::Failed, message));
        }
        // What systemctl finds out by itself it says by itself: units that do not exist.
        let lines = outcome.stderr.into_iter().filter(|line| !line.ends_with(" does not exist, proceeding anyway."));
        Reply::UnitFiles(lines.collect())
    }

    /// Looks up UnitFileState, once per load: that reads the file again for its `[Install]` section alone, with a
    /// warning for whatever stands in no section that it knows.
    pub(super) fn look_up_file_state(&mut self, unit: UnitId) {
        if std::mem::replace(&mut self.unit_mut(unit).file_state_known, true) {
            return;
        }
        let this = self.unit(unit);
        if this.def.fragment_path.is_some() {
            self.read_file_state(&this.name.clone());
        }
    }

    /// Reads a unit's file for its `[Install]` section.
    pub(super) fn read_file_state(&mut self, name: &str) {
        let (_, warnings) = install::look_up(self.host.unit_files(), name, self.m.config.profile);
        self.log_warnings(&warnings);
    }

    /// Logs what is wrong with lines of unit files, each about the unit whose file it is.
    fn log_warnings(&mut self, warnings: &[Warning]) {
        for warning in warnings {
            let path = warning.subject.as_str();
            let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
            let owner = dir.rsplit('/').next().and_then(|dir| dir.strip_suffix(".d")).unwrap_or(file);
            self.out.push(Effect::Journal(Message {
                unit: Some(owner.into()),
                priority: warning.priority,
                text: warning.message(),
                message_id: warning.line.map(|_| catalog::INVALID_CONFIGURATION),
                invocation_id: None,
                fields: match warning.line {
                    Some(line) => vec![("CONFIG_FILE", path.into()), ("CONFIG_LINE", Text::number(line as u64))],
                    None => Vec::new(),
                },
                child: None,
            }));
        }
    }
}
