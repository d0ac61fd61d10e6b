//! Finding the unit file behind a name and reading its `[Install]` section, as systemctl does it: without the
//! manager's own idea of the unit.

use std::collections::{BTreeMap, VecDeque};

use super::failure::{Event, Failure};
use crate::unit::lines::Lines;
use crate::unit::load::{SEARCH_PATH, may_be_alias};
use crate::unit::name::{self, NameKind, UnitType};
use crate::unit::number::BLANKS;
use crate::unit::specifier::{Context, Scope, Specifiers};
use crate::unit::words::{self, Syntax};
use crate::unit::{FileEntry, Files, Profile, Warning, path};

/// Symlinks followed from one unit file to the next.
const MOST_LINKS: usize = 64;

/// What was found under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Regular,
    /// A symlink to a file outside of the unit directories.
    Linked,
    /// A symlink to another unit.
    Alias,
    Masked,
}

/// A unit file as far as installing it is concerned.
#[derive(Clone, Debug, Default)]
pub(super) struct Info {
    pub name: String,
    pub path: Option<String>,
    pub mode: Option<Mode>,
    target: Option<String>,
    /// Only named by `Also=` of another.
    pub auxiliary: bool,
    pub alias: Vec<String>,
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub upheld_by: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
}

impl Info {
    pub(super) fn has_rules(&self) -> bool {
        [&self.alias, &self.wanted_by, &self.required_by, &self.upheld_by].into_iter().any(|list| !list.is_empty())
    }

    /// The name specifiers of `[Install]` speak of: a template's default instance counts.
    fn effective_name(&self) -> String {
        self.default_instance
            .as_deref()
            .filter(|_| name::kind(&self.name) == Some(NameKind::Template))
            .and_then(|instance| name::with_instance(&self.name, instance))
            .unwrap_or_else(|| self.name.clone())
    }
}

/// Whether symlinks in the configuration directories may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    All,
    NotConfigured,
}

