//! A unit back into text: what [`Unit::parse`] makes the same settings of.

use std::fmt::{Display, Write as _};

use super::lines::is_character;
use super::number::BLANKS;
use super::path;
use super::signal;
use super::{
    Condition, EmergencyAction, ExecCommand, ExitStatusSet, JobMode, Listen, NotifyAccess, OomPolicy, Profile, Service,
    ServiceType, Socket, Syslog, Unit,
};
use crate::time::Span;

impl Unit {
    /// The unit as one file that gives the same settings when it is read by the same version under the same name.
    ///
    /// Only settings the harness knows by value are printed; what it reads and does not act on is left out, and so are
    /// comments. Relations found on disk (`wanted_by`, aliases, drop-ins) are not settings of the file.
    pub fn to_text(&self) -> String {
        let mut out = Text::default();
        self.unit_section(&mut out);
        if let Some(service) = &self.service {
            out.section("Service");
            service_section(service, self.profile, &mut out);
            // [Unit] takes ASCII only; its old place takes anything.
            out.text("RebootArgument", &self.reboot_argument.clone().filter(|text| !text.is_ascii()));
        }
        if let Some(socket) = &self.socket {
            out.section("Socket");
            socket_section(socket, &mut out);
        }
        let install = &self.install;
        out.section("Install");
        for (key, list) in [
            ("WantedBy", &install.wanted_by),
            ("RequiredBy", &install.required_by),
            ("UpheldBy", &install.upheld_by),
            ("Alias", &install.alias),
            ("Also", &install.also),
        ] {
            list.iter().for_each(|word| out.line(key, quote_plain(word)));
        }
        out.option("DefaultInstance", &install.default_instance);
        if out.done.is_empty() {
            // An empty file masks the unit; one without settings does not.
            return "[Unit]\n".into();
        }
        out.done
    }

    fn unit_section(&self, out: &mut Text) {
        out.section("Unit");
        out.text("Description", &self.description);
        for url in &self.documentation {
            out.line("Documentation", quote_plain(&doubled(url)));
        }
        for (key, list) in [
            ("Requires", &self.requires),
            ("Requisite", &self.requisite),
            ("Wants", &self.wants),
            ("BindsTo", &self.binds_to),
            ("PartOf", &self.part_of),
            ("Upholds", &self.upholds),
            ("Conflicts", &self.conflicts),
            ("Before", &self.before),
            ("After", &self.after),
            ("OnFailure", &self.on_failure),
            ("OnSuccess", &self.on_success),
            ("PropagatesReloadTo", &self.propagates_reload_to),
            ("ReloadPropagatedFrom", &self.reload_propagated_from),
            ("PropagatesStopTo", &self.propagates_stop_to),
            ("StopPropagatedFrom", &self.stop_propagated_from),
            ("JoinsNamespaceOf", &self.joins_namespace_of),
        ] {
            if !list.is_empty() {
                out.line(key, list.join(" "));
            }
        }
        if let Some(value) = self.default_dependencies {
            out.flag("DefaultDependencies", value, !value);
        }
        for condition in self.conditions.iter().chain(&self.asserts) {
            let Condition { key, negate, trigger, parameter } = condition;
            let trigger = if *trigger { "|" } else { "" };
            let negate = if *negate { "!" } else { "" };
            // Nothing at all would reset the list, and its first character is not to be taken for a prefix.
            let hold = parameter.is_empty() || parameter.starts_with(['|', '!']);
            let parameter = format!("{}{}", if hold { "%A" } else { "" }, literal(parameter));
            out.line(key, format!("{trigger}{negate}{parameter}"));
        }
        out.span("StartLimitIntervalSec", self.start_limit_interval_sec);
        out.option("StartLimitBurst", &self.start_limit_burst);
        out.unless("StartLimitAction", self.start_limit_action, EmergencyAction::None);
        out.unless("FailureAction", self.failure_action, EmergencyAction::None);
        out.unless("SuccessAction", self.success_action, EmergencyAction::None);
        out.text("RebootArgument", &self.reboot_argument.clone().filter(|text| text.is_ascii()));
        out.flag("RefuseManualStart", self.refuse_manual_start, false);
        out.flag("RefuseManualStop", self.refuse_manual_stop, false);
        out.flag("AllowIsolate", self.allow_isolate, false);
        out.flag("IgnoreOnIsolate", self.ignore_on_isolate, false);
        out.unless("OnSuccessJobMode", self.on_success_job_mode, JobMode::Fail);
        out.unless("OnFailureJobMode", self.on_failure_job_mode, JobMode::Replace);
        out.flag("StopWhenUnneeded", self.stop_when_unneeded, false);
        out.unless("CollectMode", self.collect_mode, Default::default());
        // The order matters: the first sets the second as long as that was not set itself.
        out.span("JobTimeoutSec", (!self.job_timeout_sec.is_infinite()).then_some(self.job_timeout_sec));
        if self.job_running_timeout_sec != self.job_timeout_sec {
            out.span("JobRunningTimeoutSec", Some(self.job_running_timeout_sec));
        }
    }
}

