//! The states and results of units, by systemd's own names (`service_states.json`).

/// `ActiveState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the state of the same name")]
pub enum ActiveState {
    Active,
    Reloading,
    #[default]
    Inactive,
    Failed,
    Activating,
    Deactivating,
    Maintenance,
    Refreshing,
}

impl ActiveState {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            ActiveState::Active => "active",
            ActiveState::Reloading => "reloading",
            ActiveState::Inactive => "inactive",
            ActiveState::Failed => "failed",
            ActiveState::Activating => "activating",
            ActiveState::Deactivating => "deactivating",
            ActiveState::Maintenance => "maintenance",
            ActiveState::Refreshing => "refreshing",
        }
    }

    /// Active, or reloading or refreshing, which is active too.
    pub const fn is_up(self) -> bool {
        matches!(self, ActiveState::Active | ActiveState::Reloading | ActiveState::Refreshing)
    }

    /// Inactive or failed.
    pub const fn is_down(self) -> bool {
        matches!(self, ActiveState::Inactive | ActiveState::Failed)
    }

    /// Up, or on its way.
    pub(super) const fn is_up_or_coming(self) -> bool {
        self.is_up() || matches!(self, ActiveState::Activating)
    }

    /// Down, or on its way.
    pub(super) const fn is_down_or_going(self) -> bool {
        matches!(self, ActiveState::Inactive | ActiveState::Failed | ActiveState::Deactivating)
    }
}

/// `SubState` of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the state of the same name")]
pub enum ServiceState {
    #[default]
    Dead,
    Condition,
    StartPre,
    Start,
    StartPost,
    Running,
    Exited,
    Reload,
    ReloadSignal,
    ReloadNotify,
    ReloadPost,
    RefreshExtensions,
    RefreshCredentials,
    Mounting,
    Stop,
    StopWatchdog,
    StopSigterm,
    StopSigkill,
    StopPost,
    FinalWatchdog,
    FinalSigterm,
    FinalSigkill,
    Failed,
    DeadBeforeAutoRestart,
    FailedBeforeAutoRestart,
    DeadResourcesPinned,
    AutoRestart,
    AutoRestartQueued,
    Cleaning,
}

