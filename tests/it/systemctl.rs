//! `systemctl` against recordings: what systemd 252 and 257 answered is what we answer, byte for byte.

use relapse::manager::{Reply, RequestError, RequestErrorKind};
use relapse::unit::Profile;

use crate::systemctl_stage::{Recorded, Stage, recorded, since_boot};

pub(crate) const SYSTEMCTL_252: &str = include_str!("../../fixtures/systemd/recorded/systemctl_252.txt");

fn error(kind: RequestErrorKind, message: &str) -> Reply {
    Reply::Error(RequestError::new(kind, message))
}

fn lines(lines: &[&str]) -> Reply {
    Reply::UnitFiles(lines.iter().map(|line| (*line).to_owned()).collect())
}

/// Runs a command on a stage and compares it with the `nth` recording of it.
#[track_caller]
pub(crate) fn check(stage: Stage, recording: &str, command: &str, nth: usize) {
    check_as(Profile::V252, stage, recording, command, nth);
}

#[track_caller]
pub(crate) fn check_as(profile: Profile, mut stage: Stage, recording: &str, command: &str, nth: usize) {
    let want = recorded(recording, command, nth);
    let got = Recorded::from(stage.run(command, profile).0);
    assert_eq!(got.stdout, want.stdout, "standard output of {command} ({nth})");
    assert_eq!(got.stderr, want.stderr, "standard error of {command} ({nth})");
    assert_eq!(got.code, want.code, "exit code of {command} ({nth})");
}

fn nosuch() -> Stage {
    Stage::at("16:47:50").shown(&recorded(SYSTEMCTL_252, "systemctl show nosuch.service", 1).stdout)
}

