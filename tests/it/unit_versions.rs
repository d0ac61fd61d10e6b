//! Where versions differ: words, keys and rules of 252, 257 and 260.

use relapse::unit::{LoadState, Profile, RestartMode, ServiceType, Unit, key_since, known_keys};

use crate::unit::report;

fn service(profile: Profile, lines: &str) -> Unit {
    Unit::parse("x.service", format!("[Service]\nExecStart=/bin/true\n{lines}\n"), profile)
}

fn texts(unit: &Unit) -> Vec<String> {
    unit.warnings.iter().map(|warning| warning.text.clone()).collect()
}

#[test]
fn a_value_that_cannot_be_parsed_is_named_by_its_type_in_252_and_by_its_key_in_257() {
    let rows = [
        ("Restart=Always", "service restart specifier, ignoring: Always", "Restart=Always, ignoring: Invalid argument"),
        ("Restart=", "service restart specifier, ignoring: ", "Restart=, ignoring: Invalid argument"),
        ("RestartSec=soon", "sec value, ignoring: soon", "RestartSec=soon, ignoring: Invalid argument"),
        ("TimeoutStopSec=soon", "time value, ignoring: soon", "TimeoutStopSec=soon, ignoring: Invalid argument"),
        ("Type=daemon", "service type, ignoring: daemon", "Type=daemon, ignoring: Invalid argument"),
        ("SendSIGKILL=maybe", "boolean value, ignoring: maybe", "SendSIGKILL=maybe, ignoring: Invalid argument"),
        (
            "StartLimitBurst=3 # c",
            "unsigned value, ignoring: 3 # c",
            "StartLimitBurst=3 # c, ignoring: Invalid argument",
        ),
        (
            "StartLimitBurst=-1",
            "unsigned value, ignoring: -1",
            "StartLimitBurst=-1, ignoring: Numerical result out of range",
        ),
        ("KillSignal=SIGFOO", "signal name, ignoring: SIGFOO", "KillSignal=SIGFOO, ignoring: Invalid argument"),
        ("KillSignal=9000", "signal name, ignoring: 9000", "KillSignal=9000, ignoring: Numerical result out of range"),
        ("UMask=999", "mode value, ignoring: 999", "UMask=999, ignoring: Invalid argument"),
        ("LimitNOFILE=lots", "resource value, ignoring: lots", "LimitNOFILE=lots, ignoring: Invalid argument"),
        (
            "NotifyAccess=some",
            "notify access specifier, ignoring: some",
            "NotifyAccess=some, ignoring: Invalid argument",
        ),
        ("OOMPolicy=cry", "OOM policy, ignoring: cry", "OOMPolicy=cry, ignoring: Invalid argument"),
        // These kept texts of their own.
        ("KillMode=all", "kill mode specification, ignoring: all", "kill mode specification, ignoring: all"),
        ("TimeoutSec=soon", "TimeoutSec= parameter, ignoring: soon", "TimeoutSec= parameter, ignoring: soon"),
        (
            "TimeoutAbortSec=soon",
            "TimeoutAbortSec= setting, ignoring: soon",
            "TimeoutAbortSec= setting, ignoring: soon",
        ),
        ("StandardOutput=console", "output specifier, ignoring: console", "output specifier, ignoring: console"),
        ("SuccessExitStatus=one", "value, ignoring: one", "value, ignoring: one"),
        ("StartLimitAction=cry", "StartLimitAction=, ignoring: cry", "StartLimitAction=, ignoring: cry"),
    ];
    let mut failures = Vec::new();
    for (line, old, new) in rows {
        for (profile, wanted) in [(Profile::V252, old), (Profile::V257, new), (Profile::V260, new)] {
            let unit = service(profile, line);
            let wanted = [format!("Failed to parse {wanted}")];
            if texts(&unit) != wanted || unit.load_state != LoadState::Loaded {
                failures.push(format!("{line} on {profile:?}: wanted {wanted:?}, got {:?}", texts(&unit)));
            }
        }
    }
    report(&failures, rows.len());
}

#[test]
fn a_truth_value_that_must_be_right_makes_the_unit_unusable_in_either_wording() {
    for (profile, text) in [
        (Profile::V252, "Failed to parse boolean value: maybe"),
        (Profile::V257, "Failed to parse DynamicUser=maybe: Invalid argument"),
    ] {
        let unit = service(profile, "DynamicUser=maybe");
        assert_eq!(unit.load_state, LoadState::BadSetting);
        assert_eq!(texts(&unit), [text, "Unit configuration has fatal error, unit will not be started."]);
    }
}

