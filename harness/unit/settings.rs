//! What each kind of setting makes of its value, in systemd's words (SPEC 1.1, 1.4, 15).

mod choices;
mod process;
mod relations;

use process::is_bus_name;

use super::Errno;
use super::keys::Kind;
use super::number;
use super::path;
use super::read::{Draft, Place, Stop};
use super::signal;
use super::specifier::Scope;
use super::syslog;
use super::{EmergencyAction, ExecCommand, JobMode, KillMode, Profile, Service};
use crate::time::{Span, SpanError};

const WARNING: u8 = 4;
const ERROR: u8 = 3;

fn span(text: &str) -> Result<Span, Errno> {
    Span::parse(text).map_err(|error| match error {
        SpanError::Overflow | SpanError::Negative => Errno::ERANGE,
        SpanError::Empty | SpanError::Number | SpanError::Unit => Errno::EINVAL,
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
                self.log_errno(at, WARNING, errno, text);
                None
            }
        }
    }

    /// The value with specifiers expanded; a warning if one does not exist.
    fn resolved(&mut self, at: &Place<'_>, text: &str, quoted: bool) -> Option<String> {
        match self.expand(text, Scope::Full) {
            Ok(text) => Some(text),
            Err(errno) => {
                let quote = if quoted { "'" } else { "" };
                let text = format!("Failed to resolve unit specifiers in {quote}{text}{quote}, ignoring: {errno}");
                self.log_errno(at, WARNING, errno, text);
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
            // What OnFailureJobMode= was before.
            Kind::OnFailureIsolate => {
                if let Some(value) = self.checked(at, "boolean", number::boolean(at.value)) {
                    self.unit.on_failure_job_mode = if value { JobMode::Isolate } else { JobMode::Replace };
                }
            }
            Kind::FatalBool => {
                if let Err(errno) = number::boolean(at.value) {
                    let text = if self.profile >= Profile::V257 {
                        format!("Failed to parse {}={}: {errno}", at.key, at.value)
                    } else {
                        format!("Failed to parse boolean value: {}", at.value)
                    };
                    self.log_errno(at, ERROR, errno, text);
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
                if let Some(mode) = self.checked(at, "mode value", number::mode(at.value)) {
                    match (at.section, at.key, &mut self.unit.socket) {
                        ("Service", "UMask", _) => self.service(|service| service.umask = mode),
                        ("Socket", "SocketMode", Some(socket)) => socket.socket_mode = Some(mode),
                        ("Socket", "DirectoryMode", Some(socket)) => socket.directory_mode = Some(mode),
                        _ => {}
                    }
                }
            }
            Kind::Size => {
                let value = number::size(at.value);
                match value {
                    Err(errno) if self.profile < Profile::V257 => {
                        self.log_errno(
                            at,
                            WARNING,
                            errno,
                            format!("Failed to parse size value '{}', ignoring: {errno}", at.value),
                        );
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
                    self.log_errno(
                        at,
                        ERROR,
                        errno,
                        format!("Failed to resolve unit specifiers in '{}': {errno}", at.value),
                    );
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
                None => self.log_errno(
                    at,
                    WARNING,
                    Errno::EINVAL,
                    format!("Failed to parse {}=, ignoring: {}", at.key, at.value),
                ),
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
                Err(errno) => self.log_errno(
                    at,
                    WARNING,
                    errno,
                    format!("Failed to parse {}= parameter, ignoring: {}", at.key, at.value),
                ),
            },
            Kind::AbortTimeout => match span(at.value) {
                _ if at.value.is_empty() => self.service(|service| service.timeout_abort_sec = None),
                Ok(value) => self.service(|service| service.timeout_abort_sec = Some(value)),
                Err(errno) => self.log_errno(
                    at,
                    WARNING,
                    errno,
                    format!("Failed to parse {}= setting, ignoring: {}", at.key, at.value),
                ),
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
                Err(errno) => self.log_errno(
                    at,
                    WARNING,
                    errno,
                    format!("Failed to parse {}= parameter, ignoring: {}", at.key, at.value),
                ),
            },
            Kind::ExitStatusSet => self.exit_status_set(at),
            Kind::ExitStatus => {
                let value = number::unsigned(at.value).and_then(|value| u8::try_from(value).map_err(|_| Errno::ERANGE));
                if let Err(errno) = value
                    && !at.value.is_empty()
                {
                    self.log_errno(
                        at,
                        WARNING,
                        errno,
                        format!("Failed to parse exit status '{}', ignoring: {errno}", at.value),
                    );
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
            Kind::SyslogLevel => {
                if let Some(level) = self.checked(at, "log level", syslog::level(at.value)) {
                    let is_limit = at.key == "LogLevelMax";
                    self.service(|service| match is_limit {
                        true => service.syslog.level_max = Some(level),
                        false => service.syslog.level = level,
                    });
                }
            }
            Kind::SyslogFacility => {
                if let Some(facility) = self.checked(at, "log facility", syslog::facility(at.value)) {
                    self.service(|service| service.syslog.facility = facility);
                }
            }
            Kind::OomScoreAdjust => match number::signed(at.value) {
                Ok(value) if (-1000..=1000).contains(&value) => {
                    self.service(|service| service.oom_score_adjust = Some(value));
                }
                _ if at.value.is_empty() => self.service(|service| service.oom_score_adjust = None),
                Ok(_) | Err(Errno::ERANGE) => {
                    self.log_errno(
                        at,
                        WARNING,
                        Errno::ERANGE,
                        format!("OOM score adjust value out of range, ignoring: {}", at.value),
                    );
                }
                Err(errno) => {
                    let text = format!("Failed to parse the OOM score adjust value '{}', ignoring: {errno}", at.value);
                    self.log_errno(at, WARNING, errno, text);
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
            Kind::KillMode if at.value.is_empty() => self.service(|service| service.kill_mode = KillMode::default()),
            Kind::KillMode => match KillMode::from_word(at.value) {
                Some(mode) => {
                    if mode == KillMode::None {
                        let text = "Unit uses KillMode=none. This is unsafe, as it disables systemd's process lifecycle \
                                    management for the service. Please update the service to use a safer KillMode=, such \
                                    as 'mixed' or 'control-group'. Support for KillMode=none is deprecated and will \
                                    eventually be removed.";
                        self.log(at, WARNING, text.into());
                    }
                    self.service(|service| service.kill_mode = mode);
                }
                None => {
                    self.log_errno(
                        at,
                        WARNING,
                        Errno::EINVAL,
                        format!("Failed to parse kill mode specification, ignoring: {}", at.value),
                    );
                }
            },
            Kind::Listen => self.listen(at),
            Kind::DescriptorName => self.descriptor_name(at),
            Kind::SocketService => self.socket_service(at),
            Kind::SocketLinks => self.socket_links(at),
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
            ("Unit", "AllowIsolate") => unit.allow_isolate = value,
            ("Unit", "IgnoreOnIsolate") => unit.ignore_on_isolate = value,
            ("Unit", "DefaultDependencies") => unit.default_dependencies = Some(value),
            ("Socket", key) => {
                if let Some(socket) = &mut unit.socket {
                    match key {
                        "Accept" => socket.accept = value,
                        "ReusePort" => socket.reuse_port = value,
                        "RemoveOnStop" => socket.remove_on_stop = value,
                        "FlushPending" => socket.flush_pending = value,
                        "KeepAlive" => socket.keep_alive = value,
                        "NoDelay" => socket.no_delay = value,
                        _ => {}
                    }
                }
            }
            (_, key) => self.service(|service| match key {
                "RemainAfterExit" => service.remain_after_exit = value,
                "SyslogLevelPrefix" => service.syslog.level_prefix = value,
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
                        "PollLimitIntervalSec" => socket.poll_limit_interval_sec = Some(value),
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
                        "MaxConnectionsPerSource" => socket.max_connections_per_source = value,
                        "PollLimitBurst" => socket.poll_limit_burst = Some(value),
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

    fn exec_list(&mut self, section: &str, key: &str) -> Option<&mut Vec<ExecCommand>> {
        let service = self.unit.service.as_mut().filter(|_| section == "Service")?;
        Some(match key {
            "ExecCondition" => &mut service.exec_condition,
            "ExecStartPre" => &mut service.exec_start_pre,
            "ExecStart" => &mut service.exec_start,
            "ExecStartPost" => &mut service.exec_start_post,
            "ExecReload" => &mut service.exec_reload,
            "ExecReloadPost" => &mut service.exec_reload_post,
            "ExecStop" => &mut service.exec_stop,
            "ExecStopPost" => &mut service.exec_stop_post,
            _ => return None,
        })
    }
}
