//! Reading unit files into a unit: sections, keys, and the place every message names (SPEC 1.1, 1.6).

use std::collections::{HashMap, HashSet};

use super::Errno;
use super::environment::Places;
use super::keys;
use super::lines::Lines;
use super::name::UnitType;
use super::specifier::{Context, Scope, Specifiers};
use super::{LoadState, OomPolicy, Profile, Service, ServiceType, Socket, Unit, Warning};

/// LINE_MAX without its NUL.
const LONGEST_MESSAGE: usize = 2047;

/// Why systemd stops reading a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A fatal setting: the unit becomes `bad-setting`.
    BadSetting,
    /// Anything else: `error`.
    Error(Errno),
}

/// One assignment and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub file: &'a str,
    pub line: u32,
    pub section: &'a str,
    pub key: &'a str,
    pub value: &'a str,
}

/// A unit while it is being read: what systemd keeps beside the unit until all files are in.
pub(super) struct Draft<'a> {
    pub unit: Unit,
    pub kind: UnitType,
    pub profile: Profile,
    pub context: &'a Context,
    /// `Type=` if it was set.
    pub service_type: Option<ServiceType>,
    /// `OOMPolicy=` if it was set.
    pub oom_policy: Option<OomPolicy>,
    pub delegate: bool,
    pub start_timeout_defined: bool,
    pub job_running_timeout_defined: bool,
    pub usb_descriptors: bool,
    pub usb_strings: bool,
    /// Where each variable of `Environment=` stands.
    pub environment: Places,
    /// What is in the lists that take each name once, by key.
    listed: HashMap<String, HashSet<String>>,
}

/// A service before its files are read: where output goes is settled at the end.
pub(super) fn unread_service() -> Service {
    Service { standard_output: "inherit".into(), ..Service::default() }
}

impl<'a> Draft<'a> {
    pub(super) fn new(name: &str, kind: UnitType, profile: Profile, context: &'a Context) -> Self {
        let unit = Unit {
            name: name.to_owned(),
            profile,
            service: (kind == UnitType::Service).then(unread_service),
            socket: (kind == UnitType::Socket).then(Socket::default),
            ..Unit::default()
        };
        Self {
            unit,
            kind,
            profile,
            context,
            service_type: None,
            oom_policy: None,
            delegate: false,
            start_timeout_defined: false,
            job_running_timeout_defined: false,
            usb_descriptors: false,
            usb_strings: false,
            environment: Places::default(),
            listed: HashMap::new(),
        }
    }

    /// Whether a name is new to the list of this key.
    pub(super) fn is_new(&mut self, key: &str, name: &str) -> bool {
        match self.listed.get_mut(key) {
            Some(names) => names.insert(name.to_owned()),
            None => self.listed.entry(key.to_owned()).or_default().insert(name.to_owned()),
        }
    }

    /// Empties the list of this key.
    pub(super) fn forget(&mut self, key: &str) {
        self.listed.remove(key);
    }

    /// Logs a message about an assignment.
    pub(super) fn log(&mut self, at: &Place<'_>, priority: u8, text: String) {
        self.log_line(at.file, at.line, priority, None, text);
    }

    /// Logs a message about an assignment that has an error behind it.
    pub(super) fn log_errno(&mut self, at: &Place<'_>, priority: u8, errno: Errno, text: String) {
        self.log_line(at.file, at.line, priority, Some(errno), text);
    }