impl ServiceState {
    /// All states.
    pub const ALL: &'static [ServiceState] = &[
        ServiceState::Dead,
        ServiceState::Condition,
        ServiceState::StartPre,
        ServiceState::Start,
        ServiceState::StartPost,
        ServiceState::Running,
        ServiceState::Exited,
        ServiceState::Reload,
        ServiceState::ReloadSignal,
        ServiceState::ReloadNotify,
        ServiceState::ReloadPost,
        ServiceState::RefreshExtensions,
        ServiceState::RefreshCredentials,
        ServiceState::Mounting,
        ServiceState::Stop,
        ServiceState::StopWatchdog,
        ServiceState::StopSigterm,
        ServiceState::StopSigkill,
        ServiceState::StopPost,
        ServiceState::FinalWatchdog,
        ServiceState::FinalSigterm,
        ServiceState::FinalSigkill,
        ServiceState::Failed,
        ServiceState::DeadBeforeAutoRestart,
        ServiceState::FailedBeforeAutoRestart,
        ServiceState::DeadResourcesPinned,
        ServiceState::AutoRestart,
        ServiceState::AutoRestartQueued,
        ServiceState::Cleaning,
    ];

    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServiceState::Dead => "dead",
            ServiceState::Condition => "condition",
            ServiceState::StartPre => "start-pre",
            ServiceState::Start => "start",
            ServiceState::StartPost => "start-post",
            ServiceState::Running => "running",
            ServiceState::Exited => "exited",
            ServiceState::Reload => "reload",
            ServiceState::ReloadSignal => "reload-signal",
            ServiceState::ReloadNotify => "reload-notify",
            ServiceState::ReloadPost => "reload-post",
            ServiceState::RefreshExtensions => "refresh-extensions",
            ServiceState::RefreshCredentials => "refresh-credentials",
            ServiceState::Mounting => "mounting",
            ServiceState::Stop => "stop",
            ServiceState::StopWatchdog => "stop-watchdog",
            ServiceState::StopSigterm => "stop-sigterm",
            ServiceState::StopSigkill => "stop-sigkill",
            ServiceState::StopPost => "stop-post",
            ServiceState::FinalWatchdog => "final-watchdog",
            ServiceState::FinalSigterm => "final-sigterm",
            ServiceState::FinalSigkill => "final-sigkill",
            ServiceState::Failed => "failed",
            ServiceState::DeadBeforeAutoRestart => "dead-before-auto-restart",
            ServiceState::FailedBeforeAutoRestart => "failed-before-auto-restart",
            ServiceState::DeadResourcesPinned => "dead-resources-pinned",
            ServiceState::AutoRestart => "auto-restart",
            ServiceState::AutoRestartQueued => "auto-restart-queued",
            ServiceState::Cleaning => "cleaning",
        }
    }

    /// The `ActiveState` that goes with it; a service of Type=idle counts as active in every start phase.
    pub const fn active(self, idle: bool) -> ActiveState {
        match self {
            ServiceState::Dead | ServiceState::DeadBeforeAutoRestart | ServiceState::DeadResourcesPinned => {
                ActiveState::Inactive
            }
            ServiceState::Condition | ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => {
                if idle { ActiveState::Active } else { ActiveState::Activating }
            }
            ServiceState::Running | ServiceState::Exited => ActiveState::Active,
            ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify
            | ServiceState::ReloadPost => ActiveState::Reloading,
            ServiceState::RefreshExtensions | ServiceState::RefreshCredentials | ServiceState::Mounting => {
                ActiveState::Refreshing
            }
            ServiceState::Cleaning => ActiveState::Maintenance,
            ServiceState::Failed | ServiceState::FailedBeforeAutoRestart => ActiveState::Failed,
            ServiceState::AutoRestart | ServiceState::AutoRestartQueued => ActiveState::Activating,
            _ => ActiveState::Deactivating,
        }
    }

    /// One of the states between the decision to stop and its end.
    pub(super) const fn is_stopping(self) -> bool {
        matches!(self.active(false), ActiveState::Deactivating)
    }

    /// One of the states in which a start timeout runs.
    pub(super) const fn is_starting(self) -> bool {
        matches!(self, ServiceState::Condition | ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost)
    }

    /// One of the states of a reload.
    pub(super) const fn is_reloading(self) -> bool {
        matches!(self.active(false), ActiveState::Reloading)
    }
}

/// `Result` of a service (systemd.service(5), systemd.exec(5) on `$SERVICE_RESULT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the result of the same name")]
pub enum ServiceResult {
    #[default]
    Success,
    Resources,
    Protocol,
    Timeout,
    ExitCode,
    Signal,
    CoreDump,
    Watchdog,
    StartLimitHit,
    OomKill,
    ExecCondition,
}

impl ServiceResult {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServiceResult::Success => "success",
            ServiceResult::Resources => "resources",
            ServiceResult::Protocol => "protocol",
            ServiceResult::Timeout => "timeout",
            ServiceResult::ExitCode => "exit-code",
            ServiceResult::Signal => "signal",
            ServiceResult::CoreDump => "core-dump",
            ServiceResult::Watchdog => "watchdog",
            ServiceResult::StartLimitHit => "start-limit-hit",
            ServiceResult::OomKill => "oom-kill",
            ServiceResult::ExecCondition => "exec-condition",
        }
    }
}

/// `SubState` of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the state of the same name")]
pub enum SocketState {
    #[default]
    Dead,
    Listening,
    Running,
    Failed,
}

impl SocketState {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            SocketState::Dead => "dead",
            SocketState::Listening => "listening",
            SocketState::Running => "running",
            SocketState::Failed => "failed",
        }
    }

    /// The `ActiveState` that goes with it.
    pub const fn active(self) -> ActiveState {
        match self {
            SocketState::Dead => ActiveState::Inactive,
            SocketState::Listening | SocketState::Running => ActiveState::Active,
            SocketState::Failed => ActiveState::Failed,
        }
    }
}

/// `Result` of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the result of the same name")]
pub enum SocketResult {
    #[default]
    Success,
    Resources,
    TriggerLimitHit,
    ServiceStartLimitHit,
}

impl SocketResult {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            SocketResult::Success => "success",
            SocketResult::Resources => "resources",
            SocketResult::TriggerLimitHit => "trigger-limit-hit",
            SocketResult::ServiceStartLimitHit => "service-start-limit-hit",
        }
    }
}