#[test]
fn an_unknown_unit_is_answered_as_recorded() {
    let not_found = || error(RequestErrorKind::NoSuchUnit, "Unit nosuch.service not found.");
    let not_loaded = || error(RequestErrorKind::NoSuchUnit, "Unit nosuch.service not loaded.");
    let no_file = || error(RequestErrorKind::Failed, "Unit file nosuch.service does not exist.");
    let masked = || lines(&["Created symlink /etc/systemd/system/nosuch.service → /dev/null."]);
    let commands: &[(&str, Vec<Reply>)] = &[
        ("status nosuch.service", vec![]),
        ("start nosuch.service", vec![not_found()]),
        ("stop nosuch.service", vec![not_loaded()]),
        ("restart nosuch.service", vec![not_found()]),
        ("is-active nosuch.service", vec![]),
        ("is-failed nosuch.service", vec![]),
        ("is-enabled nosuch.service", vec![]),
        ("enable nosuch.service", vec![no_file()]),
        ("disable nosuch.service", vec![no_file()]),
        ("cat nosuch.service", vec![]),
        ("kill nosuch.service", vec![not_loaded()]),
        ("reload nosuch.service", vec![not_found()]),
        ("try-restart nosuch.service", vec![not_found()]),
        ("reset-failed nosuch.service", vec![not_loaded()]),
        ("mask nosuch.service", vec![masked()]),
        ("unmask nosuch.service", vec![lines(&[])]),
        ("show nosuch.service", vec![]),
        ("reenable nosuch.service", vec![no_file()]),
    ];
    for (command, replies) in commands {
        check(nosuch().replies(replies.clone()), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
    check(
        nosuch().unit_file_state_shown(),
        SYSTEMCTL_252,
        "systemctl show nosuch -p LoadState,ActiveState,SubState,LoadError,UnitFileState,Id,Names,Description",
        1,
    );
}

fn bad() -> Stage {
    let fragment = "/etc/systemd/system/gbad.service";
    let mut stage = Stage::at("16:47:55.5")
        .unit(
            "gbad.service",
            "ActiveState=inactive\nSubState=dead\nLoadState=bad-setting\nFragmentPath=/etc/systemd/system/gbad.service
             UnitFileState=static\nLoadError=org.freedesktop.systemd1.BadUnitSetting \"Unit gbad.service has a bad unit file setting.\"",
        )
        .log("16:47:55.4", "gbad.service", "gbad.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.")
        .file("gbad.service", "static");
    stage.files.insert(fragment, "[Service]\nRestart=always\n");
    stage
}

#[test]
fn a_unit_with_a_bad_setting_is_answered_as_recorded() {
    for command in ["status gbad", "is-active gbad", "is-failed gbad", "is-enabled gbad", "cat gbad"] {
        check(bad(), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
    let refused = bad().refuses(RequestErrorKind::LoadFailed, "Unit gbad.service has a bad unit file setting.");
    check(refused, SYSTEMCTL_252, "systemctl start gbad", 1);
}

const G: &str = "Description=G unit
    FragmentPath=/etc/systemd/system/g.service
    Documentation=man:foo(1) https://example.com/
    UnitFilePreset=enabled
    CanReload=no
    NeedDaemonReload=no
    ExecStart={ path=/bin/sleep ; argv[]=/bin/sleep 1000 ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=PID ; code=CODE }";

/// `g.service` with what differs from time to time: its file's state, its own state, and the rest.
fn g(time: &str, file_state: &str, lines: &str) -> Stage {
    let unit = format!(
        "{}\nUnitFileState={file_state}\n{lines}",
        G.replace("PID", "0").replace("CODE", "(null) ; status=0/0")
    );
    Stage::at(time).unit("g.service", &unit).file("g.service", file_state)
}

/// The same with a command that has ended.
fn g_ended(time: &str, pid: &str, how: &str, lines: &str) -> Stage {
    let unit = format!("{}\nUnitFileState=disabled\n{lines}", G.replace("PID", pid).replace("CODE", how));
    Stage::at(time).unit("g.service", &unit).file("g.service", "disabled")
}

fn g_running(time: &str, since: &str, pid: u32, file_state: &str, more: &str) -> Stage {
    let (boot, exit) = (since_boot(since), since_boot(since));
    g(
        time,
        file_state,
        &format!(
            "ActiveState=active\nSubState=running\nMainPID={pid}\nExecMainPID={pid}\nExecMainCode=0\nExecMainStatus=0
             CPUUsageNSec=1000000\nControlGroup=/system.slice/g.service\nActiveEnterTimestampMonotonic={boot}
             InactiveExitTimestampMonotonic={exit}\n{more}"
        ),
    )
    .process("g.service", pid, "sleep", "/bin/sleep 1000")
}

#[test]
fn a_plain_service_is_answered_as_recorded() {
    let idle = || g("16:47:55", "disabled", "");
    for command in ["status g", "is-active g", "is-failed g", "is-enabled g"] {
        check(idle(), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
    let links = [
        "Created symlink /etc/systemd/system/galias.service → /etc/systemd/system/g.service.",
        "Created symlink /etc/systemd/system/multi-user.target.wants/g.service → /etc/systemd/system/g.service.",
    ];
    check(idle().replies([lines(&links)]), SYSTEMCTL_252, "systemctl enable g", 1);
    check(g("16:47:55", "enabled", ""), SYSTEMCTL_252, "systemctl is-enabled g", 2);
    check(g("16:47:55", "enabled", ""), SYSTEMCTL_252, "systemctl start g", 1);

    let started = |stage: Stage| stage.log("16:47:55.2", "g.service", "Started g.service - G unit.");
    let running = || started(g_running("16:47:55.212", "16:47:55.2", 3033, "enabled", ""));
    check(running(), SYSTEMCTL_252, "systemctl status g", 2);
    check(running(), SYSTEMCTL_252, "systemctl is-active g", 2);
    check(running(), SYSTEMCTL_252, "systemctl is-failed g", 2);
    check(running(), SYSTEMCTL_252, "systemctl stop g", 1);

    let ended = format!(
        "ExecMainPID=3033\nMainPID=0\nExecMainCode=2\nExecMainStatus=15\nCPUUsageNSec=1000000\nUnitFileState=enabled
         InactiveExitTimestampMonotonic={}\nActiveEnterTimestampMonotonic={}\nActiveExitTimestampMonotonic={}\nInactiveEnterTimestampMonotonic={}",
        since_boot("16:47:55.2"), since_boot("16:47:55.2"), since_boot("16:47:55.262"), since_boot("16:47:55.27"),
    );
    let stopped = started(g_ended("16:47:55.289", "3033", "killed ; status=15/TERM", &ended))
        .log("16:47:55.262", "g.service", "Stopping g.service - G unit...")
        .log("16:47:55.27", "g.service", "g.service: Deactivated successfully.")
        .log("16:47:55.27", "g.service", "Stopped g.service - G unit.");
    check(enabled(stopped), SYSTEMCTL_252, "systemctl status g", 3);
    check(idle(), SYSTEMCTL_252, "systemctl reset-failed g", 1);
    check(idle(), SYSTEMCTL_252, "systemctl kill g", 1);
    let links = [
        "Removed \"/etc/systemd/system/multi-user.target.wants/g.service\".",
        "Removed \"/etc/systemd/system/galias.service\".",
    ];
    check(idle().replies([lines(&links)]), SYSTEMCTL_252, "systemctl disable g", 1);
    let no_reload =
        idle().refuses(RequestErrorKind::JobTypeNotApplicable, "Job type reload is not applicable for unit g.service.");
    check(no_reload, SYSTEMCTL_252, "systemctl reload g", 1);
    check(idle(), SYSTEMCTL_252, "systemctl restart g", 1);
    check(idle(), SYSTEMCTL_252, "systemctl try-restart g", 1);
    check(idle(), SYSTEMCTL_252, "systemctl kill -s HUP g", 1);
    let not_loaded = idle().refuses(RequestErrorKind::NoSuchUnit, "Unit g.service not loaded.");
    check(not_loaded, SYSTEMCTL_252, "systemctl kill g", 2);
    check(
        Stage::at("16:47:56").file("galias.service", "alias"),
        SYSTEMCTL_252,
        "systemctl is-enabled galias.service",
        1,
    );
    check(idle().replies([lines(&[])]), SYSTEMCTL_252, "systemctl enable --now g", 1);
}

/// The first `UnitFileState` is what the file's state was when it was loaded.
fn enabled(mut stage: Stage) -> Stage {
    for (key, value) in stage.units.get_mut("g.service").expect("g.service") {
        if *key == "UnitFileState" {
            *value = "enabled".to_owned();
        }
    }
    stage
}

#[test]
fn files_without_an_install_section_and_templates_are_answered_as_recorded() {
    let hint = recorded(SYSTEMCTL_252, "systemctl enable gstatic", 1).stderr;
    let hint: Vec<&str> = hint.lines().collect();
    let files = || Stage::at("16:47:57").file("gstatic.service", "static").file("gtmpl@.service", "enabled");
    check(files(), SYSTEMCTL_252, "systemctl is-enabled gstatic", 1);
    assert_eq!(hint.len(), 13, "the hint is recorded");
    check(files().replies([lines(&hint)]), SYSTEMCTL_252, "systemctl enable gstatic", 1);
    check(files().replies([lines(&[])]), SYSTEMCTL_252, "systemctl disable gstatic", 1);
    for unit in ["gtmpl@", "gtmpl@7", "gtmpl@8"] {
        check(files(), SYSTEMCTL_252, &format!("systemctl is-enabled {unit}"), 1);
    }
    let missing = files().refuses(RequestErrorKind::Failed, "Unit name gtmpl@.service is missing the instance name.");
    check(missing, SYSTEMCTL_252, "systemctl start gtmpl@", 1);
    let failed = format!(
        "Description=Tmpl a-b a/b gtmpl gtmpl@a-b.service\nFragmentPath=/etc/systemd/system/gtmpl@.service\nUnitFileState=enabled
         UnitFilePreset=enabled\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainPID=3139\nExecMainCode=1\nExecMainStatus=1
         ExecStart={{ path=/bin/sleep ; argv[]=/bin/sleep 100a-b ; ignore_errors=no ; start_time=[x] ; stop_time=[x] ; pid=3139 ; code=exited ; status=1 }}
         CPUUsageNSec=1000000\nActiveEnterTimestampMonotonic={}\nActiveExitTimestampMonotonic={}\nInactiveEnterTimestampMonotonic={}",
        since_boot("16:47:57.1"), since_boot("16:47:57.103"), since_boot("16:47:57.104"),
    );
    let stage = Stage::at("16:47:57.11").unit("gtmpl@a-b.service", &failed);
    check(stage, SYSTEMCTL_252, "systemctl status gtmpl@a-b -n0", 1);
}

#[test]
fn masks_are_answered_as_recorded() {
    let exists = "File /etc/systemd/system/gstatic.service already exists.";
    let fixed = || {
        Stage::at("16:47:57")
            .unit("gstatic.service", "FragmentPath=/etc/systemd/system/gstatic.service\nUnitFileState=static")
    };
    check(fixed().refuses(RequestErrorKind::Failed, exists), SYSTEMCTL_252, "systemctl mask gstatic", 1);
    check(fixed().replies([lines(&[])]), SYSTEMCTL_252, "systemctl unmask gstatic", 1);
    let link = "Created symlink /run/systemd/system/gstatic.service → /dev/null.";
    check(fixed().replies([lines(&[link])]), SYSTEMCTL_252, "systemctl --runtime mask gstatic", 1);
    let running = format!(
        "FragmentPath=/etc/systemd/system/gstatic.service\nUnitFileState=static\nUnitFilePreset=enabled\nActiveState=active\nSubState=running
         MainPID=3170\nExecMainPID=3170\nCPUUsageNSec=1000000\nControlGroup=/system.slice/gstatic.service\nDescription=gstatic.service
         InactiveExitTimestampMonotonic={0}\nActiveEnterTimestampMonotonic={0}",
        since_boot("16:47:57.5"),
    );
    let stage = Stage::at("16:47:57.51")
        .unit("gstatic.service", &running)
        .process("gstatic.service", 3170, "sleep", "/bin/sleep 1000")
        .log("16:47:57.5", "gstatic.service", "Started gstatic.service.");
    check(stage, SYSTEMCTL_252, "systemctl status gstatic", 1);

    let masked = || {
        Stage::at("16:47:58").file("dbus.service", "masked").unit(
            "dbus.service",
            "LoadState=masked\nLoadError=org.freedesktop.systemd1.UnitMasked \"Unit dbus.service is masked.\"
             UnitFileState=masked\nFragmentPath=/etc/systemd/system/dbus.service",
        )
    };
    for command in ["status dbus.service", "is-enabled dbus.service", "stop dbus.service", "cat dbus.service"] {
        check(masked(), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
    let refused = masked().refuses(RequestErrorKind::Masked, "Unit dbus.service is masked.");
    check(refused, SYSTEMCTL_252, "systemctl start dbus.service", 1);
    let removed = "Removed \"/etc/systemd/system/dbus.service\".";
    check(masked().replies([lines(&[removed])]), SYSTEMCTL_252, "systemctl unmask dbus.service", 1);
}

#[test]
fn a_changed_file_is_warned_about_as_recorded() {
    let log = |stage: Stage| stage.log("16:47:58.1", "g.service", "Started g.service - G unit.");
    let changed = |time| {
        let mut stage = log(g_running(time, "16:47:58", 3227, "disabled", ""));
        for (key, value) in stage.units.get_mut("g.service").expect("g.service") {
            if *key == "NeedDaemonReload" {
                *value = "yes".to_owned();
            }
        }
        stage
    };
    check(changed("16:47:59.1"), SYSTEMCTL_252, "systemctl status g", 5);
    check(changed("16:47:59.1"), SYSTEMCTL_252, "systemctl restart g", 2);
    check(changed("16:47:59.1"), SYSTEMCTL_252, "systemctl daemon-reload", 1);

    let drop_ins = "DropInPaths=/etc/systemd/system/g.service.d/10-a.conf /etc/systemd/system/service.d/15-all.conf /etc/systemd/system/g.service.d/20-b.conf";
    let mut stage = g_running("16:47:59.467", "16:47:59.2", 3237, "disabled", drop_ins);
    for (key, value) in stage.units.get_mut("g.service").expect("g.service") {
        if *key == "Description" {
            *value = "G unit two".to_owned();
        }
    }
    for (path, text) in [
        (
            "g.service",
            "[Unit]\nDescription=G unit two\nDocumentation=man:foo(1) https://example.com/\n[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\nAlias=galias.service\n",
        ),
        ("g.service.d/10-a.conf", "[Service]\nEnvironment=A=1\nRestart=on-failure\n"),
        ("service.d/15-all.conf", "[Service]\nEnvironment=C=3\nRestart=on-abort\n"),
        ("g.service.d/20-b.conf", "[Service]\nRestart=always\nEnvironment=B=2\n"),
    ] {
        stage.files.insert(format!("/etc/systemd/system/{path}"), text);
    }
    let want = recorded(SYSTEMCTL_252, "systemctl cat g", 1);
    assert_eq!(Recorded::from(stage.run("systemctl cat g", Profile::V252).0), want);
    check(stage, SYSTEMCTL_252, "systemctl status g -n0", 1);
}

/// `g.service` after `systemctl kill -s SIGKILL`.
fn killed(time: &str) -> Stage {
    let lines = format!(
        "ActiveState=failed\nSubState=failed\nResult=signal\nExecMainPID=3237\nExecMainCode=2\nExecMainStatus=9\nCPUUsageNSec=1000000
         InactiveExitTimestampMonotonic={0}\nActiveEnterTimestampMonotonic={0}\nActiveExitTimestampMonotonic={1}\nInactiveEnterTimestampMonotonic={1}",
        since_boot("16:47:59.2"), since_boot("16:47:59.603"),
    );
    let mut stage = g_ended(time, "3237", "killed ; status=9/KILL", &lines)
        .log("16:47:59.2", "g.service", "Started g.service - G unit.")
        .log("16:47:59.6", "g.service", "g.service: Sent signal SIGKILL to main process 3237 (sleep) on client request.")
        .log("16:47:59.603", "g.service", "g.service: Main process exited, code=killed, status=9/KILL")
        .log("16:47:59.603", "g.service", "g.service: Failed with result 'signal'.")
        .shown("Id=nosuch.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead")
        .unit("multi-user.target", &format!("Description=Multi-User System\nFragmentPath=/lib/systemd/system/multi-user.target\nUnitFileState=static\nActiveState=active\nSubState=active\nDocumentation=man:systemd.special(7)\nActiveEnterTimestampMonotonic={}", since_boot("16:44:45")));
    for (key, value) in stage.units.get_mut("g.service").expect("g.service") {
        if *key == "Description" {
            *value = "G unit two".to_owned();
        }
    }
    stage
}

#[test]
fn several_units_and_a_failed_one_are_answered_as_recorded() {
    check(killed("16:47:59.839"), SYSTEMCTL_252, "systemctl status g -n6", 1);
    check(killed("16:47:59.947"), SYSTEMCTL_252, "systemctl status g nosuch", 1);
    check(killed("16:47:59.9"), SYSTEMCTL_252, "systemctl status nosuch", 1);
    check(killed("16:47:59.9"), SYSTEMCTL_252, "systemctl status multi-user.target -n0", 1);
    for command in [
        "is-active g nosuch multi-user.target",
        "is-active multi-user.target g",
        "is-failed g nosuch",
        "is-failed nosuch",
        "--quiet is-active multi-user.target",
        "reset-failed",
    ] {
        check(killed("16:48:00"), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
    let second =
        |message: &str| killed("16:48:00").replies([Reply::Done, error(RequestErrorKind::NoSuchUnit, message)]);
    check(second("Unit nosuch.service not found."), SYSTEMCTL_252, "systemctl start g nosuch", 1);
    check(second("Unit nosuch.service not loaded."), SYSTEMCTL_252, "systemctl stop g nosuch", 1);
    let gone = || killed("16:48:00").refuses(RequestErrorKind::NoSuchUnit, "Unit g.service not loaded.");
    check(gone(), SYSTEMCTL_252, "systemctl kill --kill-who=main -s TERM g", 1);
    check(gone(), SYSTEMCTL_252, "systemctl kill --kill-who=control g", 1);
    check(
        killed("16:48:00").file("g.service", "disabled").file("gstatic.service", "static"),
        SYSTEMCTL_252,
        "systemctl is-enabled g gstatic nosuch",
        1,
    );
}

#[test]
fn mistakes_of_the_command_line_are_answered_as_recorded() {
    let empty = || Stage::at("16:48:00");
    for command in [
        "--version",
        "kill -s BOGUS g",
        "bogusverb",
        "start",
        "is-active",
        "is-system-running",
        "show g -p Nonexistent",
    ] {
        check(empty(), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
    let missing = |unit: &str| empty().refuses(RequestErrorKind::NoSuchUnit, &format!("Unit {unit} not found."));
    check(missing("foo-bar.service"), SYSTEMCTL_252, "systemctl start foo/bar", 1);
    check(missing("g.bogus.service"), SYSTEMCTL_252, "systemctl start g.bogus", 1);
    check(empty(), SYSTEMCTL_252, "systemctl status foo@bar@baz.service", 1);
    let mut stage = empty();
    let want = recorded(SYSTEMCTL_252, "systemctl status inv alid", 1);
    assert_eq!(Recorded::from(stage.run("systemctl status 'inv alid'", Profile::V252).0), want);
    let shown = || Stage::at("16:48:00").unit("g.service", "MainPID=0");
    check(shown(), SYSTEMCTL_252, "systemctl show g -P MainPID", 1);
    check(shown(), SYSTEMCTL_252, "systemctl show g --value -p MainPID", 1);
    check(shown(), SYSTEMCTL_252, "systemctl restart --no-block g", 1);
    check(shown(), SYSTEMCTL_252, "systemctl stop --no-block g", 1);
}

#[test]
fn unknown_units_get_exit_code_4_since_253() {
    for (command, stdout) in [
        ("systemctl is-active nosuch.service", "inactive\n"),
        ("systemctl is-failed nosuch.service", "inactive\n"),
        ("systemctl is-enabled nosuch.service", "not-found\n"),
    ] {
        let got = Recorded::from(nosuch().run(command, Profile::V257).0);
        assert_eq!((got.stdout.as_str(), got.stderr.as_str(), got.code), (stdout, "", 4), "{command}");
    }
}

#[test]
fn what_an_incident_has_no_use_for_is_refused_with_a_reason() {
    for (command, reason) in [
        ("edit g", "systemctl: edit is not supported: there is no editor here; write UNIT.d/override.conf"),
        ("--user status", "systemctl: --user is not supported: there is no user manager"),
        ("-H box status", "systemctl: --host is not supported: there is one machine"),
        ("poweroff", "systemctl: poweroff is not supported: a machine that is off ends the incident"),
        ("start --wait g", "systemctl: --wait is not supported: a command that waits"),
        ("freeze g", "systemctl: freeze is not supported: the embedded manager has nothing of the kind"),
    ] {
        let (output, requests) = Stage::at("16:48:00").run(&format!("systemctl {command}"), Profile::V252);
        let got = Recorded::from(output);
        assert!(got.stderr.starts_with(reason), "{command}: {}", got.stderr);
        assert_eq!((got.code, requests.len()), (1, 0), "{command}");
    }
}

/// A process between its fork and its program is called by the name of that in parentheses, on systemd 252 as here
/// (`Main PID: 60 ((activate))`); one that has no name any more, as it is being reaped, is shown without.
#[test]
fn a_process_is_shown_as_far_as_it_has_a_name() {
    for (comm, shown) in [("(activate)", "   Main PID: 60 ((activate))\n"), ("", "   Main PID: 60\n")] {
        let mut stage = Stage::at("16:48:00")
            .unit("x.service", "ActiveState=active\nSubState=running\nMainPID=60\nExecMainPID=60")
            .process("x.service", 60, comm, "\"(activate)\"");
        let got = Recorded::from(stage.run("systemctl status x", Profile::V252).0).stdout;
        assert!(got.contains(shown), "{got}");
    }
}

#[test]
fn requests_come_in_the_order_of_the_real_one() {
    let requests = |command: &str| {
        let (_, requests) = Stage::at("16:48:00").file("x.service", "disabled").run(command, Profile::V252);
        requests.iter().map(|request| format!("{request:?}")).collect::<Vec<_>>().join("\n")
    };
    let mut text = String::new();
    for command in [
        "systemctl enable --now x",
        "systemctl disable --now --no-reload x",
        "systemctl mask --now --runtime x",
        "systemctl unmask x",
        "systemctl reenable x",
        "systemctl restart x y",
        "systemctl status x",
        "systemctl is-active x",
        "systemctl kill -s HUP --kill-whom main x",
        "systemctl reset-failed x",
        "systemctl reset-failed",
        "systemctl daemon-reload",
        "systemctl force-reload x",
        "systemctl condrestart x",
        "systemctl reboot",
    ] {
        text.push_str(&format!("$ {command}\n{}\n\n", requests(command)));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn no_command_line_brings_it_down() {
    let words = [
        "start",
        "status",
        "show",
        "is-active",
        "is-enabled",
        "cat",
        "list-units",
        "list-unit-files",
        "enable",
        "kill",
        "-p",
        "-P",
        "--value",
        "x",
        "x@",
        "x@.service",
        "x@é.service",
        "*",
        "[",
        "",
        "/dev/x",
        "/",
        "a/../b",
        "-",
        "--",
        "--state",
        "-t",
        "service",
        "-n",
        "0",
        "-s",
        "HUP",
        "--now",
        "9",
        "--kill-whom=x",
        "--all",
        "-q",
        "--plain",
        "--no-legend",
        "-o",
        "json",
        "verbose",
        "reenable",
        "mask",
        "reload-or-restart",
    ];
    let odd = "Id=x.service\nLoadState=\nActiveState=odd\nSubState=\nExecStart={ pid= ; status= }\nExecStart=}\nDropInPaths=x /y/z  /
        LoadError=x\nInactiveExitTimestampMonotonic=99999999999999999999\nActiveEnterTimestampMonotonic=18446744073709551615
        ExecMainCode=7\nExecMainPID=7\nCPUUsageNSec=18446744073709551615\nMemoryCurrent=18446744073709551615\nTriggers=x.service
        RuntimeMaxUSec=x\nListen=\nNeedDaemonReload=yes";
    let mut seed = 7u64;
    for _ in 0..3000 {
        let mut command = "systemctl".to_owned();
        for _ in 0..4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = words[usize::try_from(seed >> 33).expect("fits") % words.len()];
            command.push_str(&if word.is_empty() { " ''".to_owned() } else { format!(" {word}") });
        }
        let mut stage =
            Stage::at("16:48:00").shown(odd).process("x.service", 5, "", "").log("16:47:00", "x.service", "\u{1}");
        let (output, _) = stage.run(&command, Profile::V257);
        assert!(output.code <= 5, "{command}");
    }
}
