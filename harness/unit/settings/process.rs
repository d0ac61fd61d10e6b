//! What surrounds a service's processes: environment, directory, accounts, exit statuses, PID file.

use super::{ERROR, WARNING};
use crate::unit::Errno;
use crate::unit::ExitStatusSet;
use crate::unit::environment;
use crate::unit::number;
use crate::unit::read::{Draft, Place, Stop};
use crate::unit::specifier::Scope;
use crate::unit::words::{self, Syntax};

impl Draft<'_> {
    pub(in crate::unit) fn exit_status_set(&mut self, at: &Place<'_>) {
        let mut words = at.value;
        if at.value.is_empty() {
            self.exit_statuses(at, |set| *set = ExitStatusSet::default());
        }
        loop {
            match words::first_word(&mut words, Syntax::PLAIN) {
                Ok(None) => return,
                Ok(Some(word)) => {
                    let mut known = Ok(());
                    self.exit_statuses(at, |set| known = set.insert(&word));
                    if let Err(errno) = known {
                        self.log_errno(at, WARNING, errno, format!("Failed to parse value, ignoring: {word}"));
                    }
                }
                Err(errno) => {
                    self.log_errno(
                        at,
                        WARNING,
                        errno,
                        format!("Failed to parse {}={}, ignoring: {errno}", at.key, at.value),
                    );
                    return;
                }
            }
        }
    }

    pub(in crate::unit) fn exit_statuses(&mut self, at: &Place<'_>, change: impl FnOnce(&mut ExitStatusSet)) {
        self.service(|service| {
            change(match at.key {
                "SuccessExitStatus" => &mut service.success_exit_status,
                "RestartPreventExitStatus" => &mut service.restart_prevent_exit_status,
                _ => &mut service.restart_force_exit_status,
            });
        });
    }

    pub(in crate::unit) fn environment(&mut self, at: &Place<'_>) {
        if at.value.is_empty() {
            self.service(|service| service.environment.clear());
            self.environment.clear();
            return;
        }
        let mut rest = at.value;
        loop {
            let word = match words::first_word(&mut rest, Syntax::COMMAND) {
                Ok(None) => return,
                Ok(Some(word)) => word,
                Err(errno) => {
                    self.log_errno(at, WARNING, errno, format!("Invalid syntax, ignoring: {}", at.value));
                    return;
                }
            };
            match self.expand(&word, Scope::Full) {
                Err(errno) => self.log_errno(
                    at,
                    WARNING,
                    errno,
                    format!("Failed to resolve specifiers in {word}, ignoring: {errno}"),
                ),
                Ok(text) => match environment::assignment(&text) {
                    Some((name, value)) => {
                        if let Some(service) = &mut self.unit.service {
                            self.environment.set(&mut service.environment, name, value);
                        }
                    }
                    None => self.log(at, WARNING, format!("Invalid environment assignment, ignoring: {text}")),
                },
            }
        }
    }

    pub(in crate::unit) fn environment_file(&mut self, at: &Place<'_>) {
        if at.value.is_empty() {
            self.service(|service| service.environment_file.clear());
            return;
        }
        let Some(text) = self.resolved(at, at.value, true) else { return };
        let (path, missing_ok) = text.strip_prefix('-').map_or((text.as_str(), false), |path| (path, true));
        if let Some(path) = self.absolute(at, path, false) {
            self.service(|service| service.environment_file.push((path, missing_ok)));
        }
    }

    pub(in crate::unit) fn environment_names(&mut self, at: &Place<'_>, unset: bool) {
        if at.value.is_empty() {
            self.service(|service| {
                if unset { &mut service.unset_environment } else { &mut service.pass_environment }.clear()
            });
            self.forget(at.key);
            return;
        }
        let mut rest = at.value;
        loop {
            let syntax = if unset { Syntax::COMMAND } else { Syntax::UNQUOTED };
            let word = match words::first_word(&mut rest, syntax) {
                Ok(None) => return,
                Ok(Some(word)) => word,
                Err(errno) => {
                    self.log_errno(
                        at,
                        WARNING,
                        errno,
                        format!("Trailing garbage in {}, ignoring: {}", at.key, at.value),
                    );
                    return;
                }
            };
            let name = match self.expand(&word, Scope::Full) {
                Ok(name) => name,
                Err(errno) => {
                    let kind = if unset { "unit specifiers" } else { "specifiers" };
                    self.log_errno(
                        at,
                        WARNING,
                        errno,
                        format!("Failed to resolve {kind} in {word}, ignoring: {errno}"),
                    );
                    continue;
                }
            };
            if environment::is_valid_name(&name) || (unset && environment::assignment(&name).is_some()) {
                if self.is_new(at.key, &name) {
                    self.service(|service| {
                        if unset { &mut service.unset_environment } else { &mut service.pass_environment }.push(name);
                    });
                }
            } else if unset {
                self.log(at, WARNING, format!("Invalid environment name or assignment {}, ignoring: {name}", at.key));
            } else {
                self.log(at, WARNING, format!("Invalid environment name for {}, ignoring: {name}", at.key));
            }
        }
    }

    pub(in crate::unit) fn working_directory(&mut self, at: &Place<'_>) -> Result<(), Stop> {
        let (text, missing_ok) = at.value.strip_prefix('-').map_or((at.value, false), |text| (text, true));
        let (mut directory, mut home) = (None, false);
        if at.value.is_empty() {
            // Resets it, but leaves the dash of an earlier line.
            self.service(|service| (service.working_directory, service.working_directory_home) = (None, false));
            return Ok(());
        } else if text == "~" {
            home = true;
        } else {
            let refused = if missing_ok { Ok(()) } else { Err(Stop::BadSetting) };
            let path = match self.expand(text, Scope::Full) {
                Ok(path) => path,
                Err(errno) => {
                    let ignoring = if missing_ok { ", ignoring" } else { "" };
                    let text = format!(
                        "Failed to resolve unit specifiers in working directory path '{text}'{ignoring}: {errno}"
                    );
                    self.log_errno(at, if missing_ok { WARNING } else { ERROR }, errno, text);
                    return refused;
                }
            };
            match self.absolute(at, &path, !missing_ok) {
                Some(path) => directory = Some(path),
                None => return refused,
            }
        }
        self.service(|service| {
            service.working_directory = directory;
            service.working_directory_home = home;
            service.working_directory_missing_ok = missing_ok;
        });
        Ok(())
    }

    pub(in crate::unit) fn account(&mut self, at: &Place<'_>) -> Result<(), Stop> {
        let account = if at.value.is_empty() {
            None
        } else {
            let account = match self.expand(at.value, Scope::Full) {
                Ok(account) => account,
                Err(errno) => {
                    self.log_errno(
                        at,
                        ERROR,
                        errno,
                        format!("Failed to resolve unit specifiers in {}: {errno}", at.value),
                    );
                    return Err(Stop::BadSetting);
                }
            };
            if !is_account(&account) {
                self.log(at, ERROR, format!("Invalid user/group name or numeric ID: {account}"));
                return Err(Stop::BadSetting);
            }
            Some(account)
        };
        match at.key {
            "User" => self.service(|service| service.user = account),
            "Group" => self.service(|service| service.group = account),
            _ => {}
        }
        Ok(())
    }

    pub(in crate::unit) fn nice(&mut self, at: &Place<'_>) {
        match number::signed(at.value) {
            Ok(value) if (-20..=19).contains(&value) => self.service(|service| service.nice = value),
            _ if at.value.is_empty() => self.service(|service| service.nice = 0),
            Ok(_) | Err(Errno::ERANGE) => {
                self.log_errno(
                    at,
                    WARNING,
                    Errno::ERANGE,
                    format!("Nice priority out of range, ignoring: {}", at.value),
                );
            }
            Err(errno) => {
                self.log_errno(
                    at,
                    WARNING,
                    errno,
                    format!("Failed to parse nice priority '{}', ignoring: {errno}", at.value),
                );
            }
        }
    }

    pub(in crate::unit) fn pid_file(&mut self, at: &Place<'_>) -> Result<(), Stop> {
        if at.value.is_empty() {
            self.service(|service| service.pid_file = None);
            return Ok(());
        }
        let Some(text) = self.resolved(at, at.value, true) else { return Ok(()) };
        let text = if text.starts_with('/') { text } else { format!("/run/{text}") };
        // Although it says "ignoring", systemd refuses the whole file.
        let mut path = self.absolute(at, &text, false).ok_or(Stop::Error(Errno::EINVAL))?;
        // The legacy directory is a symlink to the other; the remark about it is for the debug log.
        if let Some(rest) = path.strip_prefix("/var/run/") {
            path = format!("/run/{rest}");
        }
        self.service(|service| service.pid_file = Some(path));
        Ok(())
    }
}

/// A well-known bus name: at least two elements, none starting with a digit.
pub(super) fn is_bus_name(name: &str) -> bool {
    name.len() <= 255
        && name.contains('.')
        && name.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with(|c: char| c.is_ascii_digit())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        })
}

/// A user or group as unit files may name one: numeric, or a name without what passwd(5) cannot hold.
fn is_account(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(name) && (name == "0" || !name.starts_with('0')) {
        return name.parse::<u32>().is_ok_and(|id| !matches!(id, 65_535 | u32::MAX));
    }
    !matches!(name, "" | "." | "..")
        && name.trim_matches(' ') == name
        && !name.chars().any(|c| c.is_ascii_control() || matches!(c, ':' | '/'))
        && !digits(name)
        && !name.strip_prefix('-').is_some_and(|rest| rest.is_empty() || digits(rest))
}
