//! What systemd adds and refuses once all files of a unit are read (SPEC 1.6, `defaults.json`).

use super::keys;
use super::name::UnitType;
use super::read::Draft;
use super::{
    EmergencyAction, ExitType, JobMode, KillMode, LoadState, NotifyAccess, OomPolicy, Profile, Restart, Service,
    ServiceType, Unit,
};
use crate::time::Span;

impl Draft<'_> {
    /// Applies the defaults that depend on other settings, then the rules.
    pub(super) fn finish(mut self) -> Unit {
        self.unit.load_state = LoadState::Loaded;
        let refused = match self.kind {
            UnitType::Service => {
                self.service_defaults();
                self.service_rules()
            }
            UnitType::Socket => self.socket_rules(),
            _ => None,
        };
        let isolates = self.unit.on_failure_job_mode == JobMode::Isolate && self.unit.on_failure.len() > 1;
        let refused = refused.or(isolates
            .then_some("More than one OnFailure= dependencies specified but OnFailureJobMode=isolate set. Refusing."));
        if let Some(text) = refused {
            self.log_unit(3, None, text);
            self.refuse_load();
        }
        self.unit
    }

    fn service_defaults(&mut self) {
        let Some(service) = &mut self.unit.service else { return };
        service.service_type = self.service_type.unwrap_or(if service.bus_name.is_some() {
            ServiceType::Dbus
        } else if !service.exec_start.is_empty() {
            ServiceType::Simple
        } else {
            ServiceType::Oneshot
        });
        if service.service_type == ServiceType::Oneshot && !self.start_timeout_defined {
            service.timeout_start_sec = Span::INFINITY;
        }
        let notifies = matches!(service.service_type, ServiceType::Notify | ServiceType::NotifyReload)
            || !service.watchdog_sec.is_zero()
            || service.file_descriptor_store_max > 0;
        if service.notify_access == NotifyAccess::None && notifies {
            service.notify_access = NotifyAccess::Main;
        }
        service.oom_policy =
            self.oom_policy.unwrap_or(if self.delegate { OomPolicy::Continue } else { OomPolicy::Stop });
        // Both streams inherit nothing from /dev/null: they go where output goes by default.
        let bidirectional = ["tty", "socket", "fd"].iter().any(|kind| service.standard_input.starts_with(kind));
        if !bidirectional && service.standard_output == "inherit" {
            service.standard_output = "journal".into();
        }
    }

    /// The first rule a service breaks; warnings on the way.
    fn service_rules(&mut self) -> Option<&'static str> {
        let service = self.unit.service.as_ref()?;
        if let Some(text) = refusal(service, self.unit.success_action, self.profile) {
            return Some(text);
        }
        let mut warnings = Vec::new();
        if self.usb_descriptors && !self.usb_strings {
            warnings.push("Service has USBFunctionDescriptors= setting, but no USBFunctionStrings=. Ignoring.");
        }
        if !self.usb_descriptors && self.usb_strings {
            warnings.push("Service has USBFunctionStrings= setting, but no USBFunctionDescriptors=. Ignoring.");
        }
        if !service.runtime_max_sec.is_infinite() && service.service_type == ServiceType::Oneshot {
            warnings.push("RuntimeMaxSec= has no effect in combination with Type=oneshot. Ignoring.");
        }
        if service.runtime_max_sec.is_infinite() && !service.runtime_randomized_extra_sec.is_zero() {
            warnings.push("Service has RuntimeRandomizedExtraSec= setting, but no RuntimeMaxSec=. Ignoring.");
        }
        let max = service.restart_max_delay_sec;
        let mut capped = false;
        if keys::lookup("Service", "RestartSteps", self.profile).is_some() {
            if max.is_infinite() && service.restart_steps > 0 {
                warnings.push("Service has RestartSteps= but no RestartMaxDelaySec= setting. Ignoring.");
            }
            if !max.is_infinite() && service.restart_steps == 0 {
                warnings.push("Service has RestartMaxDelaySec= but no RestartSteps= setting. Ignoring.");
            }
            capped = max < service.restart_sec;
            if capped {
                warnings.push(
                    "RestartMaxDelaySec= has a value smaller than RestartSec=, resetting RestartSec= to RestartMaxDelaySec=.",
                );
            }
        }
        if capped {
            self.service(|service| service.restart_sec = max);
        }
        for text in warnings {
            self.log_unit(4, None, text);
        }
        None
    }

    fn socket_rules(&self) -> Option<&'static str> {
        let socket = self.unit.socket.as_ref()?;
        if socket.listen.is_empty() {
            return Some("Unit has no Listen setting (ListenStream=, ListenDatagram=, ListenFIFO=, ...). Refusing.");
        }
        if socket.accept && socket.listen.iter().any(|listen| !listen.kind.accepts()) {
            return Some("Unit configured for accepting sockets, but sockets are non-accepting. Refusing.");
        }
        if socket.accept && socket.max_connections == Some(0) {
            return Some("MaxConnection= setting too small. Refusing.");
        }
        if socket.accept && socket.service.is_some() {
            return Some("Explicit service configuration for accepting socket units not supported. Refusing.");
        }
        let in_file_system = socket.listen.iter().filter(|listen| listen.node().is_some()).count();
        if !socket.symlinks.is_empty() && in_file_system != 1 {
            return Some("Unit has symlinks set but none or more than one node in the file system. Refusing.");
        }
        None
    }
}

/// Why a service cannot be used at all, in the order systemd asks.
fn refusal(service: &Service, success: EmergencyAction, profile: Profile) -> Option<&'static str> {
    let oneshot = service.service_type == ServiceType::Oneshot;
    let no_start = service.exec_start.is_empty();
    let no_action = success == EmergencyAction::None;
    if no_start && service.exec_stop.is_empty() && no_action {
        return Some("Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.");
    }
    if !oneshot && no_start {
        return Some("Service has no ExecStart= setting, which is only allowed for Type=oneshot services. Refusing.");
    }
    if !service.remain_after_exit && no_start && no_action {
        return Some(
            "Service has no ExecStart= and no SuccessAction= settings and does not have RemainAfterExit=yes set. Refusing.",
        );
    }
    if !oneshot && service.exec_start.len() > 1 {
        return Some(
            "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services. Refusing.",
        );
    }
    if oneshot && matches!(service.restart, Restart::Always | Restart::OnSuccess) {
        return Some(
            "Service has Restart= set to either always or on-success, which isn't allowed for Type=oneshot services. \
             Refusing.",
        );
    }
    // Allowed since 256.
    if oneshot && !service.restart_force_exit_status.is_empty() && profile < Profile::V257 {
        return Some(
            "Service has RestartForceExitStatus= set, which isn't allowed for Type=oneshot services. Refusing.",
        );
    }
    if oneshot && service.exit_type == ExitType::Cgroup {
        return Some("Service has ExitType=cgroup set, which isn't allowed for Type=oneshot services. Refusing.");
    }
    if service.service_type == ServiceType::Dbus && service.bus_name.is_none() {
        return Some("Service is of type D-Bus but no D-Bus service name has been specified. Refusing.");
    }
    let spares_children = !matches!(service.kill_mode, KillMode::ControlGroup | KillMode::Mixed);
    if service.pam_name.is_some() && spares_children && profile < Profile::V257 {
        return Some("Service has PAM enabled. Kill mode must be set to 'control-group' or 'mixed'. Refusing.");
    }
    None
}
