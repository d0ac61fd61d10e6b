//! What each kind of setting makes of its value, in systemd's words (SPEC 1.1, 1.4, 15).

use super::environment;
use super::keys::{Choice, Kind};
use super::name::{self, NameKind};
use super::number::{self, Errno};
use super::path;
use super::read::{Draft, Place, Stop};
use super::signal;
use super::specifier::Scope;
use super::types::{
    CollectMode, Condition, EmergencyAction, ExecCommand, ExitStatusSet, ExitType, KillMode, NotifyAccess, OomPolicy,
    Profile, Restart, RestartMode, Service, ServiceType, TimeoutFailureMode, Unit,
};
use super::words::{self, Syntax};
use crate::time::{Span, SpanError};

const WARNING: u8 = 4;
const ERROR: u8 = 3;

/// What 252 calls the things it cannot parse; later versions have one text for all.
const fn what(choice: Choice) -> &'static str {
    match choice {
        Choice::ServiceType => "service type",
        Choice::Restart => "service restart specifier",
        Choice::RestartMode => "service restart mode",
        Choice::ExitType => "service exit type",
        Choice::NotifyAccess => "notify access specifier",
        Choice::TimeoutFailureMode => "timeout failure mode",
        Choice::OomPolicy => "OOM policy",
        Choice::CollectMode => "garbage collection mode",
        Choice::JobMode => "job mode",
        Choice::BindIpv6Only => "bind IPv6 only value",
        Choice::ProtectSystem => "protect system value",
        Choice::ProtectHome => "protect home value",
        Choice::KeyringMode => "keyring mode",
        Choice::ProtectProc => "/proc/ protection mode",
        Choice::ProcSubset => "/proc/ subset mode",
        Choice::UtmpMode => "utmp mode",
        Choice::PreserveMode => "runtime directory preserve mode",
        Choice::DevicePolicy => "device policy",
    }
}

fn span(text: &str) -> Result<Span, Errno> {
    Span::parse(text).map_err(|error| match error {
        SpanError::Overflow => Errno::Range,
        SpanError::Empty | SpanError::Number | SpanError::Unit => Errno::Invalid,
    })
}

/// Where "no time at all" never made sense, it means "without limit".
fn span_or_infinity(text: &str) -> Result<Span, Errno> {
    span(text).map(|span| if span.is_zero() { Span::INFINITY } else { span })
}