    fn log_line(&mut self, file: &str, line: u32, priority: u8, errno: Option<Errno>, mut text: String) {
        // systemd writes such messages into a buffer of this size.
        let mut end = text.len().min(LONGEST_MESSAGE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        self.unit.warnings.push(Warning { subject: file.to_owned(), line: Some(line), priority, errno, text });
    }

    /// Logs a message about the unit as a whole.
    pub(super) fn log_unit(&mut self, priority: u8, errno: Option<Errno>, text: impl Into<String>) {
        let subject = self.unit.name.clone();
        self.unit.warnings.push(Warning { subject, line: None, priority, errno, text: text.into() });
    }

    /// The text with its specifiers expanded.
    pub(super) fn expand(&self, text: &str, scope: Scope) -> Result<String, Errno> {
        if !text.contains('%') {
            return Ok(text.to_owned());
        }
        let specifiers = Specifiers {
            context: self.context,
            profile: self.profile,
            unit: &self.unit.name,
            fragment: self.unit.fragment_path.as_deref(),
        };
        specifiers.expand(text, scope)
    }

    /// Reads one file, a fragment or a drop-in.
    pub(super) fn read(&mut self, file: &str, bytes: &[u8]) -> Result<(), Stop> {
        let mut section: Option<String> = None;
        let mut ignored = false;
        for line in Lines::new(bytes) {
            let line = line.map_err(Stop::Error)?;
            let text = match line.text {
                Ok(text) if text.is_empty() => continue,
                Ok(text) => text,
                Err(text) => {
                    let text = format!("String is not UTF-8 clean, ignoring assignment: {text}");
                    self.log_line(file, line.number, 4, None, text);
                    return Err(Stop::Error(Errno::EINVAL));
                }
            };
            if text.starts_with('[') {
                section = self.section(file, line.number, &text)?;
                ignored = section.is_none();
                continue;
            }
            let Some(section) = &section else {
                if !ignored {
                    self.log_line(file, line.number, 4, None, "Assignment outside of section. Ignoring.".into());
                }
                continue;
            };
            match text.split_once('=') {
                None => self.log_line(file, line.number, 4, None, "Missing '=', ignoring line.".into()),
                Some(("", _)) => {
                    self.log_line(file, line.number, 4, None, "Missing key name before '=', ignoring line.".into());
                }
                Some((key, value)) => {
                    let (key, value) =
                        (key.trim_matches(super::number::BLANKS), value.trim_matches(super::number::BLANKS));
                    self.assign(&Place { file, line: line.number, section, key, value })?;
                }
            }
        }
        Ok(())
    }

    /// A section header; `None` if the section is to be skipped.
    fn section(&mut self, file: &str, line: u32, text: &str) -> Result<Option<String>, Stop> {
        let Some(name) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
            self.log_line(file, line, 3, None, format!("Invalid section header '{text}'"));
            return Err(Stop::Error(Errno::EBADMSG));
        };
        if !super::path::is_safe(name) {
            self.log_line(file, line, 3, None, format!("Bad characters in section header '{text}'"));
            return Err(Stop::Error(Errno::EBADMSG));
        }
        if keys::has_section(self.kind, name) {
            return Ok(Some(name.to_owned()));
        }
        if !name.starts_with("X-") {
            self.log_line(file, line, 4, None, format!("Unknown section '{name}'. Ignoring."));
        }
        Ok(None)
    }

    fn assign(&mut self, at: &Place<'_>) -> Result<(), Stop> {
        match keys::lookup(at.section, at.key, self.profile) {
            Some(kind) => self.set(at, kind),
            None => {
                if !at.key.starts_with("X-") {
                    self.log(at, 4, format!("Unknown key '{}' in section [{}], ignoring.", at.key, at.section));
                }
                Ok(())
            }
        }
    }

    /// Reads the fragment and, unless it is unusable, the drop-ins; then applies defaults and rules.
    ///
    /// A unit asked for by an alias gets its own name, `id`, once its fragment is read, and not if that fails.
    pub(super) fn read_all(
        mut self,
        fragment: Option<(&str, &[u8])>,
        id: &str,
        aliases: &[String],
        drop_ins: &[(String, &[u8])],
    ) -> Unit {
        if let Some((file, bytes)) = fragment {
            self.unit.fragment_path = Some(file.to_owned());
            if let Err(stop) = self.read(file, bytes) {
                return self.failed(stop);
            }
        }
        id.clone_into(&mut self.unit.name);
        self.unit.aliases = aliases.to_vec();
        for (file, bytes) in drop_ins {
            self.unit.drop_in_paths.push(file.clone());
            // A drop-in that cannot be read to its end is used as far as it goes.
            let _ = self.read(file, bytes);
        }
        self.finish()
    }

    fn failed(mut self, stop: Stop) -> Unit {
        if let Some(service) = &mut self.unit.service {
            service.service_type = self.service_type.unwrap_or_default();
            service.is_untyped = self.service_type.is_none();
        }
        let name = &self.unit.name;
        match stop {
            Stop::BadSetting => {
                self.log_unit(5, Some(Errno::ENOEXEC), "Unit configuration has fatal error, unit will not be started.");
                self.refuse_load();
            }
            Stop::Error(errno) => {
                self.unit.load_errno = Some(errno);
                self.unit.load_error = Some(format!(
                    "Unit {name} failed to load properly, please adjust/correct and reload service manager: {errno}"
                ));
                self.unit.load_state = LoadState::Error;
            }
        }
        self.unit
    }

    pub(super) fn refuse_load(&mut self) {
        self.unit.load_errno = Some(Errno::ENOEXEC);
        self.unit.load_error = Some(format!("Unit {} has a bad unit file setting.", self.unit.name));
        self.unit.load_state = LoadState::BadSetting;
    }
}
