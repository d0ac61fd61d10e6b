//! Settings that take one word of a list.

use crate::unit::Errno;
use crate::unit::keys::Choice;
use crate::unit::number;
use crate::unit::read::{Draft, Place};
use crate::unit::{
    CollectMode, ExitType, JobMode, NotifyAccess, OomPolicy, Preserve, Profile, Restart, RestartMode, ServiceType,
    TimeoutFailureMode,
};

impl Draft<'_> {
    pub(in crate::unit) fn chosen<T>(
        &mut self,
        at: &Place<'_>,
        choice: Choice,
        from_word: fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.checked(at, what(choice), from_word(at.value).ok_or(Errno::EINVAL))
    }

    pub(in crate::unit) fn choose(&mut self, at: &Place<'_>, choice: Choice) {
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
            Choice::JobMode => {
                if let Some(value) = self.chosen(at, choice, JobMode::from_word) {
                    match at.key {
                        "OnSuccessJobMode" => self.unit.on_success_job_mode = value,
                        _ => self.unit.on_failure_job_mode = value,
                    }
                }
            }
            Choice::PreserveMode => {
                let preserve = |word: &str| {
                    let flag = number::boolean(word).ok();
                    Preserve::from_word(word).or(flag.map(|on| if on { Preserve::Yes } else { Preserve::No }))
                };
                if let Some(value) = self.chosen(at, choice, preserve)
                    && at.key == "FileDescriptorStorePreserve"
                {
                    self.service(|service| service.file_descriptor_store_preserve = value);
                }
            }
            // Not acted on, only checked.
            Choice::ProtectSystem => self.one_of(at, choice, &["full", "strict"], true),
            Choice::ProtectHome => self.one_of(at, choice, &["read-only", "tmpfs"], true),
            Choice::KeyringMode => self.one_of(at, choice, &["inherit", "private", "shared"], false),
            Choice::ProtectProc => {
                self.one_of(at, choice, &["default", "noaccess", "invisible", "ptraceable"], false);
            }
            Choice::ProcSubset => self.one_of(at, choice, &["all", "pid"], false),
            Choice::UtmpMode => self.one_of(at, choice, &["init", "login", "user"], false),
            Choice::DevicePolicy => self.one_of(at, choice, &["auto", "closed", "strict"], false),
        }
    }

    pub(in crate::unit) fn one_of(&mut self, at: &Place<'_>, choice: Choice, words: &[&str], or_boolean: bool) {
        let good = words.contains(&at.value) || (or_boolean && number::boolean(at.value).is_ok());
        self.checked(at, what(choice), if good { Ok(()) } else { Err(Errno::EINVAL) });
    }
}

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
