//! Enabling, disabling and masking unit files (systemctl(1), "Unit File Commands"): which symlinks come and go, and what
//! systemctl says about it. Nothing is written: the [`Outcome`] says what would be.

mod enable;
mod failure;
mod find;
mod links;
mod preset;
mod state;

use std::collections::BTreeSet;

pub use failure::Failure;
pub use preset::{PresetMode, complaints as preset_complaints, preset_enabled};
pub use state::{UnitFileState, look_up, unit_file_state};

use failure::Event;
use find::{Finder, Follow, Mode};

use super::load::SEARCH_PATH;
use super::name;
use super::specifier::Context;
use super::{FileEntry, Files, Profile, Warning, path};

/// A unit file command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the verb of systemctl")]
pub enum Verb {
    Enable,
    Disable,
    Reenable,
    Link,
    Mask,
    Unmask,
    Preset(PresetMode),
    /// `default.target` becomes a symlink to the one unit.
    SetDefault,
}

impl Verb {
    /// As typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Enable => "enable",
            Verb::Disable => "disable",
            Verb::Reenable => "reenable",
            Verb::Link => "link",
            Verb::Mask => "mask",
            Verb::Unmask => "unmask",
            Verb::Preset(_) => "preset",
            Verb::SetDefault => "set-default",
        }
    }
}

/// Options of a unit file command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whose words and rules.
    pub profile: Profile,
    /// `--runtime`: below /run, gone after a reboot.
    pub runtime: bool,
    /// `--force`: replace symlinks that are in the way.
    pub force: bool,
    /// `--quiet`.
    pub quiet: bool,
}

/// One change to the unit directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A symlink is made, in place of the symlink that was there, if any.
    Symlink {
        /// Where.
        path: String,
        /// To what.
        target: String,
    },
    /// A symlink (or, by unmask, an empty file) is removed.
    Remove {
        /// Where.
        path: String,
    },
}

/// What a unit file command does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Changes to the unit directories, in order; there can be some even if the command fails.
    pub changes: Vec<Change>,
    /// What systemctl prints on stderr, line by line.
    pub stderr: Vec<String>,
    /// systemctl's exit code.
    pub exit_code: u8,
    /// Whether systemctl has the manager reload its units afterwards.
    pub reload: bool,
    /// What the manager logs while it reads the files again.
    pub warnings: Vec<Warning>,
}

impl Outcome {
    /// Carries the changes out on a snapshot.
    pub fn apply(&self, files: &mut Files) {
        for change in &self.changes {
            match change {
                Change::Symlink { path, target } => {
                    if let Some(place) = files.place(path) {
                        files.symlink(place, target);
                    }
                }
                Change::Remove { path } => {
                    if let Some(place) = files.place(path) {
                        files.entries.remove(&place);
                    }
                }
            }
        }
    }
}

/// Runs a unit file command on unit names as [`name::mangle`] makes them; `enable`, `reenable` and `link` take paths too.
pub fn run(verb: Verb, files: &Files, names: &[&str], options: Options) -> Outcome {
    let mut operation = Operation::new(files, options);
    let mut notices = Vec::new();
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    if verb == Verb::Disable && names.iter().any(|name| name.contains('/')) {
        names.iter_mut().for_each(|name| *name = path::split(name).1.to_owned());
        let text = "Warning: Can't execute disable on the unit file path. Proceeding with the unit name.";
        notices.push(text.to_owned());
    }
    let context = Context::default();
    let finder = Finder::new(files, options.profile, &context);
    match verb {
        Verb::Mask | Verb::Unmask => {
            let missing = names.iter().filter(|name| finder.exists(name) == Ok(false));
            notices.extend(missing.map(|name| format!("Unit {name} does not exist, proceeding anyway.")));
        }
        // The look for init scripts of the same names comes first, and stumbles over broken symlinks.
        Verb::Enable | Verb::Disable | Verb::Preset(_) if options.profile < Profile::V260 => {
            let services = names.iter().filter(|name| name.ends_with(".service") && !name.starts_with('/'));
            let stumble =
                services.filter_map(|name| finder.exists(name).err()).find(|failure| *failure != Failure::Loop);
            if let Some(failure) = stumble {
                notices.push(format!("Failed to look up unit file state: {failure}"));
                return Outcome { stderr: notices, exit_code: 1, ..Outcome::default() };
            }
        }
        _ => {}
    }
    let result = match verb {
        Verb::Enable => operation.enable(&names).map(Some),
        Verb::Disable => operation.disable(&names),
        Verb::Reenable => operation.reenable(&names).map(Some),
        Verb::Link => operation.link(&names).map(|()| None),
        Verb::Mask => operation.mask(&names).map(|()| None),
        Verb::Unmask => operation.unmask(&names).map(|()| None),
        Verb::Preset(mode) => operation.preset(&names, mode).map(|()| None),
        Verb::SetDefault => operation.set_default(&names).map(|()| None),
    };
    operation.outcome(verb, notices, result)
}