impl Draft<'_> {
    /// The value, or a warning `Failed to parse …, ignoring: …` in the words of this version.
    pub(super) fn checked<T>(&mut self, at: &Place<'_>, what: &str, value: Result<T, Errno>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(errno) => {
                let text = if self.profile >= Profile::V257 {
                    format!("Failed to parse {}={}, ignoring: {errno}", at.key, at.value)
                } else {
                    format!("Failed to parse {what}, ignoring: {}", at.value)
                };
                self.log(at, WARNING, text);
                None
            }
        }
    }

    fn chosen<T>(&mut self, at: &Place<'_>, choice: Choice, from_word: fn(&str) -> Option<T>) -> Option<T> {
        self.checked(at, what(choice), from_word(at.value).ok_or(Errno::Invalid))
    }

    /// The value with specifiers expanded; a warning if one does not exist.
    fn resolved(&mut self, at: &Place<'_>, text: &str, quoted: bool) -> Option<String> {
        match self.expand(text, Scope::Full) {
            Ok(text) => Some(text),
            Err(errno) => {
                let quote = if quoted { "'" } else { "" };
                let text = format!("Failed to resolve unit specifiers in {quote}{text}{quote}, ignoring: {errno}");
                self.log(at, WARNING, text);
                None
            }
        }
    }

    /// An absolute, normalised path.
    pub(super) fn absolute(&mut self, at: &Place<'_>, text: &str, fatal: bool) -> Option<String> {
        let ignoring = if fatal { "" } else { ", ignoring" };
        let key = at.key;
        let simple = path::simplify(text);
        let text = if !text.starts_with('/') {
            format!("{key}= path is not absolute{ignoring}: {text}")
        } else if !path::is_valid(&simple) {
            format!("{key}= path has invalid length ({} bytes){ignoring}.", simple.len())
        } else if !path::is_normalized(&simple) {
            format!("{key}= path is not normalized{ignoring}: {simple}")
        } else {
            return Some(simple);
        };
        self.log(at, ERROR, text);
        None
    }

    /// Applies one assignment.
    pub(super) fn set(&mut self, at: &Place<'_>, kind: Kind) -> Result<(), Stop> {
        match kind {
            Kind::Opaque => self.opaque(at),
            Kind::Bool => {
                if let Some(value) = self.checked(at, "boolean value", number::boolean(at.value)) {
                    self.set_bool(at, value);
                }
            }
            Kind::FatalBool => {
                if let Err(errno) = number::boolean(at.value) {
                    let text = if self.profile >= Profile::V257 {
                        format!("Failed to parse {}={}: {errno}", at.key, at.value)
                    } else {
                        format!("Failed to parse boolean value: {}", at.value)
                    };
                    self.log(at, ERROR, text);
                    return Err(Stop::BadSetting);
                }
            }
            Kind::Tristate => {
                // The one that came first has the text of a plain truth value.
                let of = if at.key == "MountAPIVFS" { String::new() } else { format!(" for {}=", at.key) };
                let what = format!("boolean value{of}");
                if !at.value.is_empty() {
                    self.checked(at, &what, number::boolean(at.value));
                }
            }
            Kind::Span => {
                if let Some(value) = self.checked(at, "sec value", span(at.value)) {
                    self.set_span(at, value);
                }
            }
            Kind::SpanOrInfinity => {
                if let Some(value) = self.checked(at, "time value", span_or_infinity(at.value)) {
                    self.set_span(at, value);
                }
            }
            Kind::Unsigned => {
                if let Some(value) = self.checked(at, "unsigned value", number::unsigned(at.value)) {
                    self.set_unsigned(at, value);
                }
            }
            Kind::Signed => {
                self.checked(at, "int value", number::signed(at.value));
            }
            Kind::Mode => {
                if let Some(mode) = self.checked(at, "mode value", number::mode(at.value))
                    && at.key == "UMask"
                {
                    self.service(|service| service.umask = mode);
                }
            }
            Kind::Size => {
                let value = number::size(at.value);
                match value {
                    Err(errno) if self.profile < Profile::V257 => {
                        self.log(at, WARNING, format!("Failed to parse size value '{}', ignoring: {errno}", at.value));
                    }
                    value => drop(self.checked(at, "size value", value)),
                }
            }
            Kind::Signal => {
                if let Some(number) = self.checked(at, "signal name", signal::parse(at.value)) {
                    self.service(|service| match at.key {
                        "KillSignal" => service.kill_signal = number,
                        "RestartKillSignal" => service.restart_kill_signal = Some(number),
                        "FinalKillSignal" => service.final_kill_signal = number,
                        "WatchdogSignal" => service.watchdog_signal = number,
                        "ReloadSignal" => service.reload_signal = number,
                        _ => {}
                    });
                }
            }
            Kind::Limit => self.limit(at),
            Kind::Choice(choice) => self.choose(at, choice),
            Kind::Text => {
                if let Some(text) = self.resolved(at, at.value, true) {
                    if at.section == "Unit" && at.key.ends_with("RebootArgument") && !text.is_ascii() {
                        self.log(at, WARNING, format!("Invalid reboot parameter '{text}', ignoring."));
                        return Ok(());
                    }
                    self.set_text(at, (!text.is_empty()).then_some(text));
                }
            }
            Kind::Path => {
                if let Some(path) = self.resolved(at, at.value, true)
                    && (path.is_empty() || self.absolute(at, &path, false).is_some())
                {
                    match at.key {
                        "USBFunctionDescriptors" => self.usb_descriptors = !path.is_empty(),
                        "USBFunctionStrings" => self.usb_strings = !path.is_empty(),
                        _ => {}
                    }
                }
            }
            Kind::FatalPath => match self.expand(at.value, Scope::Full) {
                Err(errno) => {
                    self.log(at, ERROR, format!("Failed to resolve unit specifiers in '{}': {errno}", at.value));
                    return Err(Stop::BadSetting);
                }
                Ok(path) if path.is_empty() || self.absolute(at, &path, true).is_some() => {}
                Ok(_) => return Err(Stop::BadSetting),
            },
            Kind::Documentation => self.documentation(at),
            Kind::Exec => {
                // The list is taken out, so that messages can be logged while it grows.
                let mut list = self.exec_list(at.section, at.key).map(std::mem::take).unwrap_or_default();
                let result = self.exec(at, &mut list);
                if let Some(place) = self.exec_list(at.section, at.key) {
                    *place = list;
                }
                result?;
            }
            Kind::Dependencies => self.dependencies(at, at.key),
            Kind::ObsoleteDependencies => {
                let key = if at.key == "RequiresOverridable" { "Requires" } else { "Requisite" };
                let text = format!(
                    "Unit dependency type {}= is obsolete, replacing by {key}=, please update your unit file",
                    at.key
                );
                self.log(at, WARNING, text);
                self.dependencies(at, key);
            }
            Kind::ConditionPath | Kind::ConditionText => self.condition(at, kind == Kind::ConditionPath),
            Kind::Action => match EmergencyAction::from_word(at.value) {
                Some(action) => match at.key {
                    "StartLimitAction" => self.unit.start_limit_action = action,
                    "FailureAction" => self.unit.failure_action = action,
                    "SuccessAction" => self.unit.success_action = action,
                    _ => {}
                },
                None => self.log(at, WARNING, format!("Failed to parse {}=, ignoring: {}", at.key, at.value)),
            },
            Kind::StartTimeout => match span_or_infinity(at.value) {
                Ok(value) => {
                    self.start_timeout_defined = true;
                    self.service(|service| {
                        service.timeout_start_sec = value;
                        if at.key == "TimeoutSec" {
                            service.timeout_stop_sec = value;
                        }
                    });
                }
                Err(_) => {
                    self.log(at, WARNING, format!("Failed to parse {}= parameter, ignoring: {}", at.key, at.value))
                }
            },
            Kind::AbortTimeout => match span(at.value) {
                _ if at.value.is_empty() => self.service(|service| service.timeout_abort_sec = None),
                Ok(value) => self.service(|service| service.timeout_abort_sec = Some(value)),
                Err(_) => self.log(at, WARNING, format!("Failed to parse {}= setting, ignoring: {}", at.key, at.value)),
            },
            Kind::JobTimeout => match span_or_infinity(at.value) {
                Ok(value) if at.key == "JobRunningTimeoutSec" => {
                    self.unit.job_running_timeout_sec = value;
                    self.job_running_timeout_defined = true;
                }
                Ok(value) => {
                    self.unit.job_timeout_sec = value;
                    if !self.job_running_timeout_defined {
                        self.unit.job_running_timeout_sec = value;
                    }
                }
                Err(_) => {
                    self.log(at, WARNING, format!("Failed to parse {}= parameter, ignoring: {}", at.key, at.value))
                }
            },
            Kind::ExitStatusSet => self.exit_status_set(at),
            Kind::ExitStatus => {
                let value = number::unsigned(at.value).and_then(|value| u8::try_from(value).map_err(|_| Errno::Range));
                if let Err(errno) = value
                    && !at.value.is_empty()
                {
                    self.log(at, WARNING, format!("Failed to parse exit status '{}', ignoring: {errno}", at.value));
                }
            }
            Kind::Environment => self.environment(at),
            Kind::EnvironmentFile => self.environment_file(at),
            Kind::PassEnvironment | Kind::UnsetEnvironment => {
                self.environment_names(at, kind == Kind::UnsetEnvironment)
            }
            Kind::WorkingDirectory => self.working_directory(at)?,
            Kind::Account => self.account(at)?,
            Kind::Nice => self.nice(at),
            Kind::OomScoreAdjust => match number::signed(at.value) {
                Ok(value) if (-1000..=1000).contains(&value) => {
                    self.service(|service| service.oom_score_adjust = Some(value));
                }
                _ if at.value.is_empty() => self.service(|service| service.oom_score_adjust = None),
                Ok(_) | Err(Errno::Range) => {
                    self.log(at, WARNING, format!("OOM score adjust value out of range, ignoring: {}", at.value));
                }
                Err(errno) => {
                    let text = format!("Failed to parse the OOM score adjust value '{}', ignoring: {errno}", at.value);
                    self.log(at, WARNING, text);
                }
            },
            Kind::PidFile => self.pid_file(at)?,
            Kind::BusName => {
                if let Some(name) = self.resolved(at, at.value, false) {
                    if is_bus_name(&name) {
                        self.service(|service| service.bus_name = Some(name));
                    } else {
                        self.log(at, WARNING, format!("Invalid bus name, ignoring: {name}"));
                    }
                }
            }
            Kind::Sockets => self.sockets(at),
            Kind::Slice => self.slice(at),
            Kind::Input => self.input(at),
            Kind::Output => self.output(at),
            Kind::KillMode => match KillMode::from_word(at.value) {
                Some(mode) => {
                    if mode == KillMode::None && self.profile < Profile::V257 {
                        let text = "Unit uses KillMode=none. This is unsafe, as it disables systemd's process lifecycle \
                                    management for the service. Please update the service to use a safer KillMode=, such \
                                    as 'mixed' or 'control-group'. Support for KillMode=none is deprecated and will \
                                    eventually be removed.";
                        self.log(at, WARNING, text.into());
                    }
                    self.service(|service| service.kill_mode = mode);
                }
                None => {
                    self.log(at, WARNING, format!("Failed to parse kill mode specification, ignoring: {}", at.value));
                }
            },
            Kind::Listen => self.listen(at),
            Kind::DescriptorName => self.descriptor_name(at),
            Kind::SocketService => self.socket_service(at),
            Kind::Install => self.install(at),
            Kind::Removed => {
                self.log(at, 6, format!("Support for option {}= has been removed and it is ignored", at.key));
            }
        }
        Ok(())
    }

    pub(super) fn service(&mut self, change: impl FnOnce(&mut Service)) {
        if let Some(service) = &mut self.unit.service {
            change(service);
        }
    }

    fn opaque(&mut self, at: &Place<'_>) {
        if at.key == "Delegate" {
            // A list of controllers delegates too.
            self.delegate = number::boolean(at.value).unwrap_or(true);
        }
    }

    fn set_bool(&mut self, at: &Place<'_>, value: bool) {
        let unit = &mut self.unit;
        match (at.section, at.key) {
            ("Unit", "StopWhenUnneeded") => unit.stop_when_unneeded = value,
            ("Unit", "RefuseManualStart") => unit.refuse_manual_start = value,
            ("Unit", "RefuseManualStop") => unit.refuse_manual_stop = value,
            ("Unit", "DefaultDependencies") => unit.default_dependencies = Some(value),
            ("Socket", key) => {
                if let Some(socket) = &mut unit.socket {
                    match key {
                        "Accept" => socket.accept = value,
                        "ReusePort" => socket.reuse_port = value,
                        "RemoveOnStop" => socket.remove_on_stop = value,
                        _ => {}
                    }
                }
            }
            (_, key) => self.service(|service| match key {
                "RemainAfterExit" => service.remain_after_exit = value,
                "GuessMainPID" => service.guess_main_pid = value,
                "RootDirectoryStartOnly" => service.root_directory_start_only = value,
                "PermissionsStartOnly" => service.permissions_start_only = value,
                "NonBlocking" => service.non_blocking = value,
                "SendSIGKILL" => service.send_sigkill = value,
                "SendSIGHUP" => service.send_sighup = value,
                "IgnoreSIGPIPE" => service.ignore_sigpipe = value,
                _ => {}
            }),
        }
    }

    fn set_span(&mut self, at: &Place<'_>, value: Span) {
        match (at.section, at.key) {
            // The legacy place of the limit is [Service]; there only the old name is known.
            ("Unit" | "Service", "StartLimitInterval" | "StartLimitIntervalSec") => {
                self.unit.start_limit_interval_sec = Some(value);
            }
            ("Socket", key) => {
                if let Some(socket) = &mut self.unit.socket {
                    match key {
                        "TimeoutSec" => socket.timeout_sec = Some(value),
                        "TriggerLimitIntervalSec" => socket.trigger_limit_interval_sec = Some(value),
                        _ => {}
                    }
                }
            }
            (_, key) => self.service(|service| match key {
                "RestartSec" => service.restart_sec = value,
                "RestartMaxDelaySec" => service.restart_max_delay_sec = value,
                "RuntimeMaxSec" => service.runtime_max_sec = value,
                "RuntimeRandomizedExtraSec" => service.runtime_randomized_extra_sec = value,
                "WatchdogSec" => service.watchdog_sec = value,
                "TimeoutStopSec" => service.timeout_stop_sec = value,
                _ => {}
            }),
        }
    }

    fn set_unsigned(&mut self, at: &Place<'_>, value: u32) {
        match (at.section, at.key) {
            ("Unit" | "Service", "StartLimitBurst") => self.unit.start_limit_burst = Some(value),
            ("Socket", key) => {
                if let Some(socket) = &mut self.unit.socket {
                    match key {
                        "Backlog" => socket.backlog = Some(value),
                        "TriggerLimitBurst" => socket.trigger_limit_burst = Some(value),
                        "MaxConnections" => socket.max_connections = Some(value),
                        _ => {}
                    }
                }
            }
            (_, key) => self.service(|service| match key {
                "RestartSteps" => service.restart_steps = value,
                "FileDescriptorStoreMax" => service.file_descriptor_store_max = value,
                _ => {}
            }),
        }
    }

    fn set_text(&mut self, at: &Place<'_>, value: Option<String>) {
        match at.key {
            "Description" => self.unit.description = value,
            "RebootArgument" => self.unit.reboot_argument = value,
            "SyslogIdentifier" => self.service(|service| service.syslog_identifier = value),
            "PAMName" => self.service(|service| service.pam_name = value),
            _ => {}
        }
    }

    fn choose(&mut self, at: &Place<'_>, choice: Choice) {
        match choice {
            Choice::ServiceType => {
                let profile = self.profile;
                let known = |word: &str| ServiceType::from_word(word);
                if profile < Profile::V257 && at.value == "notify-reload" {
                    self.chosen::<ServiceType>(at, choice, |_| None);
                } else if let Some(value) = self.chosen(at, choice, known) {
                    self.service_type = Some(value);
                }
            }
            Choice::Restart => {
                if let Some(value) = self.chosen(at, choice, Restart::from_word) {
                    self.service(|service| service.restart = value);
                }
            }
            Choice::RestartMode => {
                if let Some(value) = self.chosen(at, choice, RestartMode::from_word) {
                    self.service(|service| service.restart_mode = value);
                }
            }
            Choice::ExitType => {
                if let Some(value) = self.chosen(at, choice, ExitType::from_word) {
                    self.service(|service| service.exit_type = value);
                }
            }
            Choice::NotifyAccess => {
                if let Some(value) = self.chosen(at, choice, NotifyAccess::from_word) {
                    self.service(|service| service.notify_access = value);
                }
            }
            Choice::TimeoutFailureMode => {
                if let Some(value) = self.chosen(at, choice, TimeoutFailureMode::from_word) {
                    self.service(|service| match at.key {
                        "TimeoutStartFailureMode" => service.timeout_start_failure_mode = value,
                        _ => service.timeout_stop_failure_mode = value,
                    });
                }
            }
            Choice::OomPolicy => {
                if let Some(value) = self.chosen(at, choice, OomPolicy::from_word) {
                    self.oom_policy = Some(value);
                }
            }
            Choice::CollectMode => {
                if let Some(value) = self.chosen(at, choice, CollectMode::from_word) {
                    self.unit.collect_mode = value;
                }
            }
            Choice::BindIpv6Only => {
                let value = self.chosen(at, choice, |word| match word {
                    "default" => Some(None),
                    "both" => Some(Some(false)),
                    "ipv6-only" => Some(Some(true)),
                    word => number::boolean(word).ok().map(Some),
                });
                if let (Some(value), Some(socket)) = (value, &mut self.unit.socket) {
                    socket.bind_ipv6_only = value;
                }
            }
            // Not acted on, only checked.
            Choice::JobMode => self.one_of(
                at,
                choice,
                &[
                    "fail",
                    "replace",
                    "replace-irreversibly",
                    "isolate",
                    "flush",
                    "ignore-dependencies",
                    "ignore-requirements",
                    "triggering",
                ],
                false,
            ),
            Choice::ProtectSystem => self.one_of(at, choice, &["full", "strict"], true),
            Choice::ProtectHome => self.one_of(at, choice, &["read-only", "tmpfs"], true),
            Choice::KeyringMode => self.one_of(at, choice, &["inherit", "private", "shared"], false),
            Choice::ProtectProc => {
                self.one_of(at, choice, &["default", "noaccess", "invisible", "ptraceable"], false);
            }
            Choice::ProcSubset => self.one_of(at, choice, &["all", "pid"], false),
            Choice::UtmpMode => self.one_of(at, choice, &["init", "login", "user"], false),
            Choice::PreserveMode => self.one_of(at, choice, &["restart"], true),
            Choice::DevicePolicy => self.one_of(at, choice, &["auto", "closed", "strict"], false),
        }
    }

    fn one_of(&mut self, at: &Place<'_>, choice: Choice, words: &[&str], or_boolean: bool) {
        let good = words.contains(&at.value) || (or_boolean && number::boolean(at.value).is_ok());
        self.checked(at, what(choice), if good { Ok(()) } else { Err(Errno::Invalid) });
    }

    fn exec_list(&mut self, section: &str, key: &str) -> Option<&mut Vec<ExecCommand>> {
        let service = self.unit.service.as_mut().filter(|_| section == "Service")?;
        Some(match key {
            "ExecCondition" => &mut service.exec_condition,
            "ExecStartPre" => &mut service.exec_start_pre,
            "ExecStart" => &mut service.exec_start,
            "ExecStartPost" => &mut service.exec_start_post,
            "ExecReload" => &mut service.exec_reload,
            "ExecStop" => &mut service.exec_stop,
            "ExecStopPost" => &mut service.exec_stop_post,
            _ => return None,
        })
    }

    fn documentation(&mut self, at: &Place<'_>) {
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
                    self.log(at, WARNING, text);
                    break;
                }
            }
        }
    }

    fn dependencies(&mut self, at: &Place<'_>, key: &str) {
        let mut rest = at.value;
        while let Ok(Some(word)) = words::first_word(&mut rest, Syntax::NAMES) {
            let name = match self.expand(&word, Scope::Name) {
                Ok(name) => name,
                Err(errno) => {
                    let text = format!("Failed to resolve unit specifiers in '{word}', ignoring: {errno}");
                    self.log(at, WARNING, text);
                    continue;
                }
            };
            let Some(full) = self.instantiated(&name) else {
                let text = format!("Failed to add dependency on {name}, ignoring: Invalid argument");
                self.log(at, WARNING, text);
                continue;
            };
            if full == self.unit.name {
                if matches!(key, "Conflicts" | "Before" | "After" | "OnSuccess" | "OnFailure") {
                    self.log_unit(WARNING, format!("Dependency {key}={full} is dropped."));
                }
                continue;
            }
            if key == "Before" && full.ends_with(".device") {
                self.log_unit(WARNING, format!("Dependency Before={full} ignored (.device units cannot be delayed)"));
                continue;
            }
            if let Some(list) = dependency_list(&mut self.unit, key)
                && !list.contains(&full)
            {
                list.push(full);
            }
        }
    }

    /// A name a dependency may have: a template is taken for the unit's own instance, or for its prefix.
    fn instantiated(&self, name: &str) -> Option<String> {
        match name::kind(name)? {
            NameKind::Plain | NameKind::Instance => Some(name.to_owned()),
            NameKind::Template => {
                let own = &self.unit.name;
                name::with_instance(name, name::instance(own).unwrap_or_else(|| name::prefix(own)))
            }
        }
    }

    fn condition(&mut self, at: &Place<'_>, is_path: bool) {
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

    fn exit_status_set(&mut self, at: &Place<'_>) {
        let mut words = at.value;
        if at.value.is_empty() {
            self.exit_statuses(at, |set| *set = ExitStatusSet::default());
        }
        loop {
            match words::first_word(&mut words, Syntax::PLAIN) {
                Ok(None) => return,
                Ok(Some(word)) => {
                    let mut known = true;
                    self.exit_statuses(at, |set| known = set.insert(&word));
                    if !known {
                        self.log(at, WARNING, format!("Failed to parse value, ignoring: {word}"));
                    }
                }
                Err(errno) => {
                    self.log(at, WARNING, format!("Failed to parse {}={}, ignoring: {errno}", at.key, at.value));
                    return;
                }
            }
        }
    }

    fn exit_statuses(&mut self, at: &Place<'_>, change: impl FnOnce(&mut ExitStatusSet)) {
        self.service(|service| {
            change(match at.key {
                "SuccessExitStatus" => &mut service.success_exit_status,
                "RestartPreventExitStatus" => &mut service.restart_prevent_exit_status,
                _ => &mut service.restart_force_exit_status,
            });
        });
    }

    fn environment(&mut self, at: &Place<'_>) {
        if at.value.is_empty() {
            self.service(|service| service.environment.clear());
            return;
        }
        let mut rest = at.value;
        loop {
            let word = match words::first_word(&mut rest, Syntax::COMMAND) {
                Ok(None) => return,
                Ok(Some(word)) => word,
                Err(_) => {
                    self.log(at, WARNING, format!("Invalid syntax, ignoring: {}", at.value));
                    return;
                }
            };
            match self.expand(&word, Scope::Full) {
                Err(errno) => {
                    self.log(at, WARNING, format!("Failed to resolve specifiers in {word}, ignoring: {errno}"))
                }
                Ok(text) => match environment::assignment(&text) {
                    Some((name, value)) => {
                        self.service(|service| environment::set(&mut service.environment, name, value));
                    }
                    None => self.log(at, WARNING, format!("Invalid environment assignment, ignoring: {text}")),
                },
            }
        }
    }

    fn environment_file(&mut self, at: &Place<'_>) {
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

    fn environment_names(&mut self, at: &Place<'_>, unset: bool) {
        if at.value.is_empty() {
            self.service(|service| {
                if unset { &mut service.unset_environment } else { &mut service.pass_environment }.clear()
            });
            return;
        }
        let mut rest = at.value;
        loop {
            let syntax = if unset { Syntax::COMMAND } else { Syntax::UNQUOTED };
            let word = match words::first_word(&mut rest, syntax) {
                Ok(None) => return,
                Ok(Some(word)) => word,
                Err(_) => {
                    self.log(at, WARNING, format!("Trailing garbage in {}, ignoring: {}", at.key, at.value));
                    return;
                }
            };
            let name = match self.expand(&word, Scope::Full) {
                Ok(name) => name,
                Err(errno) => {
                    let kind = if unset { "unit specifiers" } else { "specifiers" };
                    self.log(at, WARNING, format!("Failed to resolve {kind} in {word}, ignoring: {errno}"));
                    continue;
                }
            };
            if environment::is_valid_name(&name) || (unset && environment::assignment(&name).is_some()) {
                self.service(|service| {
                    let list = if unset { &mut service.unset_environment } else { &mut service.pass_environment };
                    if !list.contains(&name) {
                        list.push(name);
                    }
                });
            } else if unset {
                self.log(at, WARNING, format!("Invalid environment name or assignment {}, ignoring: {name}", at.key));
            } else {
                self.log(at, WARNING, format!("Invalid environment name for {}, ignoring: {name}", at.key));
            }
        }
    }

    fn working_directory(&mut self, at: &Place<'_>) -> Result<(), Stop> {
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
                    self.log(at, if missing_ok { WARNING } else { ERROR }, text);
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

    fn account(&mut self, at: &Place<'_>) -> Result<(), Stop> {
        let account = if at.value.is_empty() {
            None
        } else {
            let account = match self.expand(at.value, Scope::Full) {
                Ok(account) => account,
                Err(errno) => {
                    self.log(at, ERROR, format!("Failed to resolve unit specifiers in {}: {errno}", at.value));
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

    fn nice(&mut self, at: &Place<'_>) {
        match number::signed(at.value) {
            Ok(value) if (-20..=19).contains(&value) => self.service(|service| service.nice = value),
            _ if at.value.is_empty() => self.service(|service| service.nice = 0),
            Ok(_) | Err(Errno::Range) => {
                self.log(at, WARNING, format!("Nice priority out of range, ignoring: {}", at.value));
            }
            Err(errno) => {
                self.log(at, WARNING, format!("Failed to parse nice priority '{}', ignoring: {errno}", at.value));
            }
        }
    }

    fn pid_file(&mut self, at: &Place<'_>) -> Result<(), Stop> {
        if at.value.is_empty() {
            self.service(|service| service.pid_file = None);
            return Ok(());
        }
        let Some(text) = self.resolved(at, at.value, true) else { return Ok(()) };
        let text = if text.starts_with('/') { text } else { format!("/run/{text}") };
        // Although it says "ignoring", systemd refuses the whole file.
        let mut path = self.absolute(at, &text, false).ok_or(Stop::Error(Errno::Invalid))?;
        // The legacy directory is a symlink to the other; the remark about it is for the debug log.
        if let Some(rest) = path.strip_prefix("/var/run/") {
            path = format!("/run/{rest}");
        }
        self.service(|service| service.pid_file = Some(path));
        Ok(())
    }

    fn sockets(&mut self, at: &Place<'_>) {
        let mut rest = at.value;
        loop {
            let word = match words::first_word(&mut rest, Syntax::PLAIN) {
                Ok(None) => return,
                Ok(Some(word)) => word,
                Err(_) => {
                    self.log(at, WARNING, format!("Trailing garbage in sockets, ignoring: {}", at.value));
                    return;
                }
            };
            match self.expand(&word, Scope::Name) {
                Err(errno) => {
                    let text = format!("Failed to resolve unit specifiers in '{word}', ignoring: {errno}");
                    self.log(at, WARNING, text);
                }
                Ok(name) if !name.ends_with(".socket") => {
                    self.log(at, WARNING, format!("Unit must be of type socket, ignoring: {name}"));
                }
                Ok(name) => match self.instantiated(&name) {
                    Some(name) => self.service(|service| {
                        if !service.sockets.contains(&name) {
                            service.sockets.push(name);
                        }
                    }),
                    // Logged for the pull-in and for the trigger.
                    None => {
                        for _ in 0..2 {
                            let text = format!("Failed to add dependency on {name}, ignoring: Invalid argument");
                            self.log(at, WARNING, text);
                        }
                    }
                },
            }
        }
    }

    fn slice(&mut self, at: &Place<'_>) {
        let Ok(name) = self.expand(at.value, Scope::Name) else {
            self.log(
                at,
                WARNING,
                format!("Failed to resolve unit specifiers in {}, ignoring: {}", at.value, Errno::BadSlot),
            );
            return;
        };
        match name::kind(&name) {
            Some(NameKind::Plain) if name.ends_with(".slice") => self.service(|service| service.slice = Some(name)),
            Some(NameKind::Plain | NameKind::Instance) => {
                let text =
                    format!("Failed to assign slice {name} to unit {}, ignoring: Invalid argument", self.unit.name);
                self.log(at, WARNING, text);
            }
            kind => {
                let reason = match kind {
                    Some(_) => format!("Unit name {name} is missing the instance name."),
                    None => format!("Unit name {name} is not valid."),
                };
                self.log(at, WARNING, format!("Failed to load slice unit {name}, ignoring: {reason}"));
            }
        }
    }

    fn install(&mut self, at: &Place<'_>) {
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

fn dependency_list<'a>(unit: &'a mut Unit, key: &str) -> Option<&'a mut Vec<String>> {
    Some(match key {
        "Requires" => &mut unit.requires,
        "Requisite" => &mut unit.requisite,
        "Wants" => &mut unit.wants,
        "BindsTo" | "BindTo" => &mut unit.binds_to,
        "PartOf" => &mut unit.part_of,
        "Upholds" => &mut unit.upholds,
        "Conflicts" => &mut unit.conflicts,
        "Before" => &mut unit.before,
        "After" => &mut unit.after,
        "OnFailure" => &mut unit.on_failure,
        "OnSuccess" => &mut unit.on_success,
        "PropagatesReloadTo" | "PropagateReloadTo" => &mut unit.propagates_reload_to,
        "ReloadPropagatedFrom" | "PropagateReloadFrom" => &mut unit.reload_propagated_from,
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

/// A well-known bus name: at least two elements, none starting with a digit.
fn is_bus_name(name: &str) -> bool {
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