fn service_section(service: &Service, profile: Profile, out: &mut Text) {
    let usual = Service::default();
    out.line("Type", service.service_type);
    out.unless("ExitType", service.exit_type, usual.exit_type);
    for (key, list) in [
        ("ExecCondition", &service.exec_condition),
        ("ExecStartPre", &service.exec_start_pre),
        ("ExecStart", &service.exec_start),
        ("ExecStartPost", &service.exec_start_post),
        ("ExecReload", &service.exec_reload),
        ("ExecReloadPost", &service.exec_reload_post),
        ("ExecStop", &service.exec_stop),
        ("ExecStopPost", &service.exec_stop_post),
    ] {
        list.iter().for_each(|command| out.line(key, command_line(command)));
    }
    out.unless("Restart", service.restart, usual.restart);
    out.span_unless("RestartSec", service.restart_sec, usual.restart_sec);
    if profile >= Profile::V257 {
        out.unless("RestartMode", service.restart_mode, usual.restart_mode);
        out.unless("RestartSteps", service.restart_steps, usual.restart_steps);
        out.span_unless("RestartMaxDelaySec", service.restart_max_delay_sec, usual.restart_max_delay_sec);
        out.unless("ReloadSignal", service.reload_signal, usual.reload_signal);
    }
    // A oneshot has no start timeout of its own.
    let start = if service.service_type == ServiceType::Oneshot { Span::INFINITY } else { usual.timeout_start_sec };
    out.span_unless("TimeoutStartSec", service.timeout_start_sec, start);
    out.span_unless("TimeoutStopSec", service.timeout_stop_sec, usual.timeout_stop_sec);
    out.span("TimeoutAbortSec", service.timeout_abort_sec);
    out.unless("TimeoutStartFailureMode", service.timeout_start_failure_mode, usual.timeout_start_failure_mode);
    out.unless("TimeoutStopFailureMode", service.timeout_stop_failure_mode, usual.timeout_stop_failure_mode);
    out.span_unless("RuntimeMaxSec", service.runtime_max_sec, usual.runtime_max_sec);
    let extra = service.runtime_randomized_extra_sec;
    out.span_unless("RuntimeRandomizedExtraSec", extra, usual.runtime_randomized_extra_sec);
    out.span_unless("WatchdogSec", service.watchdog_sec, usual.watchdog_sec);
    out.flag("RemainAfterExit", service.remain_after_exit, usual.remain_after_exit);
    out.flag("GuessMainPID", service.guess_main_pid, usual.guess_main_pid);
    out.flag("RootDirectoryStartOnly", service.root_directory_start_only, usual.root_directory_start_only);
    out.flag("PermissionsStartOnly", service.permissions_start_only, usual.permissions_start_only);
    out.flag("NonBlocking", service.non_blocking, usual.non_blocking);
    out.unless("NotifyAccess", service.notify_access, NotifyAccess::None);
    out.text("PIDFile", &service.pid_file);
    out.text("BusName", &service.bus_name);
    for (key, set) in [
        ("SuccessExitStatus", &service.success_exit_status),
        ("RestartPreventExitStatus", &service.restart_prevent_exit_status),
        ("RestartForceExitStatus", &service.restart_force_exit_status),
    ] {
        if !set.is_empty() {
            out.line(key, statuses(set));
        }
    }
    out.unless("KillMode", service.kill_mode, usual.kill_mode);
    out.unless("KillSignal", service.kill_signal, usual.kill_signal);
    out.option("RestartKillSignal", &service.restart_kill_signal);
    out.unless("FinalKillSignal", service.final_kill_signal, usual.final_kill_signal);
    out.unless("WatchdogSignal", service.watchdog_signal, usual.watchdog_signal);
    out.flag("SendSIGKILL", service.send_sigkill, usual.send_sigkill);
    out.flag("SendSIGHUP", service.send_sighup, usual.send_sighup);
    out.unless("OOMPolicy", service.oom_policy, OomPolicy::Stop);
    out.text("User", &service.user);
    out.text("Group", &service.group);
    let dash = if service.working_directory_missing_ok { "-" } else { "" };
    match &service.working_directory {
        _ if service.working_directory_home => out.line("WorkingDirectory", format!("{dash}~")),
        Some(directory) => out.line("WorkingDirectory", format!("{dash}{}", literal(directory))),
        // Once set and reset, the dash stays behind.
        None if service.working_directory_missing_ok => {
            out.line("WorkingDirectory", "-/");
            out.line("WorkingDirectory", "");
        }
        None => {}
    }
    for (name, value) in &service.environment {
        out.line("Environment", quote_escaped(&format!("{name}={value}")));
    }
    for (file, missing_ok) in &service.environment_file {
        out.line("EnvironmentFile", format!("{}{}", if *missing_ok { "-" } else { "" }, literal(file)));
    }
    for (key, list) in
        [("PassEnvironment", &service.pass_environment), ("UnsetEnvironment", &service.unset_environment)]
    {
        list.iter().for_each(|word| out.line(key, quote_escaped(word)));
    }
    if service.umask != usual.umask {
        out.line("UMask", format!("{:04o}", service.umask));
    }
    out.unless("Nice", service.nice, usual.nice);
    out.option("OOMScoreAdjust", &service.oom_score_adjust);
    for (key, (soft, hard)) in &service.limits {
        let print = |value: u64| if value == u64::MAX { "infinity".to_owned() } else { value.to_string() };
        out.line(key, format!("{}:{}", print(*soft), print(*hard)));
    }
    for (key, value, usual) in [
        ("StandardInput", &service.standard_input, &usual.standard_input),
        ("StandardOutput", &service.standard_output, &usual.standard_output),
        ("StandardError", &service.standard_error, &usual.standard_error),
    ] {
        if value != usual {
            out.line(key, literal(value));
        }
    }
    out.text("SyslogIdentifier", &service.syslog_identifier);
    let Syslog { level, facility, level_prefix, level_max } = service.syslog;
    out.unless("SyslogLevel", level, usual.syslog.level);
    out.unless("SyslogFacility", facility, usual.syslog.facility);
    out.flag("SyslogLevelPrefix", level_prefix, usual.syslog.level_prefix);
    out.option("LogLevelMax", &level_max);
    out.text("PAMName", &service.pam_name);
    out.flag("IgnoreSIGPIPE", service.ignore_sigpipe, usual.ignore_sigpipe);
    if !service.sockets.is_empty() {
        out.line(
            "Sockets",
            service.sockets.iter().map(|name| name.replace('\\', "\\\\")).collect::<Vec<_>>().join(" "),
        );
    }
    out.unless("FileDescriptorStoreMax", service.file_descriptor_store_max, usual.file_descriptor_store_max);
    let preserve = service.file_descriptor_store_preserve;
    out.unless("FileDescriptorStorePreserve", preserve, usual.file_descriptor_store_preserve);
    out.option("Slice", &service.slice);
}