/// `systemctl enable`
pub fn enable(files: &Files, names: &[&str], options: Options) -> Outcome {
    run(Verb::Enable, files, names, options)
}

/// `systemctl disable`
pub fn disable(files: &Files, names: &[&str], options: Options) -> Outcome {
    run(Verb::Disable, files, names, options)
}

/// `systemctl mask`
pub fn mask(files: &Files, names: &[&str], options: Options) -> Outcome {
    run(Verb::Mask, files, names, options)
}

/// `systemctl unmask`
pub fn unmask(files: &Files, names: &[&str], options: Options) -> Outcome {
    run(Verb::Unmask, files, names, options)
}

/// A command at work on a copy of the unit directories.
struct Operation {
    disk: Files,
    options: Options,
    context: Context,
    events: Vec<Event>,
    changes: Vec<Change>,
    warnings: Vec<Warning>,
}

impl Operation {
    fn new(files: &Files, options: Options) -> Self {
        Self {
            disk: files.clone(),
            options,
            context: Context::default(),
            events: Vec::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    const fn config_dir(&self) -> &'static str {
        if self.options.runtime { "/run/systemd/system" } else { "/etc/systemd/system" }
    }

    fn fail(&mut self, failure: Failure, path: &str, source: Option<&str>) -> Failure {
        self.events.push(Event::Failed { failure, path: path.to_owned(), source: source.map(str::to_owned) });
        failure
    }

    fn outcome(self, verb: Verb, notices: Vec<String>, result: Result<Option<bool>, Failure>) -> Outcome {
        let profile = self.options.profile;
        let (failed, done): (Vec<&Event>, Vec<&Event>) =
            self.events.iter().partition(|event| matches!(event, Event::Failed { .. }));
        let mut stderr = notices;
        // The manager reports either what it did or the first thing that went wrong.
        let error = match (&result, failed.first()) {
            (Err(failure), None) => Some(failure.to_string()),
            (Err(_), Some(event)) => Some(event.text(profile)),
            (Ok(_), Some(event)) if done.is_empty() => Some(event.text(profile)),
            (Ok(_), _) => None,
        };
        match &error {
            Some(text) => stderr.push(format!("Failed to {} unit: {text}", verb.as_str())),
            None => {
                if !self.options.quiet {
                    stderr.extend(done.iter().map(|event| event.text(profile)));
                }
                if result == Ok(Some(false)) && !self.options.quiet {
                    stderr.extend(failure::no_install_section(profile).lines().map(str::to_owned));
                }
            }
        }
        Outcome {
            changes: self.changes,
            stderr,
            exit_code: u8::from(error.is_some()),
            reload: error.is_none(),
            warnings: self.warnings,
        }
    }

    /// Removes every symlink to the units and those `Also=` names. Says whether there was anything to disable, which
    /// only later versions ask.
    fn disable(&mut self, names: &[String]) -> Result<Option<bool>, Failure> {
        let before = self.disk.clone();
        let context = self.context.clone();
        let mut finder = Finder::new(&before, self.options.profile, &context);
        let marked = self.mark(&mut finder, names);
        let has_install = finder_has_install(&finder, names);
        self.warnings.append(&mut finder.warnings);
        let changes = self.changes.len();
        self.remove_marked(marked?)?;
        let any = self.changes.len() > changes || has_install;
        Ok((self.options.profile >= Profile::V257).then_some(any))
    }

    fn mark(&mut self, finder: &mut Finder<'_>, names: &[String]) -> Result<BTreeSet<String>, Failure> {
        for name in names {
            if finder.add(name, false).is_err() {
                return Err(self.fail(Failure::Unclean, name, None));
            }
        }
        let mut marked = BTreeSet::new();
        while let Some(name) = finder.todo.pop_front() {
            let found = finder.traverse(&name, Follow::All);
            let Some(info) = finder.info(&name) else { continue };
            let place = info.path.clone().unwrap_or_else(|| name.clone());
            match found {
                Err(Failure::Severed) => self.events.push(Event::Dangling { path: place }),
                Err(Failure::NotFound) if info.auxiliary => {}
                Err(failure) => {
                    self.fail(failure, &place, None);
                }
                Ok(_) if info.mode == Some(Mode::Masked) => {
                    self.events.push(Event::Masked { path: place });
                    continue;
                }
                Ok(_) if info.mode != Some(Mode::Regular) => continue,
                Ok(_) => {}
            }
            marked.insert(name);
        }
        Ok(marked)
    }

    fn reenable(&mut self, names: &[String]) -> Result<bool, Failure> {
        // Disabled by name, enabled as given: a linked unit must be given by path, or it is gone in between.
        let short: Vec<String> = names.iter().map(|name| path::split(name).1.to_owned()).collect();
        self.disable(&short)?;
        self.enable(names)
    }

    fn link(&mut self, paths: &[String]) -> Result<(), Failure> {
        let mut todo = Vec::new();
        for place in paths {
            let (dir, file) = path::split(place);
            let failure = if !place.starts_with('/') {
                Failure::Invalid
            } else if !name::is_valid(file) {
                Failure::Unclean
            } else if SEARCH_PATH.contains(&dir) {
                continue;
            } else if find::is_below_search_path(place) {
                Failure::Busy
            } else {
                match self.disk.entries.get(place) {
                    Some(FileEntry::Regular { .. }) => {
                        todo.push(place.clone());
                        continue;
                    }
                    Some(FileEntry::Symlink { .. }) => Failure::Loop,
                    None => Failure::NotFound,
                }
            };
            return Err(self.fail(failure, place, None));
        }
        let mut result = Ok(());
        for place in todo {
            let link = format!("{}/{}", self.config_dir(), path::split(&place).1);
            let one = self.create(&place, &link, self.options.force);
            result = result.and(one);
        }
        result
    }

    fn mask(&mut self, names: &[String]) -> Result<(), Failure> {
        let mut result = Ok(());
        for name in names {
            let one = if name::is_valid(name) {
                self.create("/dev/null", &format!("{}/{name}", self.config_dir()), self.options.force)
            } else {
                Err(Failure::Invalid)
            };
            result = result.and(one);
        }
        result
    }

    fn unmask(&mut self, names: &[String]) -> Result<(), Failure> {
        if !names.iter().all(|name| name::is_valid(name)) {
            return Err(Failure::Invalid);
        }
        let mut marked = BTreeSet::new();
        for name in names {
            let place = format!("{}/{name}", self.config_dir());
            // An empty file is a mask too.
            if self.disk.read(&place).is_some_and(<[u8]>::is_empty) && self.disk.entries.remove(&place).is_some() {
                self.events.push(Event::Removed { path: place.clone() });
                self.changes.push(Change::Remove { path: place.clone() });
                marked.insert(place);
            }
        }
        self.remove_marked(marked)
    }
}

/// Whether any of the units has an `[Install]` section.
fn finder_has_install(finder: &Finder<'_>, names: &[String]) -> bool {
    names.iter().filter_map(|name| finder.info(name)).any(|info| info.has_rules() || !info.also.is_empty())
}
