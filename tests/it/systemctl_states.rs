//! `systemctl` against recordings: jobs that fail, states on the way, and the incident itself.

use relapse::manager::{JobResult, RequestErrorKind};
use relapse::unit::Profile;

use crate::systemctl::{check, check_as};
use crate::systemctl_stage::{Recorded, Stage, clock, since_boot};

const MISC_252: &str = include_str!("../../fixtures/systemd/recorded/misc_252.txt");
const MISC_257: &str = include_str!("../../fixtures/systemd/recorded/misc_257.txt");
const INCIDENT_252: &str = include_str!("../../fixtures/systemd/recorded/incident_252.txt");
const INCIDENT_257: &str = include_str!("../../fixtures/systemd/recorded/incident_257.txt");
const DEPS_252: &str = include_str!("../../fixtures/systemd/recorded/deps_reload_journalctl_252.txt");

#[test]
fn jobs_that_fail_are_reported_as_recorded() {
    let stage = |unit: &str, result: &str| Stage::at("16:53:18").unit(unit, &format!("Result={result}"));
    let failed = |unit: &str, result: &str, job: JobResult| stage(unit, result).jobs_end([job]);
    check(failed("lo2.service", "resources", JobResult::Failed), DEPS_252, "systemctl start lo2", 2);
    check(failed("dreq.service", "success", JobResult::Dependency), DEPS_252, "systemctl start dreq", 1);
    check(failed("dassert.service", "success", JobResult::Assert), DEPS_252, "systemctl start dassert", 1);
    check(failed("drelf.service", "success", JobResult::Failed), DEPS_252, "systemctl reload drelf", 1);
    check(failed("drel.service", "success", JobResult::Done), DEPS_252, "systemctl reload drel", 1);
    check(failed("drel.service", "success", JobResult::Invalid), DEPS_252, "systemctl reload drel", 2);
    let missing = Stage::at("16:53:18").refuses(RequestErrorKind::NoSuchUnit, "Unit nosuch.service not found.");
    check(missing, DEPS_252, "systemctl start dmissing", 1);
    let refused = Stage::at("16:53:18").refuses(
        RequestErrorKind::OnlyByDependency,
        "Operation refused, unit drefuse.service may be requested by dependency only (it is configured to refuse manual start/stop).",
    );
    check(refused, DEPS_252, "systemctl start drefuse", 1);

    let canceled = Recorded::from(
        failed("sds.service", "success", JobResult::Canceled).run("systemctl start sds", Profile::V252).0,
    );
    assert_eq!(canceled.stderr, "Job for sds.service canceled.\n");
    assert_eq!(canceled.code, 1);
}

#[test]
fn the_result_of_a_failed_job_is_read_when_the_job_has_ended() {
    let mut stage = Stage::at("16:53:18").unit("x.service", "Result=success").jobs_end([JobResult::Failed]);
    stage.afterwards.push(("x.service".to_owned(), "Result", "start-limit-hit".to_owned()));
    let got = Recorded::from(stage.run("systemctl start x", Profile::V252).0);
    assert_eq!(
        got.stderr,
        "Job for x.service failed because start of the service was attempted too often.\n\
         See \"systemctl status x.service\" and \"journalctl -xeu x.service\" for details.\n\
         To force a start use \"systemctl reset-failed x.service\"\n\
         followed by \"systemctl start x.service\" again.\n"
    );
    assert_eq!(got.code, 1);
}