fn socket_section(socket: &Socket, out: &mut Text) {
    for Listen { kind, address } in &socket.listen {
        out.line(&format!("Listen{}", kind.as_str()), literal(address));
    }
    out.flag("Accept", socket.accept, false);
    out.option("Service", &socket.service);
    out.text("FileDescriptorName", &socket.file_descriptor_name);
    out.flag("ReusePort", socket.reuse_port, false);
    if let Some(only) = socket.bind_ipv6_only {
        out.line("BindIPv6Only", if only { "ipv6-only" } else { "both" });
    }
    out.option("Backlog", &socket.backlog);
    out.option("MaxConnections", &socket.max_connections);
    out.span("TriggerLimitIntervalSec", socket.trigger_limit_interval_sec);
    out.option("TriggerLimitBurst", &socket.trigger_limit_burst);
    out.span("TimeoutSec", socket.timeout_sec);
    out.flag("RemoveOnStop", socket.remove_on_stop, false);
    out.unless("MaxConnectionsPerSource", socket.max_connections_per_source, 0);
    for path in &socket.symlinks {
        out.line("Symlinks", quote_escaped(path));
    }
    for (key, mode) in [("SocketMode", socket.socket_mode), ("DirectoryMode", socket.directory_mode)] {
        if let Some(mode) = mode {
            out.line(key, format_args!("{mode:04o}"));
        }
    }
    out.flag("FlushPending", socket.flush_pending, false);
    out.flag("KeepAlive", socket.keep_alive, false);
    out.flag("NoDelay", socket.no_delay, false);
    out.span("PollLimitIntervalSec", socket.poll_limit_interval_sec);
    out.option("PollLimitBurst", &socket.poll_limit_burst);
}

/// The text as it grows; a section that gets no lines leaves no header.
#[derive(Default)]
struct Text {
    done: String,
    section: Option<&'static str>,
}

impl Text {
    fn section(&mut self, name: &'static str) {
        self.section = Some(name);
    }

