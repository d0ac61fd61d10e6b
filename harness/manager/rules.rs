//! What differs between systemd's versions, as data: nothing else in the manager asks for the version.

use crate::unit::Profile;

/// The rules and words of one profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// An automatic restart is a `restart` job (logs `Stopped`), not a `start` job that restarts dependants (254).
    pub restart_job: bool,
    /// RestartSteps=, RestartMaxDelaySec=, RestartMode= and the states around an automatic restart exist (254).
    pub restart_steps: bool,
    /// A `start` during auto-restart runs at once (257).
    pub start_cuts_wait_short: bool,
    /// A refused start overrides the result of the last run (260).
    pub start_limit_result_wins: bool,
    /// A start that only has to wait, or is under way already, costs no token of the start limit (258).
    pub waiting_start_is_free: bool,
    /// RestartForceExitStatus= does not restart a oneshot that succeeded (256).
    pub force_spares_oneshot: bool,
    /// `RESTART_RESET=1` is understood (258).
    pub restart_reset: bool,
    /// FileDescriptorStorePreserve= and `systemctl clean --what=fdstore` exist (254).
    pub store_preserve: bool,
    /// A reload by signal exists (253).
    pub notify_reload: bool,
    /// How an unmet condition and a missing program are worded (257).
    pub new_words: bool,
}

impl Rules {
    /// The rules of a profile.
    pub const fn of(profile: Profile) -> Self {
        let v257 = matches!(profile, Profile::V257 | Profile::V260);
        let v260 = matches!(profile, Profile::V260);
        Self {
            restart_job: !v257,
            restart_steps: v257,
            start_cuts_wait_short: v257,
            start_limit_result_wins: v260,
            waiting_start_is_free: v260,
            force_spares_oneshot: v257,
            restart_reset: v260,
            store_preserve: v257,
            notify_reload: v257,
            new_words: v257,
        }
    }
}