#[test]
fn states_on_the_way_are_shown_as_recorded() {
    let common = "UnitFileState=enabled\nUnitFilePreset=enabled";
    let lo = format!(
        "Description=Leftover\nFragmentPath=/etc/systemd/system/lo.service\n{common}\nActiveState=active\nSubState=running
         MainPID=4385\nExecMainPID=4385\nCPUUsageNSec=3000000\nControlGroup=/system.slice/lo.service\nActiveEnterTimestampMonotonic={}",
        since_boot("16:53:14.1")
    );
    let stage = Stage::at("16:53:14.223")
        .unit("lo.service", &lo)
        .process("lo.service", 4379, "sleep", "sleep 1000")
        .process("lo.service", 4385, "sleep", "sleep 1001")
        .process("lo.service", 4386, "sleep", "sleep 1000");
    check(stage, DEPS_252, "systemctl status lo -n0", 1);

    let sds = format!(
        "Description=Slow pre\nFragmentPath=/etc/systemd/system/sds.service\n{common}\nActiveState=activating\nSubState=start-pre
         ControlPID=4429\nCPUUsageNSec=1000000\nControlGroup=/system.slice/sds.service\nInactiveExitTimestampMonotonic={}",
        since_boot("16:53:16")
    );
    let stage =
        || Stage::at("16:53:16.415").unit("sds.service", &sds).process("sds.service", 4429, "sleep", "/bin/sleep 5");
    check(stage(), DEPS_252, "systemctl status sds -n0", 1);
    check(stage(), DEPS_252, "systemctl is-active sds", 1);

    let unmet = |key: &str, time: &str, now: &str| {
        let (unit, description) = if key == "Condition" { ("dcond", "D cond") } else { ("dassert", "D assert") };
        let mut stage = Stage::at(now).unit(
            &format!("{unit}.service"),
            &format!(
                "Description={description}\nFragmentPath=/etc/systemd/system/{unit}.service\n{common}
                 {key}TimestampMonotonic={}\n{key}Result=no",
                since_boot(time)
            ),
        );
        stage.unmet.push(relapse::ctl::Unmet {
            key: format!("{key}PathExists"),
            trigger: false,
            negate: false,
            parameter: "/nonexistent".to_owned(),
        });
        stage
    };
    let text =
        "dcond.service - D cond was skipped because of an unmet condition check (ConditionPathExists=/nonexistent).";
    let stage = unmet("Condition", "16:53:18.2", "16:53:18.218").log("16:53:18.2", "dcond.service", text);
    check(stage, DEPS_252, "systemctl status dcond", 1);
    check(unmet("Assert", "16:53:18.4", "16:53:18.427"), DEPS_252, "systemctl status dassert -n0", 1);

    let exec = |n: u32, pid: u32| {
        format!(
            "ExecReload={{ path=/bin/echo ; argv[]=/bin/echo reload-{n} ; ignore_errors=no ; start_time=[x] ; stop_time=[x] ; pid={pid} ; code=exited ; status=0 }}"
        )
    };
    let drel = format!(
        "Description=Reloadable\nFragmentPath=/etc/systemd/system/drel.service\n{common}\nActiveState=active\nSubState=running
         MainPID=4492\nExecMainPID=4492\nCPUUsageNSec=5000000\nControlGroup=/system.slice/drel.service\n{}\n{}\nActiveEnterTimestampMonotonic={}",
        exec(1, 4496), exec(2, 4497), since_boot("16:53:18.5")
    );
    let stage =
        Stage::at("16:53:18.542").unit("drel.service", &drel).process("drel.service", 4492, "sleep", "/bin/sleep 1000");
    check(stage, DEPS_252, "systemctl status drel -n0", 1);
}

#[test]
fn a_stopped_unit_that_a_socket_can_start_again_is_warned_about() {
    let mut stage = Stage::at("16:48:00")
        .unit("web.service", "TriggeredBy=web.socket web.path")
        .unit("web.socket", "ActiveState=active\nSubState=listening")
        .unit("web.path", "ActiveState=inactive");
    let got = Recorded::from(stage.run("systemctl stop web", Profile::V252).0);
    assert_eq!(got.stderr, "Warning: Stopping web.service, but it can still be activated by:\n  web.socket\n");
    assert_eq!(got.code, 0);
    assert_eq!(clock("16:48:00"), stage.now);
}

