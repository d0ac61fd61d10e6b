//! Enabling, disabling and masking unit files (systemctl(1), "Unit File Commands"): which symlinks come and go, and what
//! systemctl says about it. Nothing is written: the [`Outcome`] says what would be.

mod failure;
mod find;
mod preset;
mod state;

use std::collections::BTreeSet;

pub use failure::Failure;
pub use preset::preset_enabled;
pub use state::{UnitFileState, look_up, unit_file_state};

use failure::Event;
use find::{Finder, Follow, Info, Mode};

use super::load::SEARCH_PATH;
use super::name::{self, NameKind};
use super::specifier::Context;
use super::{FileEntry, Files, Profile, Warning, path};

/// As many symlinks after one another as the kernel follows.
const MOST_PASSES: usize = 40;

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
                Change::Symlink { path, target } => files.symlink(path, target),
                Change::Remove { path } => {
                    files.entries.remove(path);
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
        Verb::Enable | Verb::Disable => {
            let services = names.iter().filter(|name| name.ends_with(".service") && !name.starts_with('/'));
            let stumble =
                services.filter_map(|name| finder.exists(name).err()).find(|failure| *failure != Failure::Loop);
            if let Some(failure) = stumble {
                notices.push(format!("Failed to look up unit file state: {failure}"));
                return Outcome { stderr: notices, exit_code: 1, ..Outcome::default() };
            }
        }
        Verb::Reenable | Verb::Link => {}
    }
    let result = match verb {
        Verb::Enable => operation.enable(&names).map(Some),
        Verb::Disable => operation.disable(&names),
        Verb::Reenable => operation.reenable(&names).map(Some),
        Verb::Link => operation.link(&names).map(|()| None),
        Verb::Mask => operation.mask(&names).map(|()| None),
        Verb::Unmask => operation.unmask(&names).map(|()| None),
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

    /// Makes a symlink unless an equivalent one is there.
    fn create(&mut self, target: &str, place: &str, force: bool) -> Result<(), Failure> {
        let (dir, file) = path::split(place);
        let real = format!("{}/{file}", self.disk.canonical(dir).unwrap_or_else(|| dir.to_owned()));
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
    fn equivalent(&self, dir: &str, one: &str, other: &str) -> bool {
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

    /// Whether there was anything to enable.
    fn enable(&mut self, names: &[String]) -> Result<bool, Failure> {
        // The finder looks at the directories as they were; what it makes of them is applied to the copy.
        let before = self.disk.clone();
        let context = self.context.clone();
        let mut finder = Finder::new(&before, self.options.profile, &context);
        let result = self.enable_found(&mut finder, names);
        self.warnings.append(&mut finder.warnings);
        result
    }

    fn enable_found(&mut self, finder: &mut Finder<'_>, names: &[String]) -> Result<bool, Failure> {
        for name in names {
            let found = finder
                .add(name, false)
                .and_then(|start| finder.traverse(&start, Follow::All))
                .map_err(|failure| self.fail(failure, name, None))?;
            if let Err(event) = finder.may_process(&found) {
                let failure = if let Event::Failed { failure, .. } = &event { *failure } else { Failure::Invalid };
                self.events.push(event);
                return Err(failure);
            }
        }
        let mut result = Ok(false);
        while let Some(name) = finder.todo.pop_front() {
            if let Err(failure) = finder.traverse(&name, Follow::NotConfigured) {
                if finder.info(&name).is_some_and(|info| info.auxiliary) {
                    self.events.push(Event::AuxiliaryFailed { name });
                    continue;
                }
                return Err(self.fail(failure, &name, None));
            }
            let Some(info) = finder.info(&name).cloned() else { continue };
            match info.mode {
                Some(Mode::Masked) => {
                    self.events.push(Event::Masked { path: info.path.unwrap_or_default() });
                    result = result.map(|_| true);
                }
                Some(Mode::Regular) => {
                    let one = self.install(finder, &info);
                    result = result.and_then(|any| Ok(any | one?));
                }
                _ => {}
            }
        }
        result
    }

    /// Makes all symlinks `[Install]` asks for; says whether it asks for any.
    fn install(&mut self, finder: &Finder<'_>, info: &Info) -> Result<bool, Failure> {
        let file = info.path.clone().unwrap_or_default();
        if !SEARCH_PATH.contains(&path::split(&file).0) {
            self.create(&file, &format!("{}/{}", self.config_dir(), info.name), self.options.force)?;
        }
        let mut result = self.install_aliases(finder, info, &file);
        let lists: &[(&[String], &str)] =
            &[(&info.wanted_by, ".wants"), (&info.required_by, ".requires"), (&info.upheld_by, ".upholds")];
        for (list, suffix) in lists {
            let one = self.install_wants(finder, info, &file, list, suffix);
            // Up to 252 a failure after a success went unnoticed.
            let replace = match result {
                Ok(false) => true,
                Ok(true) => self.options.profile >= Profile::V257 && one != Ok(false),
                Err(_) => false,
            };
            if replace {
                result = one;
            }
        }
        result
    }

    fn install_aliases(&mut self, finder: &Finder<'_>, info: &Info, file: &str) -> Result<bool, Failure> {
        let mut result = Ok(false);
        let mut note = |one: Result<bool, Failure>| {
            if result.is_ok() {
                result = one;
            }
        };
        for alias in &info.alias {
            let alias = match finder.expand(&info.name, alias) {
                Ok(alias) => alias,
                Err(failure) => {
                    note(Err(self.fail(failure, alias, None)));
                    continue;
                }
            };
            match self.alias_name(&alias, info) {
                Ok(None) => {}
                Ok(Some(alias)) => {
                    let place = format!("{}/{alias}", self.config_dir());
                    note(self.create(file, &place, self.options.force).map(|()| true));
                }
                Err(failure) => note(Err(failure)),
            }
        }
        result
    }

    /// The name an `Alias=` gets, with the unit's instance; `None` if it is the unit's own.
    fn alias_name(&mut self, alias: &str, info: &Info) -> Result<Option<String>, Failure> {
        if let Some((dir, link)) = alias.rsplit_once('/') {
            // An old way to spell WantedBy= and RequiredBy=.
            let owner = dir.strip_suffix(".wants").or_else(|| dir.strip_suffix(".requires"));
            let Some(owner) = owner.and_then(name::kind) else {
                return Err(self.fail(Failure::CrossDevice, alias, None));
            };
            return if is_link_name(link, &info.name, owner == NameKind::Template) {
                Ok(Some(alias.to_owned()))
            } else {
                Err(self.fail(Failure::CrossDevice, alias, Some(&info.name)))
            };
        }
        let instance = name::instance(&info.name).filter(|instance| !instance.is_empty());
        let alias = match (name::kind(alias), instance) {
            (Some(NameKind::Template), Some(instance)) => {
                name::with_instance(alias, instance).ok_or(Failure::Invalid)?
            }
            _ => alias.to_owned(),
        };
        match find::verify_alias(&alias, &info.name) {
            Ok(true) => Ok(Some(alias)),
            Ok(false) => Ok(None),
            Err(failure) => Err(self.fail(failure, &alias, Some(&info.name))),
        }
    }

    fn install_wants(
        &mut self,
        finder: &Finder<'_>,
        info: &Info,
        file: &str,
        list: &[String],
        suffix: &str,
    ) -> Result<bool, Failure> {
        if list.is_empty() {
            return Ok(false);
        }
        let template = name::kind(&info.name) == Some(NameKind::Template);
        let link = match &info.default_instance {
            Some(instance) if template => {
                let link = name::with_instance(&info.name, instance).ok_or(Failure::Invalid)?;
                self.refuse_masked_instance(finder, &link)?;
                link
            }
            _ => info.name.clone(),
        };
        // A template without an instance can only be wanted by what gives it one.
        let needs_template = template && info.default_instance.is_none();
        let mut result = Ok(false);
        let mut note = |one: Result<bool, Failure>| {
            if result.is_ok() && one != Ok(false) {
                result = one;
            }
        };
        for owner in list {
            let owner = match finder.expand(&info.name, owner) {
                Ok(owner) => owner,
                Err(failure) => {
                    note(Err(self.fail(failure, owner, None)));
                    continue;
                }
            };
            match name::kind(&owner) {
                None => note(Err(self.fail(Failure::Unclean, &owner, None))),
                Some(NameKind::Plain) if needs_template => {
                    note(Err(self.fail(Failure::Template, &owner, Some(&link))));
                }
                Some(_) => {
                    let place = format!("{}/{owner}{suffix}/{link}", self.config_dir());
                    note(self.create(file, &place, true).map(|()| true));
                    if finder.exists(&owner) == Ok(false) {
                        self.events.push(Event::NoDestination { path: owner, source: file.to_owned() });
                    }
                }
            }
        }
        result
    }

    /// The default instance of a template may be masked although the template is not.
    fn refuse_masked_instance(&mut self, finder: &Finder<'_>, instance: &str) -> Result<(), Failure> {
        let mut one = Finder::new(finder.disk, finder.profile, finder.context);
        let name = one.add(instance, false)?;
        one.traverse(&name, Follow::All)?;
        match one.info(&name) {
            Some(info) if info.mode == Some(Mode::Masked) => {
                let place = info.path.clone().unwrap_or_default();
                Err(self.fail(Failure::Masked, &place, None))
            }
            _ => Ok(()),
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

    /// Removes symlinks whose name or target is marked, and then those to what was removed.
    fn remove_marked(&mut self, mut marked: BTreeSet<String>) -> Result<(), Failure> {
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

/// Whether `link` in a `.wants` directory may stand for the unit.
fn is_link_name(link: &str, unit: &str, propagates_instance: bool) -> bool {
    let kind = name::kind(link);
    if link == unit {
        return matches!(kind, Some(NameKind::Plain | NameKind::Instance)) || propagates_instance;
    }
    kind == Some(NameKind::Instance) && name::template(link).as_deref() == Some(unit)
}