    fn line(&mut self, key: &str, value: impl Display) {
        if let Some(name) = self.section.take() {
            let blank = if self.done.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(self.done, "{blank}[{name}]");
        }
        let _ = write!(self.done, "{key}={value}");
        // A blank keeps a backslash from continuing the line, and is no part of the value.
        self.done.push_str(if self.done.ends_with('\\') { " \n" } else { "\n" });
    }

    fn option<T: Display>(&mut self, key: &str, value: &Option<T>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }

    /// A string in which specifiers would be expanded.
    fn text(&mut self, key: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.line(key, literal(value));
        }
    }

    fn unless<T: Display + PartialEq>(&mut self, key: &str, value: T, usual: T) {
        if value != usual {
            self.line(key, value);
        }
    }

    fn flag(&mut self, key: &str, value: bool, usual: bool) {
        if value != usual {
            self.line(key, if value { "yes" } else { "no" });
        }
    }

    fn span(&mut self, key: &str, value: Option<Span>) {
        if let Some(value) = value {
            self.line(key, exact(value));
        }
    }

    fn span_unless(&mut self, key: &str, value: Span, usual: Span) {
        self.span(key, (value != usual).then_some(value));
    }
}

/// To the microsecond, and in whole seconds where that is the same.
fn exact(span: Span) -> String {
    match span.as_micros() {
        _ if span.is_infinite() => "infinity".into(),
        micros if micros % 1_000_000 == 0 => format!("{}s", micros / 1_000_000),
        micros if micros % 1_000 == 0 => format!("{}ms", micros / 1_000),
        micros => format!("{micros}us"),
    }
}

/// Without specifiers.
fn doubled(text: &str) -> String {
    text.replace('%', "%%")
}

/// A whole value without specifiers. Blanks at its ends are held by a specifier that stands for nothing.
fn literal(text: &str) -> String {
    let before = if text.starts_with(BLANKS) { "%A" } else { "" };
    let after = if text.ends_with(BLANKS) { "%A" } else { "" };
    format!("{before}{}{after}", doubled(text))
}

/// Signals by name: their numbers would be exit codes.
fn statuses(set: &ExitStatusSet) -> String {
    let codes = set.codes.iter().map(u8::to_string);
    let signals = set.signals.iter().map(|number| signal::name(*number));
    codes.chain(signals).collect::<Vec<_>>().join(" ")
}

fn command_line(command: &ExecCommand) -> String {
    let argv0 = command.argv.first().map_or("", String::as_str);
    // What is no program's name may still be an argument's.
    let names_it = argv0 == command.path
        || argv0.starts_with('/')
            && path::is_valid(argv0)
            && !matches!(argv0.rsplit('/').next(), Some("" | "." | ".."));
    let separate = !names_it || path::simplify(argv0) != command.path;
    let path = match separate {
        // 252 takes the root with a dot for a program, but not without.
        true if command.path == "/" => "/.",
        true => &command.path,
        false => argv0,
    };
    let mut program = String::new();
    program.push_str(if command.ignore_failure { "-" } else { "" });
    program.push_str(if separate { "@" } else { "" });
    program.push_str(if command.no_env_expand { ":" } else { "" });
    program.push_str(command.privileges);
    program.push_str(if command.via_shell { "|" } else { "" });
    // A name that looks like a prefix or a separator came out of specifiers, and goes behind one that stands for nothing.
    program.push_str(if path == ";" || path.starts_with(['-', '@', ':', '+', '!', '|']) { "%A" } else { "" });
    program.push_str(&doubled(path));
    let mut words = vec![quote_doubled(program)];
    let arguments = command.argv.iter().skip(usize::from(!separate));
    words.extend(arguments.map(|word| quote_escaped(word)));
    words.join(" ")
}

/// A word for the splitter that knows quotes and C escapes, without specifiers.
fn quote_escaped(word: &str) -> String {
    quote_doubled(doubled(word))
}

/// The same for a word whose specifiers are meant.
fn quote_doubled(text: String) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@,!$|{}[]()<>&*?^~#".contains(c);
    // A comment sign cannot start a line here, but nothing is lost by not tempting anybody.
    if !text.is_empty() && text.chars().all(|c| plain(c) || c == '%') {
        return text;
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if !is_character(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A word for the splitter that knows quotes but takes backslashes as they are.
fn quote_plain(word: &str) -> String {
    let special = |c: char| matches!(c, ' ' | '\t' | '"' | '\'' | '\\');
    if !word.is_empty() && !word.contains(special) {
        return word.to_owned();
    }
    // A quote of one kind goes between quotes of the other.
    let parts: Vec<String> = word.split('"').map(|part| format!("\"{part}\"")).collect();
    parts.join("'\"'")
}