#[test]
fn the_incident_is_shown_in_the_words_of_both_versions() {
    let unit = |pid: u32, lines: &str| {
        format!(
            "Description=Lumiera WhatsApp Copilot API\nFragmentPath=/etc/systemd/system/lumiera-whatsapp.service
             UnitFileState=enabled\nUnitFilePreset=enabled\nExecMainPID={pid}\n{lines}"
        )
    };
    let waiting = |pid: u32, cpu: u32| {
        unit(pid, &format!(
            "ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1
             ExecStart={{ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 /usr/local/bin/fakeapp.py ; ignore_errors=no ; start_time=[x] ; stop_time=[x] ; pid={pid} ; code=exited ; status=1 }}
             CPUUsageNSec={cpu}000000\nNRestarts=3\nInactiveExitTimestampMonotonic={0}\nActiveEnterTimestampMonotonic={1}
             ActiveExitTimestampMonotonic={0}\nInvocationID=b2c785bee45f47a3bb6be5a8c0aebeeb",
            since_boot("16:59:13.7"), since_boot("16:59:09.1"),
        ))
    };
    let running = |pid: u32, cpu: u32| {
        unit(pid, &format!(
            "ActiveState=active\nSubState=running\nMainPID={pid}\nControlGroup=/system.slice/lumiera-whatsapp.service
             CPUUsageNSec={cpu}000000\nNRestarts=4\nInactiveExitTimestampMonotonic={0}\nActiveEnterTimestampMonotonic={0}
             InvocationID=434a665186d24fccb08692e939a59b18",
            since_boot("16:59:23.5"),
        ))
    };
    let name = "lumiera-whatsapp.service";
    for (profile, recording, first, second, cpu) in
        [(Profile::V252, INCIDENT_252, 4861, 4869, (22, 13)), (Profile::V257, INCIDENT_257, 317, 326, (27, 19))]
    {
        let stage = Stage::at("16:59:15.9").unit(name, &waiting(first, cpu.0));
        check_as(profile, stage, recording, "systemctl status lumiera-whatsapp", 1);
        let show = "systemctl show lumiera-whatsapp -p NRestarts,ActiveState,SubState,Result,ExecMainStatus";
        let list = "Result=exit-code\nNRestarts=3\nExecMainStatus=1\nActiveState=activating\nSubState=auto-restart";
        check_as(profile, Stage::at("16:59:15.9").shown(&format!("{list}\nId={name}")), recording, show, 1);

        let mut stage = Stage::at("16:59:35.6").unit(name, &running(second, cpu.1)).process(
            name,
            second,
            "python3",
            "/usr/bin/python3 /usr/local/bin/fakeapp.py",
        );
        if profile == Profile::V257 {
            // The restart itself is logged in the same moment.
            stage = stage.log("16:59:23.5", name, &format!("{name}: Scheduled restart job, restart counter is at 4."));
        }
        let stage = stage
            .log("16:59:23.5", name, &format!("Started {name} - Lumiera WhatsApp Copilot API."))
            .print("16:59:23.6", name, second, "FSM Running session recovery on startup")
            .print("16:59:27.8", name, second, "FSM Session recovery complete");
        check_as(profile, stage, recording, "systemctl status lumiera-whatsapp", 2);
    }
}

#[test]
fn a_socket_whose_port_is_taken_is_shown_in_the_words_of_both_versions() {
    for (profile, recording, cpu) in [(Profile::V252, MISC_252, 569), (Profile::V257, MISC_257, 462)] {
        let socket = format!(
            "Description=Busy\nFragmentPath=/etc/systemd/system/kbusy.socket\nUnitFileState=enabled\nUnitFilePreset=enabled
             ActiveState=failed\nSubState=failed\nResult=resources\nTriggers=kbusy.service\nListen=0.0.0.0:8105 (Stream)
             CPUUsageNSec={cpu}000\nInvocationID=bf3aec2380794cac9a6de9fc665ff7b5"
        );
        let stage = || Stage::at("17:00:00").unit("kbusy.socket", &socket);
        check_as(profile, stage(), recording, "systemctl status kbusy.socket -n0", 1);
        check_as(profile, stage().jobs_end([JobResult::Failed]), recording, "systemctl start kbusy.socket", 1);
        let limited = "Result=exit-code\nNRestarts=2\nActiveState=failed\nSubState=failed\nId=ktok.service";
        let show = "systemctl show ktok -p NRestarts,ActiveState,SubState,Result";
        check_as(profile, Stage::at("17:00:00").shown(limited), recording, show, 1);
    }
}