/// All units an operation has to do with.
pub(super) struct Finder<'a> {
    pub disk: &'a Files,
    pub profile: Profile,
    pub context: &'a Context,
    /// Whether the files are read, or only looked for.
    reads: bool,
    infos: BTreeMap<String, Info>,
    /// Names not yet worked on, in the order they came up.
    pub todo: VecDeque<String>,
    /// What reading the files would log.
    pub warnings: Vec<Warning>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(disk: &'a Files, profile: Profile, context: &'a Context) -> Self {
        Self {
            disk,
            profile,
            context,
            reads: true,
            infos: BTreeMap::new(),
            todo: VecDeque::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn info(&self, name: &str) -> Option<&Info> {
        self.infos.get(name)
    }

    /// Makes a unit part of the operation, by name or by path.
    pub(super) fn add(&mut self, name_or_path: &str, auxiliary: bool) -> Result<String, Failure> {
        let (name, path) = match name_or_path.starts_with('/') {
            true => (path::split(name_or_path).1, Some(name_or_path.to_owned())),
            false => (name_or_path, None),
        };
        if !name::is_valid(name) {
            return Err(Failure::Invalid);
        }
        match self.infos.get_mut(name) {
            Some(info) => info.auxiliary &= auxiliary,
            None => {
                self.todo.push_back(name.to_owned());
                let info = Info { name: name.to_owned(), path, auxiliary, ..Info::default() };
                self.infos.insert(name.to_owned(), info);
            }
        }
        Ok(name.to_owned())
    }

    /// Finds the unit file, through aliases and links if need be, and says under which name it was found.
    pub(super) fn traverse(&mut self, start: &str, follow: Follow) -> Result<String, Failure> {
        let mut name = start.to_owned();
        self.search(&name)?;
        for _ in 0..=MOST_LINKS {
            let info = self.infos.get(&name).ok_or(Failure::NotFound)?;
            let mode = info.mode.ok_or(Failure::Invalid)?;
            if !matches!(mode, Mode::Alias | Mode::Linked) {
                return Ok(name);
            }
            let place = info.path.clone().unwrap_or_default();
            let target = info.target.clone().ok_or(Failure::Invalid)?;
            if follow == Follow::NotConfigured && is_config_dir(path::split(&place).0) {
                return Err(Failure::Loop);
            }
            let target_name = path::split(&target).1.to_owned();
            if mode == Mode::Linked || target_name == name {
                self.follow(&name, &target)?;
                continue;
            }
            // The link leads to another unit: that one takes over.
            let other = match (name::kind(&name), name::kind(&target_name)) {
                (Some(NameKind::Instance), Some(NameKind::Template)) => {
                    let instance = name::instance(&name).unwrap_or_default();
                    name::with_instance(&target_name, instance).ok_or(Failure::Invalid)?
                }
                _ => target_name,
            };
            if other == name {
                self.follow(&name, &target)?;
                continue;
            }
            name = self.add(&other, false)?;
            match self.search(&name) {
                Err(Failure::NotFound) => return Err(Failure::Severed),
                other => other?,
            }
        }
        Err(Failure::Loop)
    }

    fn follow(&mut self, name: &str, target: &str) -> Result<(), Failure> {
        self.change(name, |info| {
            info.path = Some(target.to_owned());
            info.mode = None;
        });
        self.load(name, target)
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Info)) {
        if let Some(info) = self.infos.get_mut(name) {
            change(info);
        }
    }

    fn search(&mut self, name: &str) -> Result<(), Failure> {
        let info = self.infos.get(name).ok_or(Failure::NotFound)?;
        if info.mode.is_some() {
            return Ok(());
        }
        if let Some(path) = info.path.clone() {
            return self.load(name, &path);
        }
        let template = (name::kind(name) == Some(NameKind::Instance)).then(|| name::template(name)).flatten();
        let mut found = false;
        'names: for candidate in std::iter::once(name).chain(template.as_deref()) {
            for dir in SEARCH_PATH {
                let path = format!("{dir}/{candidate}");
                match self.load(name, &path) {
                    Ok(()) => {
                        self.change(name, |info| info.path = Some(path));
                        found = true;
                        break 'names;
                    }
                    Err(Failure::NotFound) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        if !found {
            return Err(Failure::NotFound);
        }
        if !self.reads || self.infos.get(name).and_then(|info| info.mode) == Some(Mode::Masked) {
            return Ok(());
        }
        self.drop_ins(name, template.as_deref())
    }

    /// Drop-ins count for `[Install]` too, but only the unit's own and its template's.
    fn drop_ins(&mut self, name: &str, template: Option<&str>) -> Result<(), Failure> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for owner in std::iter::once(name).chain(template) {
            for dir in SEARCH_PATH {
                let dir = format!("{dir}/{owner}.d");
                let Some(dir) = self.disk.canonical(&dir) else { continue };
                for (file, _) in self.disk.list(&dir) {
                    if file.ends_with(".conf") {
                        files.entry(file.to_owned()).or_insert_with(|| format!("{dir}/{file}"));
                    }
                }
            }
        }
        for file in files.into_values() {
            let bytes = self.disk.read(&file).ok_or(Failure::NotFound)?;
            if !bytes.is_empty() {
                self.read(name, &file, bytes)?;
            }
        }
        Ok(())
    }

    /// Looks at one path: a file is read, a symlink is only resolved.
    fn load(&mut self, name: &str, place: &str) -> Result<(), Failure> {
        let unit = UnitType::of(name).ok_or(Failure::Invalid)?;
        let disk = self.disk;
        let (dir, file) = path::split(place);
        let dir = disk.canonical(dir).ok_or(Failure::Loop)?;
        let real = format!("{}/{file}", dir.trim_end_matches('/'));
        if name::kind(name) != Some(NameKind::Plain) && !unit.may_template() {
            return Err(Failure::Invalid);
        }
        match disk.entries.get(&real) {
            None if real == "/dev/null" => self.change(name, |info| info.mode = Some(Mode::Masked)),
            None if disk.children(&real).next().is_some() => return Err(Failure::Directory),
            None => return Err(Failure::NotFound),
            Some(FileEntry::Regular { content, .. }) if content.is_empty() => {
                self.change(name, |info| info.mode = Some(Mode::Masked));
            }
            Some(FileEntry::Regular { content, .. }) => {
                if self.reads {
                    self.read(name, place, content)?;
                }
                self.change(name, |info| info.mode = Some(Mode::Regular));
            }
            Some(FileEntry::Symlink { target }) => {
                let target = path::absolute(&dir, target);
                let inside = is_below_search_path(&target);
                if inside {
                    check_alias(file, path::split(&target).1)?;
                }
                let masked = disk.read(&target).is_some_and(<[u8]>::is_empty);
                self.change(name, |info| {
                    info.target = Some(target);
                    info.mode = Some(match (masked, inside) {
                        (true, _) => Mode::Masked,
                        (false, true) => Mode::Alias,
                        (false, false) => Mode::Linked,
                    });
                });
            }
        }
        Ok(())
    }

    /// Reads `[Install]` of one file.
    fn read(&mut self, name: &str, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut inside = false;
        let mut outside = true;
        for line in Lines::new(bytes) {
            let line = line?;
            let number = line.number;
            let text = match line.text {
                Ok(text) if text.is_empty() => continue,
                Ok(text) => text,
                Err(text) => {
                    self.warn(file, number, 4, format!("String is not UTF-8 clean, ignoring assignment: {text}"));
                    return Err(Failure::Invalid);
                }
            };
            if text.starts_with('[') {
                let Some(section) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
                    self.warn(file, number, 3, format!("Invalid section header '{text}'"));
                    return Err(Failure::BadMessage);
                };
                if !path::is_safe(section) {
                    self.warn(file, number, 3, format!("Bad characters in section header '{text}'"));
                    return Err(Failure::BadMessage);
                }
                inside = section == "Install";
                outside = false;
                if !is_section(section) && !section.starts_with("X-") {
                    self.warn(file, number, 4, format!("Unknown section '{section}'. Ignoring."));
                }
            } else if inside {
                match text.split_once('=') {
                    None => self.warn(file, number, 4, "Missing '=', ignoring line.".into()),
                    Some(("", _)) => {
                        self.warn(file, number, 4, "Missing key name before '=', ignoring line.".into());
                    }
                    Some((key, value)) => {
                        self.assign(name, file, number, key.trim_matches(BLANKS), value.trim_matches(BLANKS))?;
                    }
                }
            } else if outside {
                self.warn(file, number, 4, "Assignment outside of section. Ignoring.".into());
            }
        }
        Ok(())
    }

    fn warn(&mut self, file: &str, line: u32, priority: u8, text: String) {
        self.warnings.push(Warning { subject: file.to_owned(), line: Some(line), priority, errno: None, text });
    }

    fn assign(&mut self, name: &str, file: &str, line: u32, key: &str, value: &str) -> Result<(), Failure> {
        match key {
            "Alias" if UnitType::of(name).is_some_and(|unit| !unit.may_alias()) => {
                let kind = UnitType::of(name).map_or("", UnitType::as_str);
                self.warn(file, line, 4, format!("Alias= is not allowed for {kind} units, ignoring."));
            }
            "UpheldBy" if self.profile < Profile::V257 => {
                self.warn(file, line, 4, "Unknown key 'UpheldBy' in section [Install], ignoring.".into());
            }
            "Alias" | "WantedBy" | "RequiredBy" | "UpheldBy" => {
                let mut rest = value;
                let mut words = Vec::new();
                loop {
                    match words::first_word(&mut rest, Syntax::STRINGS) {
                        Ok(None) => break,
                        Ok(Some(word)) => words.push(word),
                        Err(errno) => {
                            let text = if self.profile >= Profile::V257 {
                                format!("Failed to parse {key}={value}, ignoring: {errno}")
                            } else {
                                format!("Invalid syntax, ignoring: {value}")
                            };
                            self.warn(file, line, 4, text);
                            break;
                        }
                    }
                }
                self.change(name, |info| {
                    let list = match key {
                        "Alias" => &mut info.alias,
                        "WantedBy" => &mut info.wanted_by,
                        "RequiredBy" => &mut info.required_by,
                        _ => &mut info.upheld_by,
                    };
                    if value.is_empty() {
                        list.clear();
                    }
                    list.extend(words);
                });
            }
            "Also" => {
                let mut rest = value;
                while let Some(word) = words::first_word(&mut rest, Syntax::PLAIN)? {
                    match self.expand(name, &word) {
                        Ok(other) => {
                            self.add(&other, true)?;
                            self.change(name, |info| info.also.push(other));
                        }
                        Err(failure) => {
                            let text = format!("Failed to resolve unit name in Also=\"{word}\": {failure}");
                            self.warn(file, line, 4, text);
                            return Err(failure);
                        }
                    }
                }
            }
            "DefaultInstance" => match name::kind(name) {
                Some(NameKind::Instance) => {}
                Some(NameKind::Template) => match self.expand(name, value) {
                    Ok(instance) => {
                        let valid = instance.is_empty() || name::with_instance(name, &instance).is_some();
                        if !valid {
                            let text = format!("Invalid DefaultInstance= value \"{instance}\".");
                            self.warn(file, line, 4, text);
                            return Err(Failure::Invalid);
                        }
                        self.change(name, |info| info.default_instance = (!instance.is_empty()).then_some(instance));
                    }
                    Err(failure) => {
                        let text = format!("Failed to resolve instance name in DefaultInstance=\"{value}\": {failure}");
                        self.warn(file, line, 4, text);
                        return Err(failure);
                    }
                },
                _ => {
                    let text = "DefaultInstance= only makes sense for template units, ignoring.";
                    self.warn(file, line, 4, text.into());
                }
            },
            key if key.starts_with("X-") => {}
            key => self.warn(file, line, 4, format!("Unknown key '{key}' in section [Install], ignoring.")),
        }
        Ok(())
    }

    /// Expands the specifiers of a setting in `[Install]`.
    pub(super) fn expand(&self, name: &str, text: &str) -> Result<String, Failure> {
        let effective = self.infos.get(name).map_or_else(|| name.to_owned(), Info::effective_name);
        let specifiers = Specifiers { context: self.context, profile: self.profile, unit: &effective, fragment: None };
        Ok(specifiers.expand(text, Scope::Name)?)
    }

    /// Whether there is a unit of this name, without reading it.
    ///
    /// # Errors
    ///
    /// Why there is something of the name that is no unit file; an alias in the configuration is one such case.
    pub(super) fn exists(&self, name: &str) -> Result<bool, Failure> {
        let mut finder = Finder { reads: false, ..Finder::new(self.disk, self.profile, self.context) };
        let start = finder.add(name, false)?;
        match finder.traverse(&start, Follow::NotConfigured) {
            Ok(_) => Ok(true),
            Err(Failure::NotFound) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Refuses what is masked, transient or generated.
    pub(super) fn may_process(&self, name: &str) -> Result<(), Event> {
        let Some(info) = self.infos.get(name) else { return Err(Event::failed(Failure::NotFound, name)) };
        let place = info.path.clone().unwrap_or_default();
        if info.mode == Some(Mode::Masked) {
            return Err(Event::failed(Failure::Masked, place));
        }
        if is_generator_dir(path::split(&place).0) || is_transient_dir(path::split(&place).0) {
            return Err(Event::failed(Failure::Generated, place));
        }
        Ok(())
    }
}

/// The sections of all unit types; systemctl reads only one of them.
fn is_section(section: &str) -> bool {
    const ALL: &str = "Install Unit Automount Device Mount Path Scope Service Slice Socket Swap Target Timer";
    ALL.split(' ').any(|known| known == section)
}

/// Why a symlink to another unit does not make a valid alias.
fn check_alias(alias: &str, unit: &str) -> Result<(), Failure> {
    let (Some(kind), Some(unit_type)) = (name::kind(alias), UnitType::of(alias)) else { return Err(Failure::Invalid) };
    if !unit_type.may_alias() || (kind != NameKind::Plain && !unit_type.may_template()) {
        return Err(Failure::Invalid);
    }
    if alias == unit {
        return Err(Failure::Loop);
    }
    if may_be_alias(alias, unit) { Ok(()) } else { Err(Failure::CrossDevice) }
}

/// As [`check_alias`], for an `Alias=` that is about to become a symlink. A self-alias is `Ok(false)`: nothing to do.
pub(super) fn verify_alias(alias: &str, unit: &str) -> Result<bool, Failure> {
    match check_alias(alias, unit) {
        Ok(()) => Ok(true),
        Err(Failure::Loop) => Ok(false),
        Err(_) => Err(Failure::CrossDevice),
    }
}

pub(super) fn is_below_search_path(path: &str) -> bool {
    SEARCH_PATH.iter().any(|dir| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
}

pub(super) fn is_config_dir(dir: &str) -> bool {
    matches!(dir, "/etc/systemd/system" | "/run/systemd/system")
}

pub(super) fn is_generator_dir(dir: &str) -> bool {
    matches!(dir, "/run/systemd/generator" | "/run/systemd/generator.early" | "/run/systemd/generator.late")
}

pub(super) fn is_transient_dir(dir: &str) -> bool {
    dir == "/run/systemd/transient"
}

/// Everything in /run is gone after a reboot.
pub(super) fn is_runtime(path: &str) -> bool {
    path.starts_with("/run/")
}