#[test]
fn the_growing_restart_delay_is_read_from_254_on_and_unknown_before() {
    let lines = "RestartSec=300ms\nRestartSteps=3\nRestartMaxDelaySec=2400ms\nRestartMode=direct\nReloadSignal=HUP";
    let old = service(Profile::V252, lines);
    assert_eq!(old.warnings.len(), 4);
    assert_eq!(old.warnings[0].text, "Unknown key 'RestartSteps' in section [Service], ignoring.");
    let new = service(Profile::V257, lines);
    assert_eq!(texts(&new), Vec::<String>::new());
    let settings = new.service.expect("a service");
    assert_eq!(settings.restart_steps, 3);
    assert_eq!(settings.restart_max_delay_sec.to_string(), "2.400000s");
    assert_eq!(settings.restart_mode, RestartMode::Direct);
}

#[test]
fn a_growing_delay_that_is_half_configured_is_warned_about() {
    let rows = [
        ("RestartSteps=3", "Service has RestartSteps= but no RestartMaxDelaySec= setting. Ignoring."),
        ("RestartMaxDelaySec=9", "Service has RestartMaxDelaySec= but no RestartSteps= setting. Ignoring."),
        (
            "RestartSec=9\nRestartSteps=2\nRestartMaxDelaySec=3",
            "RestartMaxDelaySec= has a value smaller than RestartSec=, resetting RestartSec= to RestartMaxDelaySec=.",
        ),
    ];
    for (lines, text) in rows {
        assert_eq!(texts(&service(Profile::V257, lines)), [text], "{lines}");
    }
    let capped = service(Profile::V257, rows[2].0).service.expect("a service");
    assert_eq!(capped.restart_sec.to_string(), "3s");
}

#[test]
fn a_oneshot_may_force_restarts_since_256() {
    let lines = "Type=oneshot\nRestartForceExitStatus=3";
    let old = service(Profile::V252, lines);
    assert_eq!(old.load_state, LoadState::BadSetting);
    assert_eq!(
        texts(&old),
        ["Service has RestartForceExitStatus= set, which isn't allowed for Type=oneshot services. Refusing."]
    );
    assert_eq!(service(Profile::V257, lines).load_state, LoadState::Loaded);
}

#[test]
fn notify_reload_is_a_type_since_253() {
    let old = service(Profile::V252, "Type=notify-reload");
    assert_eq!(texts(&old), ["Failed to parse service type, ignoring: notify-reload"]);
    assert_eq!(old.service.expect("a service").service_type, ServiceType::Simple);
    let new = service(Profile::V257, "Type=notify-reload").service.expect("a service");
    assert_eq!(new.service_type, ServiceType::NotifyReload);
    assert_eq!(new.notify_access.as_str(), "main");
}

#[test]
fn kill_mode_none_is_frowned_upon_by_252_and_257() {
    for profile in [Profile::V252, Profile::V257] {
        assert!(texts(&service(profile, "KillMode=none"))[0].starts_with("Unit uses KillMode=none. This is unsafe"));
    }
}

#[test]
fn commands_through_a_shell_exist_since_258() {
    let read = |profile| Unit::parse("x.service", "[Service]\nExecStart=|echo hi\n", profile);
    // Before, it is the name of a program.
    assert_eq!(read(Profile::V257).service.expect("a service").exec_start[0].path, "|echo");
    let command = &read(Profile::V260).service.expect("a service").exec_start[0];
    assert!(command.via_shell);
    assert_eq!(command.path, "echo");
}

#[test]
fn every_newer_key_is_unknown_to_252_and_known_to_its_own_version() {
    let old: Vec<_> = known_keys(Profile::V252).collect();
    let mut newer = 0;
    for (section, key) in known_keys(Profile::V260) {
        match key_since(section, key) {
            None => assert!(old.contains(&(section, key)), "[{section}] {key}"),
            Some(version) => {
                newer += 1;
                assert!(!old.contains(&(section, key)), "[{section}] {key}");
                let known = known_keys(Profile::V257).any(|known| known == (section, key));
                assert_eq!(known, version <= 257, "[{section}] {key} of {version}");
            }
        }
    }
    assert!(newer > 30, "{newer} newer keys");
}
